"""The demo (``make demo``): makes a Twin Earth, simulates twenty years with a trained U-Net, and writes a page.

Needs no data and no internet connection. Takes less than three minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path

import rasterio
from rich.console import Console
from rich.progress import Progress

from ai4land_coupler import Simulation, load_config
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.experiments.metrics import figure_of_merit
from ai4land_coupler.experiments.twin import TwinOptions, TwinReport, generate
from ai4land_coupler.report.picture import draw
from ai4land_coupler.report.web_page import write_page
from ai4land_coupler.store.output import open_store

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"

#: The region and seed differ from those of the training (examples/twin-train.yaml).
TWIN = TwinOptions(
    lon0=-5, lon1=3, lat0=47.5, lat1=52, resolution=1 / 64, first_year=2013, last_year=2035, scenario_start=2015, seed=7
)


def main() -> None:
    console = Console(highlight=False)
    with Progress(console=console) as bar:
        task = bar.add_task("making a Twin Earth", total=None)
        twin = generate(TWIN, DEMO / "twin", lambda done, total: bar.update(task, completed=done, total=total))
        config = load_config(HERE / "demo.yaml")
        task = bar.add_task("simulating 2015 to 2035", total=None)
        summary = Simulation(
            config, progress=lambda done, total, year: bar.update(task, completed=done, total=total)
        ).run()
    picture = draw(summary.store, DEMO / "picture.png")
    page = write_page(summary.store, DEMO / "report.html")
    changed = sum(summary.changed_share.values()) / len(summary.changed_share)
    console.print(
        f"land that changed each year: {100 * changed:.2f} % (the twin: {100 * twin.mean_gross_change:.2f} %)"
    )
    console.print(skill(twin, summary.store))
    console.print(f"the store of the run: {summary.store}", soft_wrap=True, markup=False)
    console.print(f"a picture of it:      {picture}", soft_wrap=True, markup=False)
    console.print(f"a page about the run: {page}", soft_wrap=True, markup=False)
    console.print("to see its contents:  ai4land inspect demo/run.zarr")


def skill(twin: TwinReport, store: Path) -> str:
    """Figure of merit of the predicted change, compared with the twin's map of the last year."""
    legend, maps = get_legend("hilda-v1.0-f"), open_store(store)["land_cover"]
    with rasterio.open(str(twin.paths["maps"]).format(year=TWIN.last_year)) as file:
        truth = legend.to_view(file.read(1))
    first, last = (legend.to_view(maps.isel(year=i).values) for i in (0, -1))
    best = next(s for s in twin.skill if s.lead == len(maps["year"]) - 1)
    return (
        f"figure of merit of the change in {best.lead} years: {figure_of_merit(first, truth, last).value:.2f} "
        f"(a copy of the first map 0, the oracle {best.oracle:.2f})"
    )


if __name__ == "__main__":
    main()

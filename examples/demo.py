"""The demo (``make demo``): a Twin Earth, a trained network, twenty simulated years, one picture.

Needs no data and no network. Under three minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ai4land_coupler import Simulation, load_config
from ai4land_coupler.experiments.twin import TwinOptions, generate
from ai4land_coupler.report.picture import draw

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"

#: Another region and another seed than the network was trained on (examples/twin-train.yaml).
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
    changed = sum(summary.changed_share.values()) / len(summary.changed_share)
    console.print(
        f"land that changed each year: {100 * changed:.2f} % (the twin: {100 * twin.mean_gross_change:.2f} %)"
    )
    console.print(f"the store of the run: {summary.store}", soft_wrap=True, markup=False)
    console.print(f"a picture of it:      {picture}", soft_wrap=True, markup=False)
    console.print("look inside with:     ai4land inspect demo/run.zarr")


if __name__ == "__main__":
    main()

"""Writes figures of a run for papers and slides, as PNG and PDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.errors import RunError
from ai4land_coupler.report.content import open_run
from ai4land_coupler.report.picture import draw

FORMATS = ("png", "pdf")


def write_figures(store: str | Path, folder: str | Path) -> list[Path]:
    """Write ``map`` (:func:`draw`) and ``class_areas`` (:func:`draw_areas`) as PNG and PDF. Returns the written files.

    Raises
    ------
    DataError
        If there is no store, or it has no committed year.
    RunError
        If writing to disk fails.
    """
    folder = Path(folder)
    try:
        return [
            make(store, folder / f"{name}.{ending}")
            for name, make in (("map", draw), ("class_areas", draw_areas))
            for ending in FORMATS
        ]
    except OSError as error:
        raise RunError(
            "figures could not be written", found=error, where=folder, remedy="choose another folder with --figures"
        ) from error


def draw_areas(store: str | Path, target: str | Path) -> Path:
    """Draw the area of each class over time, one panel per class. The ending of ``target`` determines the format."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    data = open_run(store)
    legend = get_legend(data["land_cover"].attrs["legend"])
    years, area = data["year"].values, data["class_area"].values / 1e9
    columns = 4
    rows = int(np.ceil(len(legend.view) / columns))
    figure, panels = plt.subplots(
        rows, columns, figsize=(3.1 * columns, 2.3 * rows), squeeze=False, sharex=True, layout="constrained"
    )
    for index, axes in enumerate(panels.flat):
        if index >= len(legend.view):
            axes.axis("off")
            continue
        item = legend.view[index]
        axes.plot(years, area[:, index], color=item.colour, linewidth=2, marker="o" if years.size == 1 else None)
        axes.set_title(item.name.replace("_", " / "), loc="left", fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.tick_params(labelsize=8, labelbottom=index + columns >= len(legend.view))
        axes.ticklabel_format(useOffset=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("1000 km2", fontsize=9)
    figure.suptitle(str(data.attrs.get("title", "")), x=0.01, ha="left", fontsize=12, fontweight="bold")
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=150)
    plt.close(figure)
    return target

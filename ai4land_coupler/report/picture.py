"""Draws a picture of a run: the first and the last map, the changes, and the areas of the classes over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.core.legend import OUTSIDE, get_legend
from ai4land_coupler.report.content import land_window, open_run

#: Maps are reduced to about this many rows and columns before they are drawn.
DRAWN = 900
SEA = "#dfe9ef"


def draw(store: str | Path, target: str | Path) -> Path:
    """Draw a store to a PNG, PDF or SVG file. The ending of ``target`` determines the format."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    data = open_run(store)
    data = data.isel(land_window(data))
    legend = get_legend(data["land_cover"].attrs["legend"])
    years = data["year"].values
    thin = max(1, max(data.sizes["lat"], data.sizes["lon"]) // DRAWN)
    every = slice(None, None, thin)
    first, last = (legend.to_view(data["land_cover"].isel(year=i, lat=every, lon=every).values) for i in (0, -1))
    lon, lat = data["lon"].values, data["lat"].values
    extent = (lon[0], lon[-1], lat[-1], lat[0])
    shape: dict[str, Any] = {
        "extent": extent,
        "aspect": 1 / np.cos(np.deg2rad(lat.mean())),
        "interpolation": "nearest",
    }
    colours = ListedColormap([SEA, *(item.colour for item in legend.view)]).with_extremes(bad="#f6f4ef")

    figure = plt.figure(figsize=(13, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(2.3, 1))
    for column, (classes, year) in enumerate(((first, years[0]), (last, years[-1]))):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(classes + 1, cmap=colours, vmin=-0.5, vmax=len(legend.view) + 0.5, **shape)
        axes.set_title(f"land cover on 1 January {year}", loc="left", fontsize=10)
    axes = figure.add_subplot(grid[0, 2])
    changed = np.where((first != last) & (last != OUTSIDE), last + 1, np.where(last == OUTSIDE, 0, -1))
    faded = np.ma.masked_equal(changed, -1)
    axes.imshow(faded, cmap=colours, vmin=-0.5, vmax=len(legend.view) + 0.5, **shape)
    axes.set_title(f"what changed since {years[0]}, by its new class", loc="left", fontsize=10)
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
        axes.set_xlabel("degrees east", fontsize=8)
    figure.axes[0].set_ylabel("degrees north", fontsize=8)

    area = data["class_area"].values / 1e9
    axes = figure.add_subplot(grid[1, :2])
    for index, item in enumerate(legend.view):
        axes.plot(years, area[:, index] - area[0, index], color=item.colour, linewidth=2, label=item.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_title(f"change of area since {years[0]} (1000 km2)", loc="left", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)

    axes = figure.add_subplot(grid[1, 2])
    axes.axis("off")
    handles = [Patch(facecolor=item.colour, label=item.name.replace("_", " / ")) for item in legend.view]
    axes.legend(handles=handles, loc="center left", frameon=False, fontsize=9, title=legend.title, alignment="left")
    figure.suptitle(str(data.attrs.get("title", "")), x=0.01, ha="left", fontsize=13, fontweight="bold")
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
    plt.close(figure)
    return target

"""A small store with known maps and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, get_legend
from ai4land_coupler.store.output import Diagnostic, OutputStore, StoreLayout

LEGEND = get_legend("hilda-v1.0-f")
GRID = LatLonGrid(-6.0, 0.5, 16, 58.0, -0.5, 12)
GROUPS = ("urban", "cropland", "pasture", "forest", "open")
TITLE = "</title></script><script>document.title='taken'</script> & \"quotes\" <img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Known:
    """A store and its content: ``classes`` (year, rows, cols) int8 with -1 outside, areas in km2."""

    path: Path
    years: tuple[int, ...]
    classes: NDArray[np.int8]
    class_area: NDArray[np.float64]
    unmet: NDArray[np.float64]
    unmet_change: NDArray[np.float64]
    row_area: NDArray[np.float64]


def random_maps(steps: int, seed: int = 5) -> NDArray[np.int8]:
    """Land with sea at the western edge and a lake; a few cells change in each step, except in the second."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, (GRID.nlat, GRID.nlon)).astype(np.int8)
    first[:, :3] = OUTSIDE
    first[5:7, 6:8] = 6
    maps = [first]
    for step in range(steps):
        after = maps[-1].copy()
        if step != 1:
            free = np.flatnonzero((after >= 0) & (after < 6))
            chosen = rng.choice(free, 12, replace=False)
            after.reshape(-1)[chosen] = (after.reshape(-1)[chosen] + rng.integers(1, 6, 12)) % 6
        maps.append(after)
    return np.stack(maps)


def write_store(
    path: Path,
    maps: NDArray[np.int8],
    years: tuple[int, ...],
    *,
    title: str = TITLE,
    commit: int | None = None,
    diagnostics: bool = True,
    provenance: dict[str, Any] | None = None,
    grid: LatLonGrid = GRID,
    unmet: float = 1e8,
) -> Known:
    """Write maps of classes to a store, like a run, and commit the first ``commit`` years (default: all).

    ``unmet`` is the typical size of unmet demand (m2).
    """
    n = len(LEGEND.view)
    codes = np.where(maps == OUTSIDE, LEGEND.ocean[0], LEGEND.new_codes[maps]).astype(np.uint8)
    pairs = tuple(f"{a} to {b}" for a in LEGEND.classes for b in LEGEND.classes)
    series = (
        Diagnostic("land_cells", "1"),
        Diagnostic("changed_cells", "1"),
        Diagnostic("unpaired_cells", "1"),
        Diagnostic("unmet_area", "m2", "group", GROUPS),
        Diagnostic("unmet_change", "m2", "group", GROUPS),
        Diagnostic("transition_area", "m2", "transition", pairs),
    )
    layout = StoreLayout(
        grid=grid, years=years, legend=LEGEND, diagnostics=series if diagnostics else (), shard=32, chunk=32
    )
    attrs = {"title": title, "provenance": provenance or {}}
    store = OutputStore.create(path, layout, attrs)
    weight = np.broadcast_to(grid.row_area[:, None], maps.shape[1:])
    rng = np.random.default_rng(1)
    change = rng.normal(0, unmet, (len(years), len(GROUPS)))
    change[0] = 0
    area = np.array([np.bincount(m[m >= 0], weights=weight[m >= 0], minlength=n) for m in maps])
    for i, year in enumerate(years[:commit]):
        for box in store.shard_boxes():
            store.write_land_cover(year, box, codes[i][box.slices()])
        store.write_diagnostic("class_area", year, area[i])
        if diagnostics:
            before, after = maps[max(i - 1, 0)], maps[i]
            land = after >= 0
            key = before[land].astype(int) * n + after[land]
            moved = np.bincount(key, weights=weight[land], minlength=n * n)
            store.write_diagnostic("transition_area", year, moved if i else np.zeros(n * n))
            store.write_diagnostic("unmet_change", year, change[i])
            store.write_diagnostic("unmet_area", year, np.abs(change[i]) * 1.5)
            store.write_diagnostic("land_cells", year, float(land.sum() if i else 0))
            store.write_diagnostic("changed_cells", year, float((before != after).sum()))
            store.write_diagnostic("unpaired_cells", year, 2.0 * i)
        store.sync()
        store.commit(year)
    return Known(path, years, maps, area / 1e6, np.abs(change) * 1.5 / 1e6, change / 1e6, grid.row_area / 1e6)

"""Ways to choose the land that is held out: folds of blocks, far-apart blocks, a region, climate zones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.experiments.training.split import Split
from ai4land_coupler.inputs.climate_zones import ZONES, zone_at

#: Cells of the grid on which climate zones are compared (degrees).
_ZONE_CELL = 0.1


def block_grid(fine: LatLonGrid, degrees: float) -> LatLonGrid:
    """The squares of ``degrees`` that the cells of a land grid lie in, counted from 0 N, 0 E."""
    rows, cols = (np.floor(axis[[0, -1]] / degrees).astype(int) for axis in (fine.lat, fine.lon))
    nlat, nlon = int(abs(rows[1] - rows[0])) + 1, int(cols[1] - cols[0]) + 1
    nlon = min(nlon, max(1, round(360 / degrees)))
    south = float(rows.min()) * degrees
    if max(-south, south + nlat * degrees) > 90 + 0.1 * degrees:
        raise ConfigError(
            "blocks reach beyond a pole",
            expected="a side that divides 90 degrees",
            found=degrees,
            where="validation.block",
        )
    return LatLonGrid(float(cols[0]) * degrees, degrees, nlon, south, degrees, nlat)


def fold_of_blocks(fine: LatLonGrid, degrees: float, folds: int, fold: int) -> Split:
    """One fold of blocks in a pattern of knight's moves, so that with five folds no two held-out blocks touch.

    Parameters
    ----------
    degrees:
        Side of a block. Blocks are counted from 0 N, 0 E, so that they do not depend on the domain.
    folds, fold:
        Number of folds, and the fold to hold out: every ``folds``-th block in each row.
    """
    grid = block_grid(fine, degrees)
    row = np.round(grid.lat0 / degrees).astype(int) + np.arange(grid.nlat)
    col = np.round(grid.lon0 / degrees).astype(int) + np.arange(grid.nlon)
    return Split(fine, grid, np.asarray((row[:, None] + 2 * col[None, :]) % folds == fold))


def farthest_blocks(fine: LatLonGrid, degrees: float, land: NDArray[np.int64], share: float, seed: int) -> Split:
    """Blocks that lie as far from each other as possible, by farthest-point sampling (Eldar et al. 1997,
    https://doi.org/10.1109/83.623193): each next block is the one that is farthest from all chosen blocks.

    Parameters
    ----------
    land:
        Number of land cells of each block of :func:`block_grid` (rows, cols). Blocks without land are not chosen.
    share:
        Share of the blocks with land to hold out.
    seed:
        Chooses the first block.
    """
    grid = block_grid(fine, degrees)
    rows, cols = np.nonzero(land)
    table = np.zeros(grid.shape, bool)
    if rows.size:
        lat, lon = np.deg2rad(grid.lat[rows]), np.deg2rad(grid.lon[cols])
        places = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
        nearest_chosen = np.full(rows.size, np.inf)
        chosen = int(np.random.default_rng(seed).integers(rows.size))
        for _ in range(max(1, round(share * rows.size))):
            table[rows[chosen], cols[chosen]] = True
            distance = np.square(places - places[chosen]).sum(1)
            nearest_chosen = np.minimum(nearest_chosen, distance)
            chosen = int(nearest_chosen.argmax())
    return Split(fine, grid, table)


def region(fine: LatLonGrid, west: float, south: float, east: float, north: float) -> Split:
    """All cells with centres in a rectangle (degrees)."""
    width = (east - west) % 360 or 360.0
    return Split(fine, LatLonGrid(west, width, 1, south, north - south, 1), np.ones((1, 1), bool))


def climate_zones(fine: LatLonGrid, zones: Sequence[str]) -> Split:
    """All cells in some Koeppen-Geiger zones: full names, such as ``Cfb``, or their beginning, such as ``C``.

    Raises
    ------
    ConfigError
        If a name is no zone.
    """
    for name in zones:
        if not any(zone.startswith(name) for zone in ZONES):
            raise ConfigError("there is no such climate zone", found=name, remedy=nearest(name, ZONES))
    grid = block_grid(fine, _ZONE_CELL)
    chosen = [number + 1 for number, zone in enumerate(ZONES) if zone.startswith(tuple(zones))]
    return Split(fine, grid, np.isin(zone_at(grid.lon, np.clip(grid.lat, -90, 90)), chosen))

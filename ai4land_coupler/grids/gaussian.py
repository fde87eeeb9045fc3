"""Gaussian grids: full (``F80``), octahedral reduced (``O80``, Malardel et al. 2016, ECMWF Newsletter 146), and
classical reduced (``N80``, Hortal and Simmons 1991, doi:10.1175/1520-0493(1991)119<1057:UORGGI>2.0.CO;2).
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import yaml
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.mesh import Mesh, merge_corners

Floats = NDArray[np.float64]


def gaussian_latitudes(n: int) -> tuple[Floats, Floats]:
    """Latitudes (2 n,) of a Gaussian grid, and the edges of its rows (2 n + 1,), degrees, north to south.

    The area of each row is its Gaussian weight, because the sines of the edges are sums of weights.
    """
    sines, weights = np.polynomial.legendre.leggauss(2 * n)
    # Sums run from both poles to the equator, so that both hemispheres are exactly symmetric.
    towards_equator = np.concatenate([[0.0], np.cumsum(weights[:n])])
    # arcsin(sine) loses digits near the pole. The colatitude of a cap of area 2 pi h is 2 asin(sqrt(h / 2)).
    south = -90.0 + np.rad2deg(2.0 * np.arcsin(np.sqrt(towards_equator / 2.0)))
    south[-1] = 0.0
    return np.rad2deg(np.arcsin(sines))[::-1].copy(), np.concatenate([-south, south[-2::-1]])


def row_lengths(n: int, octahedral: bool) -> NDArray[np.int64]:
    """Cells in each row, (2 n,): 4 n in all rows, or 20 at the poles and 4 more in each row towards the equator."""
    if not octahedral:
        return np.full(2 * n, 4 * n, np.int64)
    half = 4 * np.arange(1, n + 1, dtype=np.int64) + 16
    return np.concatenate([half, half[::-1]])


@cache
def _tables() -> dict[int, str]:
    text = (resources.files("ai4land_coupler.schemas") / "reduced-gaussian.yaml").read_text()
    return {int(n): str(rows) for n, rows in yaml.safe_load(text)["rows"].items()}


def classical_row_lengths(n: int) -> NDArray[np.int64]:
    """Cells in each row of a classical reduced Gaussian grid, (2 n,), from ``schemas/reduced-gaussian.yaml``.

    Raises
    ------
    GridError
        ECMWF publishes no table for this number.
    """
    if n not in _tables():
        raise GridError(
            "the rows of this classical reduced Gaussian grid are not known",
            expected=", ".join(f"N{known}" for known in _tables()) + f"; or F{n} (full), O{n} (octahedral)",
            found=f"N{n}",
            remedy="name a grid file that has the corners of its cells",
        )
    runs = [(int(length), int(times or 1)) for length, _, times in (run.partition("*") for run in _tables()[n].split())]
    half = np.repeat([length for length, _ in runs], [times for _, times in runs])
    return np.concatenate([half, half[::-1]])


def gaussian_mesh(n: int, octahedral: bool | NDArray[np.int64], name: str | None = None) -> Mesh:
    """A global Gaussian grid of ``2 n`` rows from north to south. The first cell of each row is centred at 0 E.

    Parameters
    ----------
    octahedral:
        Whether rows are those of an octahedral grid, else of a full grid; or the cells in each row, (2 n,).
    """
    lat, edges = gaussian_latitudes(n)
    lengths = row_lengths(n, octahedral) if isinstance(octahedral, bool) else octahedral
    row = np.repeat(np.arange(2 * n), lengths)
    col = np.arange(row.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    step = 360.0 / lengths[row]
    lon, corner_lat = box_corners((col - 0.5) * step, (col + 0.5) * step, edges[row + 1], edges[row])
    mesh = Mesh(
        name or f"{'O' if octahedral else 'F'}{n}",
        np.arange(row.size, dtype=np.int64),
        lon,
        corner_lat,
        "latlon",
        np.ones(row.size, bool),
        row.size,
        col * step,
        lat[row],
    )
    return merge_corners(mesh)

"""HEALPix grids: 12 x nside x nside cells (Gorski et al. 2005, doi:10.1086/427976)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Row of the southern corner of each of the 12 faces, in units of the height of a face, from the north pole; and twice
#: the longitude of its middle in units of 90 degrees (the tables jrll and jpll of the HEALPix software).
_ROW = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_COLUMN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


def healpix_mesh(nside: int, nested: bool, name: str, pixels: Indices | None = None) -> Mesh:
    """Cells of a HEALPix grid, in ring or nested order, with their four corners and centres.

    Edges are great circles between the corners, as in CDO. The true edges are curved, so some cells around
    the polar caps are up to a tenth smaller than HEALPix says (at ``nside`` 1 up to a fifth larger). The cells fill the
    globe without gaps.

    Parameters
    ----------
    nside:
        Cells along the edge of each of the 12 faces. A power of two if ``nested``.
    pixels:
        Numbers of the selected cells, (n,). Default: all cells in order.
    """
    face, x, y = _places(nside, nested)
    if pixels is not None:
        face, x, y = face[pixels], x[pixels], y[pixels]
    corners = [_lon_lat(face, (x + i) / nside, (y + j) / nside) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
    lon, lat = (np.stack(values, axis=1) for values in zip(*corners, strict=True))
    centre_lon, centre_lat = _lon_lat(face, (x + 0.5) / nside, (y + 0.5) / nside)
    n = face.size
    return Mesh(
        name, np.arange(n, dtype=np.int64), lon, lat, "great_circle", np.ones(n, bool), n, centre_lon, centre_lat
    )


def _places(nside: int, nested: bool) -> tuple[Indices, Indices, Indices]:
    """Face, and place on the face to the north-east and north-west, of each cell in order, (12 nside**2,)."""
    face, x, y = (index.ravel() for index in np.indices((12, nside, nside)))
    number = _nested_numbers(nside, face, x, y) if nested else _ring_numbers(nside, face, x, y)
    order = np.empty(number.size, np.int64)
    order[number] = np.arange(number.size)
    return face[order], x[order], y[order]


def _nested_numbers(nside: int, face: Indices, x: Indices, y: Indices) -> Indices:
    """The bits of x and y in turn, x first."""
    number = face * nside**2
    for bit in range(nside.bit_length() - 1):
        number = number + (((x >> bit) & 1) << (2 * bit)) + (((y >> bit) & 1) << (2 * bit + 1))
    return number


def _ring_numbers(nside: int, face: Indices, x: Indices, y: Indices) -> Indices:
    """Rows from the north pole to the south pole, each from west to east."""
    ring = _ROW[face] * nside - x - y - 1
    north, south = ring < nside, ring > 3 * nside
    length = np.where(north, ring, np.where(south, 4 * nside - ring, nside))  # a quarter of the cells of the ring
    before = np.where(
        north,
        2 * length * (length - 1),
        np.where(
            south, 12 * nside**2 - 2 * (length + 1) * length, 2 * nside * (nside - 1) + (ring - nside) * 4 * nside
        ),
    )
    shift = np.where(north | south, 0, (ring - nside) & 1)
    place = (_COLUMN[face] * length + x - y + 1 + shift) // 2 - 1
    return np.asarray(before + place % (4 * length))


def _lon_lat(face: Indices, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude (degrees) of points of the faces; x and y from 0 to 1."""
    row = _ROW[face] - x - y
    north, south = row < 1, row > 3
    length = np.where(north, row, np.where(south, 4 - row, 1.0))
    # colatitude from its half angle, so that no digits are lost near the poles
    cap = 90.0 - np.rad2deg(2.0 * np.arcsin(np.clip(length / np.sqrt(6.0), 0.0, 1.0)))
    belt = np.rad2deg(np.arcsin(np.clip((2.0 - row) * 2.0 / 3.0, -1.0, 1.0)))
    lat = np.where(north, cap, np.where(south, -cap, belt))
    turn = _COLUMN[face] * length + x - y
    lon = 45.0 * turn / np.where(length < 1e-14, np.inf, length)  # 0 at the poles
    return lon % 360.0, lat

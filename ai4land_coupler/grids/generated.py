"""Grids that are generated from a name, without a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.gaussian import classical_row_lengths, gaussian_mesh
from ai4land_coupler.grids.healpix import healpix_mesh
from ai4land_coupler.grids.latlon import latlon_mesh
from ai4land_coupler.grids.mesh import Edges, Mesh
from ai4land_coupler.grids.spheres import cubed_sphere_mesh, icosahedral_mesh

#: Largest number of cells of a generated grid. A larger number is probably a typing error.
_MOST_CELLS = 100_000_000


def generated_mesh(name: str, edges: Edges | None = None) -> Mesh | None:
    """The global mesh for a name, or ``None`` if the name matches no rule.

    ========================  ===============================================================================
    ``F80``                   full Gaussian grid, 160 rows of 320 cells, north to south
    ``O80``                   octahedral reduced Gaussian grid, rows of 20, 24, ... cells
    ``N80``                   classical reduced Gaussian grid, rows from ECMWF's tables
    ``n80``                   CDO's name of ``F80``
    ``t63grid``, ``tl255grid``  CDO's names of the full Gaussian grids of a quadratic and a linear truncation
    ``r360x180``              regular, in CDO's order: first centre at 0 E, an even number of rows from the south
    ``global_0.5``            regular, in CDO's order: first cell at 180 W, rows from the south
    ``hp32``                  HEALPix with ``nside`` 32 in ring order, as CDO; also ``hp32_ring``
    ``hp32_nested``, ``hpz5``  HEALPix with ``nside`` 32 (zoom 5) in nested order
    ``ne30``, ``ne30pg2``     equiangular cubed sphere, 30 x 30 elements on each face, each with 2 x 2 cells for pg2
    ``ico5``                  icosahedron with each edge halved 5 times: 20 x 4**5 cells
    ========================  ===============================================================================

    Raises
    ------
    GridError
        The name has a known form but no such grid exists, or the grid has too many cells.
    """
    for pattern, rule in _RULES:
        match = re.fullmatch(pattern, name)
        if match:
            mesh = rule(name, match)
            if edges is not None and edges != mesh.edges:
                mesh = replace(mesh, edges=edges)
                validate(mesh)
            return mesh
    return None


def _gaussian(name: str, match: re.Match[str]) -> Mesh:
    kind, n = match[1], int(match[2])
    if kind == "N":
        return gaussian_mesh(n, classical_row_lengths(n), name)
    _limit(name, 2 * n * 4 * n, n)
    return gaussian_mesh(n, kind == "O", name)


def _truncation(name: str, match: re.Match[str]) -> Mesh:
    """The Gaussian grid on which CDO puts fields of a spectral model: rows for quadratic or linear terms, even."""
    number = (2 if match[1] else 3) * int(match[2]) + 1
    rows = (number + 1) // 2
    n = (rows + 1) // 2
    _limit(name, 2 * n * 4 * n, int(match[2]))
    return gaussian_mesh(n, False, name)


def _healpix(name: str, match: re.Match[str]) -> Mesh:
    kind, number, order = match[1], int(match[2]), match[3]
    nside = 2 ** min(number, 40) if kind == "hpz" else number
    nested = kind == "hpz" or order == "nested"
    _limit(name, 12 * nside**2, nside)
    if nested and nside & (nside - 1):
        raise GridError("the nested order needs a power of two", expected="hp32_nested, hp64_nested, ...", found=name)
    mesh = healpix_mesh(nside, nested, name)
    if order or kind == "hpz":
        return mesh
    return replace(mesh, notes=(f"HEALPix in ring order, as CDO 2.1; the nested order is {name}_nested",))


def _regular(name: str, match: re.Match[str]) -> Mesh:
    nlon, nlat = int(match[1]), int(match[2])
    _limit(name, nlon * nlat, nlon // 3, nlat)
    if nlat % 2:
        # With an odd number of rows, CDO makes the first and the last row half as high as the others.
        raise GridError(
            "the rows of a regular grid of this name are not all alike",
            expected=f"an even number of rows, such as r{nlon}x{nlat + 1}",
            found=name,
            remedy="write CDO's grid of this name to a file, and name that",
        )
    step = 360.0 / nlon
    return latlon_mesh(LatLonGrid(-step / 2, step, nlon, -90.0, 180.0 / nlat, nlat), name)


def _global(name: str, match: re.Match[str]) -> Mesh:
    step = float(match[1])
    nlon = round(360.0 / step) if step > 0 else 0
    if nlon % 2 or abs(nlon * step - 360.0) > 1e-6:
        raise GridError("cells of this size do not fill the globe", expected="a divisor of 180 degrees", found=name)
    _limit(name, nlon * nlon // 2, nlon // 4)
    return latlon_mesh(LatLonGrid(-180.0, 360.0 / nlon, nlon, -90.0, 360.0 / nlon, nlon // 2), name)


def _cubed_sphere(name: str, match: re.Match[str]) -> Mesh:
    n, split = int(match[1]), int(match[2] or 1)
    _limit(name, 6 * (n * split) ** 2, n, split)
    return cubed_sphere_mesh(n, name, split)


def _icosahedral(name: str, match: re.Match[str]) -> Mesh:
    _limit(name, 20 * 4 ** min(int(match[1]), 20))
    return icosahedral_mesh(int(match[1]), name)


def _limit(name: str, cells: int, *counts: int) -> None:
    if not 0 < cells <= _MOST_CELLS or min(counts, default=1) < 1:
        raise GridError("a grid of this size is not made", expected=f"1 to {_MOST_CELLS} cells", found=name)


_RULES: tuple[tuple[str, Callable[[str, re.Match[str]], Mesh]], ...] = (
    (r"([FONn])(\d+)", _gaussian),
    (r"t(l?)(\d+)grid", _truncation),
    (r"(hp)(\d+)(?:_(ring|nested))?", _healpix),
    (r"(hpz)(\d+)()", _healpix),
    (r"r(\d+)x(\d+)", _regular),
    (r"global_(\d+\.?\d*)", _global),
    (r"ne(\d+)(?:pg(\d+))?", _cubed_sphere),
    (r"ico(\d+)", _icosahedral),
)

"""Pairs of grids that test_esmf.py and its program share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from regrid_cases import octahedral_mesh

from ai4land_coupler.api import LatLonGrid, Mesh, Method, Norm
from ai4land_coupler.grids import latlon_mesh, read_mesh

NO_CELLS = np.zeros(0, np.int64)


def regular(nlon: int, nlat: int, edges: str = "latlon") -> Mesh:
    """A regular global grid, cell 0 at 0 E, 90 S, longitude fastest, values at the middles of the boxes."""
    dlon, dlat = 360 / nlon, 180 / nlat
    lon, lat = np.meshgrid(dlon * (np.arange(nlon) + 0.5), -90 + dlat * (np.arange(nlat) + 0.5))
    mesh = latlon_mesh(LatLonGrid(0, dlon, nlon, -90, dlat, nlat), f"regular {nlon} x {nlat}")
    return replace(mesh, edges=edges, centre_lon=lon.ravel(), centre_lat=lat.ravel())


def real(file: str) -> Mesh:
    """A grid of the sample data, with great-circle edges, the centres of its file, and nothing masked."""
    import netCDF4

    path = Path(os.environ["AI4LAND_SAMPLE_DATA"], "grids", file)
    mesh = read_mesh(path)
    mesh = replace(mesh, edges="great_circle", mask=np.ones(mesh.size, bool))
    if "scrip" in file:
        with netCDF4.Dataset(path) as data:
            lon, lat = (np.asarray(data[f"grid_center_{name}"][:], np.float64) for name in ("lon", "lat"))
        mesh = replace(mesh, centre_lon=lon, centre_lat=lat)
    return mesh


def masked(mesh: Mesh) -> Mesh:
    return replace(mesh, mask=mesh.cell_ids % 7 != 0)


@dataclass(frozen=True)
class Case:
    grids: Callable[[], tuple[Mesh, Mesh]]
    method: Method = "conservative"
    norm: Norm = "destination"
    options: dict[str, Any] = field(default_factory=dict)
    #: Whether the last rank has all destination cells.
    last: bool = False


FEW_POINTS = Case(lambda: (regular(24, 12), octahedral_mesh(2)))
_OTHER = LatLonGrid(-171.3, 2.7, 60, -80.0, 5.1, 30)

#: Made from nothing.
CASES = {
    "octahedron": Case(lambda: (regular(90, 45, "great_circle"), octahedral_mesh(4))),
    "parallels": Case(lambda: (regular(90, 45), octahedral_mesh(4)), options={"subdivide": 16}),
    "last": Case(lambda: (octahedral_mesh(3), regular(36, 18, "great_circle")), last=True),
    "masked": Case(lambda: (masked(octahedral_mesh(3)), masked(regular(36, 18, "great_circle"))), norm="fraction"),
    "boxes": Case(lambda: (regular(90, 45), latlon_mesh(_OTHER, "other"))),
    "boxes back": Case(lambda: (latlon_mesh(_OTHER, "other"), regular(90, 45))),
    "second order": Case(lambda: (octahedral_mesh(4), regular(36, 18, "great_circle")), "conservative2nd"),
    "bilinear": Case(lambda: (octahedral_mesh(4), regular(36, 18)), "bilinear"),
    "bilinear masked": Case(lambda: (masked(regular(36, 18)), octahedral_mesh(3)), "bilinear"),
    "nearest": Case(lambda: (masked(regular(90, 45)), octahedral_mesh(4)), "nearest"),
}
#: With sample data.
REAL = {
    "T42": Case(lambda: (regular(90, 45, "great_circle"), real("scrip_T42.nc"))),
    "ne30pg2": Case(lambda: (regular(90, 45, "great_circle"), real("scrip_ne30pg2.nc"))),
    "ICON": Case(lambda: (regular(144, 72, "great_circle"), real("icon_extpar_0010_R02B04_G.nc"))),
    "T42 bilinear": Case(lambda: (regular(90, 45, "great_circle"), real("scrip_T42.nc")), "bilinear"),
}
#: Weights that ESMF_RegridWeightGen made for these pairs.
FILES = {
    "T42": "ll4_to_T42_conserve.nc",
    "ne30pg2": "ll4_to_ne30pg2_conserve.nc",
    "ICON": "ll2p5_to_icon_conserve.nc",
    "T42 bilinear": "ll4_to_T42_bilinear.nc",
}
CASES |= REAL

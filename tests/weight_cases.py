"""Weights in closed form, as a file holds them; for the tests of weight files and their MPI program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from regrid_cases import exact_latlon_weights

from ai4land_coupler.api import EARTH_RADIUS, LatLonGrid, LocalWeights, Mesh
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.regrid.weight_files.gather import gather_weights
from ai4land_coupler.regrid.weight_files.read import WeightFile

SOURCE = LatLonGrid(0, 15, 20, -90, 15, 12)  # not all of the globe: some destination cells are covered in part
DESTINATION = LatLonGrid(-180, 22.5, 16, 90, -18, 10)


def meshes() -> tuple[Mesh, Mesh]:
    return latlon_mesh(SOURCE, "source"), latlon_mesh(DESTINATION, "destination")


def exact(norm: str = "destination") -> np.ndarray:
    """Dense weights (destination, source)."""
    dense = exact_latlon_weights(SOURCE, DESTINATION)
    dense[dense < 1e-14] = 0.0
    if norm == "fraction":
        sums = dense.sum(axis=1, keepdims=True)
        dense = np.divide(dense, sums, out=np.zeros_like(dense), where=sums > 0)
    return dense


def exact_file(norm: str = "destination", method: str = "conservative") -> WeightFile:
    """The weights in closed form, with both grids."""
    source, destination = meshes()
    dense = exact(norm)
    row, col = np.nonzero(dense)
    weights = LocalWeights(
        indptr=np.searchsorted(row, np.arange(destination.size + 1)),
        source_ids=col,
        values=dense[row, col],
        destination_fraction=exact().sum(axis=1),
        source_area=cell_area(source),
        destination_area=cell_area(destination),
        provenance={"backend": "closed form", "method": method, "norm": norm},
    )
    gathered = gather_weights(weights, source, destination, None, ((20, 12), (16, 10)))
    assert gathered is not None
    return gathered


def as_areas(file: WeightFile) -> WeightFile:
    """The same weights as areas of overlaps in steradians (SCRIP's normalisation ``none``)."""
    assert file.destination.area is not None
    assert np.isclose(file.destination.area.sum(), 4 * np.pi)
    assert EARTH_RADIUS > 6e6
    return replace(file, values=file.values * file.destination.area[file.row], norm="none")

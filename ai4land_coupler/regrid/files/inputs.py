"""The two grids that `ai4land weights` is given: how many cells they have, whether they fit into memory, and what was
changed in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ai4land_coupler.api import Mesh, Method
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError
from ai4land_coupler.files.arrays import is_data
from ai4land_coupler.files.memory import free_memory
from ai4land_coupler.files.netcdf import open_netcdf
from ai4land_coupler.grids import read_mesh
from ai4land_coupler.grids.files.rectilinear import read_rectilinear
from ai4land_coupler.grids.rectilinear import RectilinearGrid, named_rectilinear
from ai4land_coupler.regrid.land.raster import RasterWeights
from ai4land_coupler.regrid.methods.products import ProductWeights
from ai4land_coupler.regrid.weight_files.read import WeightFile

#: Two grids with more cells than this are huge: their cells are not listed if that can be avoided.
LISTED = 4_000_000
#: Bytes for each cell of both grids while weights are made from lists of cells (measured: 450).
_BYTES = 500
#: Dimensions this long or shorter are corners of a cell.
_MOST_CORNERS = 32

Pair = tuple[RectilinearGrid, RectilinearGrid]


@dataclass(frozen=True)
class GridInput:
    """A grid as the user named it: file or name, and for a file the data variable and the mask."""

    side: str
    name: str
    variable: str | None = None
    mask: str | None = None

    def read(self) -> Mesh:
        return read_mesh(self.name, variable=self.variable, mask=self.mask)

    def axes(self) -> RectilinearGrid | None:
        return read_rectilinear(self.name, self.variable, self.mask)

    def cells(self) -> int:
        """About the number of cells, from a name or from the sizes in a file; 0 if it is unknown."""
        path = Path(self.name)
        if not is_data(path):
            grid = named_rectilinear(path.name)
            return 0 if grid is None else grid.size
        along: dict[str, int] = {}
        most = 0
        with open_netcdf(path, what="a grid file") as dataset:
            for variable in dataset.variables.values():
                if not str(getattr(variable, "units", "")).lower().startswith(("deg", "rad")):
                    continue
                if variable.ndim == 1:
                    along[variable.dimensions[0]] = variable.size
                elif variable.ndim:
                    last = variable.shape[-1]
                    most = max(most, variable.size // last if 0 < last <= _MOST_CORNERS else variable.size)
        return max(most, int(np.prod(sorted(along.values())[-2:])) if along else 0)


def huge_pair(source: GridInput, destination: GridInput) -> Pair | None:
    """The axes of both grids if they are huge and rectilinear; ``None`` if they are small, or have other cells."""
    if source.cells() + destination.cells() <= LISTED:
        return None
    grids = source.axes(), destination.axes()
    return None if grids[0] is None or grids[1] is None else (grids[0], grids[1])


def huge_raster(source: GridInput, destination: GridInput) -> tuple[RectilinearGrid, LatLonGrid] | None:
    """The source if it is a huge regular raster and the destination is a host grid of usual size, else ``None``."""
    if not destination.cells() <= LISTED < source.cells():
        return None
    grid = source.axes()
    regular = None if grid is None else grid.regular()
    return None if grid is None or regular is None else (grid, regular)


def check_memory(source: GridInput, destination: GridInput, method: Method, ranks: int) -> None:
    """Refuse grids whose lists of cells do not fit into memory, before anything is allocated.

    Raises
    ------
    GridError
    """
    cells = source.cells(), destination.cells()
    if sum(cells) <= LISTED:
        return
    needed, available = _BYTES * sum(cells) * ranks, free_memory()
    if needed > available:
        raise GridError(
            "these grids have too many cells for the memory of this machine",
            expected=f"at most {available / 1e9:.1f} GB",
            found=f"about {needed / 1e9:.1f} GB for {cells[0]} and {cells[1]} cells, method {method}",
            where=f"{source.name}, {destination.name}",
            remedy="use a machine with more memory, a coarser grid or a region; conservative weights between two grids"
            " of latitude and longitude axes need little memory",
        )


def mesh_notes(weights: WeightFile, meshes: list[Mesh], inputs: tuple[GridInput, GridInput]) -> Iterator[str]:
    """What was changed in both grids, and how many cells take no part."""
    rows, columns = np.unique(weights.row).size, np.unique(weights.col).size
    for mesh, given, linked in zip(meshes, inputs, (columns, rows), strict=True):
        yield from _notes(given, mesh.notes, mesh.size, int(mesh.mask.sum()), linked)


def product_notes(weights: ProductWeights | RasterWeights, inputs: tuple[GridInput, GridInput]) -> Iterator[str]:
    """As :func:`mesh_notes`."""
    for given, grid in zip(inputs, (weights.source, weights.destination), strict=True):
        linked = sum(int(np.count_nonzero(part)) for part in weights.fractions(given.side))
        taken = int(grid.mask.sum()) if isinstance(grid, Mesh) else grid.size - grid.n_masked
        yield from _notes(given, grid.notes, grid.size, taken, linked)


def _notes(given: GridInput, changes: tuple[str, ...], cells: int, taken: int, linked: int) -> Iterator[str]:
    for change in changes:
        yield f"{given.side} {given.name}: {change}"
    if taken < cells:
        yield f"{given.side} {given.name}: {cells - taken} of {cells} cells are masked and take no part"
    if linked < taken:
        what = (
            "are used by no destination cell" if given.side == "source" else "get no value, because no source is there"
        )
        yield f"{given.side} {given.name}: {taken - linked} of {taken} cells that take part {what}"

"""The variables of a file that lie on the source grid of regrid weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ai4land_coupler.errors import FieldError, GridError, nearest
from ai4land_coupler.files.cf_values import decode_values, is_packed
from ai4land_coupler.grids.mesh import unit_vectors
from ai4land_coupler.regrid.weight_files.read import GridSide

#: Share of the cells whose points may differ, because their points were mended when the grid was read.
_ODD_SHARE = 0.01


@dataclass(frozen=True)
class Field:
    """One variable on the source grid. ``place`` is the index of the first grid dimension, ``rank`` their number."""

    name: str
    array: xr.DataArray
    place: int
    rank: int

    @property
    def others(self) -> tuple[str, ...]:
        """Its dimensions that are not grid dimensions."""
        dims = [str(dim) for dim in self.array.dims]
        return tuple(dims[: self.place] + dims[self.place + self.rank :])

    @property
    def grid_dims(self) -> tuple[str, ...]:
        return tuple(str(dim) for dim in self.array.dims[self.place : self.place + self.rank])

    @property
    def packed(self) -> bool:
        return is_packed(self.array.attrs) or "_Unsigned" in self.array.attrs

    def missing_values(self) -> list[Any]:
        """Stored values that mean a missing value."""
        found: list[Any] = []
        for name in ("_FillValue", "missing_value"):
            if name in self.array.attrs:
                found.extend(np.atleast_1d(self.array.attrs[name]).tolist())
        return found

    def read(self, index: Sequence[slice]) -> NDArray[Any]:
        """Stored values of a part of the other dimensions, (fields, cells), with cells in the order of the grid."""
        whole = [slice(None)] * self.rank
        at = (*index[: self.place], *whole, *index[self.place :])
        values = np.asarray(self.array.variable[at].values)
        moved = np.moveaxis(values, range(self.place, self.place + self.rank), range(-self.rank, 0))
        cells = int(np.prod(moved.shape[len(moved.shape) - self.rank :]))
        return np.ascontiguousarray(moved).reshape(-1, cells)

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Values in float64, unpacked; NaN where they are missing."""
        return decode_values(stored, self.array.attrs, f"variable {self.name!r}").astype(np.float64, copy=False)


def find_fields(dataset: xr.Dataset, source: GridSide, wanted: Sequence[str], where: Path) -> list[Field]:
    """The variables to regrid: the wanted ones, or all data variables on the grid.

    Raises
    ------
    FieldError
        A variable is unknown, not on the grid or not numeric; or no variable is on the grid.
    GridError
        The cells of the input are at other places than those of the weights.
    """
    shape = _shape(source, where)
    for name in wanted:
        if name not in dataset.variables:
            known = [str(name) for name in dataset.variables]
            raise FieldError("the input has no such variable", found=name, where=where, remedy=nearest(name, known))
    helpers = _helpers(dataset)
    found = []
    for name in wanted or [str(name) for name in dataset.variables if name not in helpers]:
        array = dataset[name].reset_coords(drop=True)
        field = _on_grid(name, array, shape)
        if field is None or not np.issubdtype(array.dtype, np.number):
            if wanted:
                raise FieldError(
                    f"variable {name!r} does not lie on the source grid of the weights",
                    expected=f"numbers over neighbouring dimensions of {' x '.join(map(str, shape))} cells",
                    found=f"{array.dtype} over {dict(zip(array.dims, array.shape, strict=True))}",
                    where=where,
                )
            continue
        found.append(field)
    if not found:
        raise FieldError(
            "no variable lies on the source grid of the weights",
            expected=f"dimensions of {' x '.join(map(str, shape))} cells",
            found=", ".join(f"{name} {array.shape}" for name, array in dataset.variables.items()) or "no variables",
            where=where,
        )
    for dims in sorted({field.grid_dims for field in found}):
        _check_place(dataset, dims, shape, source, where)
    return found


def _shape(source: GridSide, where: Path) -> tuple[int, ...]:
    if source.dims is not None:
        return tuple(reversed(source.dims))
    if source.size is None:
        raise GridError(
            "the weights do not tell the size of their grids",
            where=where,
            remedy="put the grids in: ai4land weights SOURCE DESTINATION --backend file --option path=FILE -o NEW.nc",
        )
    return (source.size,)


def _on_grid(name: str, array: xr.DataArray, shape: tuple[int, ...]) -> Field | None:
    for wanted in (shape, (int(np.prod(shape)),)):
        rank = len(wanted)
        for place in range(array.ndim - rank, -1, -1):
            if array.shape[place : place + rank] == wanted:
                return Field(name, array, place, rank)
    return None


def _helpers(dataset: xr.Dataset) -> set[str]:
    """Variables that describe other variables: coordinates, bounds, cell areas."""
    names = {str(dim) for dim in dataset.dims}
    for array in dataset.variables.values():
        names.update(str(array.attrs.get("coordinates", "")).split())
        names.update(str(array.attrs[key]) for key in ("bounds", "climatology", "grid_mapping") if key in array.attrs)
        names.update(str(array.attrs.get("cell_measures", "")).split())
    latlon = {str(name) for name, array in dataset.variables.items() if _kind(array.attrs) is not None}
    return names | latlon


def _kind(attrs: Any) -> str | None:
    units, standard = str(attrs.get("units", "")).lower(), attrs.get("standard_name")
    if standard == "latitude" or units in ("degrees_north", "degree_north"):
        return "lat"
    return "lon" if standard == "longitude" or units in ("degrees_east", "degree_east") else None


def _check_place(
    dataset: xr.Dataset, dims: tuple[str, ...], shape: tuple[int, ...], source: GridSide, where: Path
) -> None:
    """Refuse data whose coordinates differ from the source cells of the weights, as in south-up data."""
    if source.centre_lon is None or source.centre_lat is None:
        return
    found: dict[str, NDArray[np.float64]] = {}
    for array in dataset.variables.values():
        kind = _kind(array.attrs)
        own = tuple(str(dim) for dim in array.dims)
        if kind is None or not own or not set(own) <= set(dims) or not np.issubdtype(array.dtype, np.floating):
            continue
        values = np.asarray(array.values, np.float64)
        if len(own) < len(dims):
            values = np.expand_dims(values, [place for place, dim in enumerate(dims) if dim not in own])
        sizes = tuple(dataset.sizes[dim] for dim in dims)
        found.setdefault(kind, np.broadcast_to(values, sizes).ravel())
    if len(found) < 2:
        return
    cells = int(np.prod(shape))
    far = np.linalg.norm(
        unit_vectors(found["lon"], found["lat"]) - unit_vectors(source.centre_lon, source.centre_lat), axis=1
    )
    width = np.full(cells, np.sqrt(4 * np.pi / cells))
    if source.area is not None and source.area.any():
        width = np.sqrt(np.abs(source.area))
    taken = np.isfinite(far) & (source.mask != 0 if source.mask is not None else True)
    bad = taken & (far > width)
    if bad.sum() > _ODD_SHARE * taken.sum():
        cell = int(np.argmax(bad))
        raise GridError(
            "the input has its cells elsewhere than the weights",
            expected=f"cell {cell} at {source.centre_lon[cell]:.6g} E, {source.centre_lat[cell]:.6g} N",
            found=f"{found['lon'][cell]:.6g} E, {found['lat'][cell]:.6g} N; {int(bad.sum())} of {cells} cells differ",
            where=where,
            remedy="turn the latitudes or longitudes of the input, or make the weights from this file",
        )

"""The variables of a file that lie on the source grid of regrid weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ai4land_coupler.errors import FieldError, GridError, nearest
from ai4land_coupler.files.cf_values import decode_values
from ai4land_coupler.regrid.files.places import Place, coordinates_on, find_place, kind_of
from ai4land_coupler.regrid.weight_files.read import GridSide


@dataclass(frozen=True)
class Field:
    """One variable on the source grid.

    ``place`` is the index of the first grid dimension, ``rank`` their number. ``order`` is the index of its cell for
    each source cell of the weights; ``None`` if they come in the same order.
    """

    name: str
    array: xr.DataArray
    place: int
    rank: int
    order: NDArray[np.int64] | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """Its dimensions that are not grid dimensions."""
        dims = [str(dim) for dim in self.array.dims]
        return tuple(dims[: self.place] + dims[self.place + self.rank :])

    @property
    def grid_dims(self) -> tuple[str, ...]:
        return tuple(str(dim) for dim in self.array.dims[self.place : self.place + self.rank])

    def read(self, index: Sequence[slice]) -> NDArray[Any]:
        """Stored values of a part of the other dimensions, (fields, cells), with cells in the order of the weights."""
        whole = [slice(None)] * self.rank
        at = (*index[: self.place], *whole, *index[self.place :])
        values = np.asarray(self.array.variable[at].values)
        moved = np.moveaxis(values, range(self.place, self.place + self.rank), range(-self.rank, 0))
        cells = int(np.prod(moved.shape[len(moved.shape) - self.rank :]))
        listed = np.ascontiguousarray(moved).reshape(-1, cells)
        return listed if self.order is None else listed[:, self.order]

    def decode(self, stored: NDArray[Any], where: object) -> NDArray[np.float64]:
        """Values in float64, unpacked; NaN where they are missing."""
        return decode_values(stored, self.array.attrs, where).astype(np.float64, copy=False)


def find_fields(
    dataset: xr.Dataset, source: GridSide, wanted: Sequence[str], where: Path
) -> tuple[list[Field], list[str]]:
    """The variables to regrid: the wanted ones, or all data variables on the grid.

    Returns
    -------
    The fields, and notes for the user on positions that were not checked, or are in another order.

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
    helpers = _helpers(dataset, where)
    found = []
    for name in list(dict.fromkeys(wanted)) or [str(name) for name in dataset.variables if name not in helpers]:
        array = dataset[name].reset_coords(drop=True)
        field = _on_grid(dataset, name, array, shape, where)
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
    places: dict[Any, Place] = {}
    placed, notes = [], []
    for field in found:
        key = (field.grid_dims, str(field.array.attrs.get("coordinates", "")))
        if key not in places:
            places[key] = find_place(dataset, field.array, field.grid_dims, source, where)
            notes += [places[key].note] if places[key].note else []
        placed.append(replace(field, order=places[key].order))
    return placed, notes


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


def _on_grid(dataset: xr.Dataset, name: str, array: xr.DataArray, shape: tuple[int, ...], where: Path) -> Field | None:
    """The variable with its grid dimensions: those with latitudes and longitudes, if several have the right lengths."""
    cells = (int(np.prod(shape)),)
    found = []
    for wanted in dict.fromkeys((shape, cells, shape[::-1])):
        rank = len(wanted)
        for place in range(array.ndim - rank, -1, -1):
            if array.shape[place : place + rank] == wanted:
                field = Field(name, array, place, rank)
                known = sum(bool(some) for some in coordinates_on(dataset, array, field.grid_dims, where).values())
                if known == 2 or wanted in (shape, cells):
                    found.append((known, field))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _helpers(dataset: xr.Dataset, where: Path) -> set[str]:
    """Variables that describe other variables: coordinates, bounds, cell areas."""
    names = {str(dim) for dim in dataset.dims}
    for array in dataset.variables.values():
        names.update(str(array.attrs.get("coordinates", "")).split())
        names.update(str(array.attrs[key]) for key in ("bounds", "climatology", "grid_mapping") if key in array.attrs)
        names.update(str(array.attrs.get("cell_measures", "")).split())
    latlon = {str(name) for name, array in dataset.variables.items() if kind_of(str(name), array, where) is not None}
    return names | latlon

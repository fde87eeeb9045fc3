"""Dimensions, coordinates and bounds of the destination grid, according to CF."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.regrid.weight_files.read import GridSide

_LAT = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
_LON = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}


@dataclass(frozen=True)
class Column:
    """A variable that is written as a whole."""

    name: str
    dims: tuple[str, ...]
    values: NDArray[Any]
    attrs: dict[str, Any]


@dataclass(frozen=True)
class OutputGrid:
    """Dimensions of the destination, slowest first, and their coordinate variables.

    Every variable on the grid gets ``attributes``.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    columns: list[Column] = field(default_factory=list)
    coordinates: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


def output_grid(grid: GridSide, size: int) -> OutputGrid:
    """Latitude and longitude axes if possible; else two-dimensional coordinates, or a list of cells.

    Parameters
    ----------
    size:
        Number of cells of the grid, if ``grid`` does not have it.
    """
    shape = tuple(reversed(grid.dims or (grid.size or size,)))
    if grid.centre_lon is None or grid.centre_lat is None:
        dims = ("y", "x") if len(shape) == 2 else ("cell",)
        return OutputGrid(dims, shape)
    if len(shape) == 2:
        axes = _axes(grid, shape)
        if axes is not None:
            return axes
    dims = ("y", "x") if len(shape) == 2 else ("cell",)
    columns = []
    for name, facts, centre, corner in (
        ("lat", _LAT, grid.centre_lat, grid.corner_lat),
        ("lon", _LON, grid.centre_lon, grid.corner_lon),
    ):
        attrs = dict(facts)
        if corner is not None:
            attrs["bounds"] = f"{name}_bnds"
            columns.append(Column(f"{name}_bnds", (*dims, "vertices"), corner.reshape(*shape, -1), {}))
        columns.append(Column(name, dims, centre.reshape(shape), attrs))
    attributes = {} if len(shape) == 2 else {"CDI_grid_type": "unstructured"}
    return OutputGrid(dims, shape, columns, "lat lon", attributes)


def without_clashes(
    grid: OutputGrid, variables: Collection[str], others: Collection[str], kept: Mapping[str, int]
) -> OutputGrid:
    """Rename dimensions and coordinates of the destination whose names the input needs: ``lat`` becomes ``lat_2``.

    Parameters
    ----------
    variables:
        Names of the regridded variables.
    others:
        Their dimensions that are not grid dimensions.
    kept:
        Lengths of all dimensions of the input that stay. Bounds may share a dimension of the same length.
    """
    lengths = dict(zip(grid.dims, grid.shape, strict=True))
    for column in grid.columns:
        lengths |= dict(zip(column.dims, column.values.shape, strict=True))
    clash = {dim for dim, length in lengths.items() if kept.get(dim, length) != length}
    clash |= set(grid.dims) & set(others)
    clash |= {column.name for column in grid.columns if column.name in variables}
    known = {*variables, *kept, *lengths, *(column.name for column in grid.columns)}
    new = {name: next(f"{name}_{i}" for i in itertools.count(2) if f"{name}_{i}" not in known) for name in clash}

    def renamed(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(new.get(name, name) for name in names)

    columns = []
    for column in grid.columns:
        attrs = dict(column.attrs)
        if "bounds" in attrs:
            attrs["bounds"] = new.get(attrs["bounds"], attrs["bounds"])
        columns.append(Column(new.get(column.name, column.name), renamed(column.dims), column.values, attrs))
    coordinates = " ".join(renamed(grid.coordinates.split()))
    return OutputGrid(renamed(grid.dims), grid.shape, columns, coordinates, grid.attributes)


def _axes(grid: GridSide, shape: tuple[int, ...]) -> OutputGrid | None:
    """One axis of latitudes and one of longitudes; ``None`` if the cells are not a product of two axes."""
    assert grid.centre_lon is not None
    assert grid.centre_lat is not None
    lat, lon = grid.centre_lat.reshape(shape), grid.centre_lon.reshape(shape)
    turned = lon - lon[0]
    turned -= 360.0 * np.round(turned / 360.0)
    if np.ptp(lat, axis=1).max() > 1e-6 or np.abs(turned).max() > 1e-6:
        return None
    along = lon[0].copy()
    along[1:] = along[0] + np.cumsum(np.mod(np.diff(along) + 180.0, 360.0) - 180.0)  # no jump at the seam
    columns = [Column("lat", ("lat",), lat[:, 0], _LAT | {"axis": "Y"})]
    columns.append(Column("lon", ("lon",), along, _LON | {"axis": "X"}))
    if grid.corner_lon is not None and grid.corner_lat is not None:
        corner_lat = grid.corner_lat.reshape(*shape, -1)
        offset = grid.corner_lon.reshape(*shape, -1) - lon[..., None]
        offset -= 360.0 * np.round(offset / 360.0)
        # the longitude of a corner at a pole is arbitrary
        offset = np.where(np.abs(corner_lat) > 90.0 - 1e-6, np.nan, offset)
        south, north = corner_lat.min(axis=(1, 2)), corner_lat.max(axis=(1, 2))
        west, east = np.nanmin(offset, axis=(0, 2)) + along, np.nanmax(offset, axis=(0, 2)) + along
        for name, low, high, centres in (("lat", south, north, lat[:, 0]), ("lon", west, east, along)):
            bounds = np.stack([low, high], axis=1)
            if centres.size > 1 and centres[1] < centres[0]:
                bounds = bounds[:, ::-1]
            columns.append(Column(f"{name}_bnds", (name, "bnds"), bounds, {}))
        for column in columns[:2]:
            column.attrs["bounds"] = f"{column.name}_bnds"
    return OutputGrid(("lat", "lon"), shape, columns)

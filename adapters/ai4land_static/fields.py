"""Reads static fields from one netCDF file onto any requested grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldInfo,
    GridError,
    InputFile,
    LatLonGrid,
    Request,
    factor,
    find_files,
    nearest,
    open_netcdf,
    read_native_values,
)
from ai4land_static.geometry import Geometry, read_geometry
from ai4land_static.known import DERIVED, KNOWN
from ai4land_static.means import cell_means
from ai4land_static.options import StaticOptions
from ai4land_static.sources import FieldSource, find_sources
from ai4land_static.terrain import aspect, gradient, slope, whole_turn

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

#: Bytes of variables that an adapter may keep in memory.
KEPT = 64 << 20


class StaticAdapter(DataAdapter):
    """Delivers static fields on the requested cells.

    If the cells of the file are less than half as long as the requested ones, fields are averaged by area. Otherwise,
    and always for a rotated pole, they are interpolated bilinearly to the centres. Categories are those of the nearest
    cell.

    If the file has no slope and aspect, they are computed from elevation by central differences at the resolution of
    the data. If fields are interpolated, the gradient is interpolated and the angles follow from it. If fields are
    averaged, the slope is the mean of the fine slopes, and the aspect is the direction of the mean gradient.
    """

    def __init__(self, options: StaticOptions) -> None:
        self._file, self._options = _one_file(options), options
        self._kept: dict[str, NDArray[Any]] = {}
        self._path = self._file.name
        with open_netcdf(self._file.path, self._path) as dataset:
            self._sources = find_sources(dataset, options)
            geometries = {v: read_geometry(dataset, v, self._path) for s in self._sources.values() for v in s.variables}
        first, *others = geometries.items()
        self._geometry: Geometry = first[1]
        for name, other in others:
            if other.dims != self._geometry.dims or other.pole != self._geometry.pole:
                raise GridError(
                    "variables of one file lie on different grids",
                    expected=f"{self._geometry.dims} of {first[0]!r}",
                    found=f"{other.dims} of {name!r}",
                    where=self._path,
                    remedy="list the adapter twice, each with the `variables` of one grid",
                )

    def fields(self) -> Mapping[str, FieldInfo]:
        found = {}
        for name, source in self._sources.items():
            known = KNOWN.get(name)
            found[name] = FieldInfo(name, source.delivered, known.long_name if known else ", ".join(source.variables))
        if "elevation" in found:
            for name in DERIVED:
                note = f"{KNOWN[name].long_name} (derived from elevation by central differences)"
                found.setdefault(name, FieldInfo(name, KNOWN[name].units, note))
        return found

    def grid(self) -> None:
        """Returns ``None``: the adapter can deliver on any grid."""

    def describe(self) -> str:
        """A text for users: file, grid, and the origin of each field."""
        lat, lon = self._geometry.lat, self._geometry.once_around().lon
        steps = f"{np.diff(lat).mean():.6g} x {np.diff(lon).mean():.6g} degrees"
        lines = [
            f"file: {self._path}",
            f"grid: {lat.size} x {lon.size} cells of {steps}, centres {lat[0]:.6g} to {lat[-1]:.6g} N, "
            f"{lon[0]:.6g} to {lon[-1]:.6g} E" + (", rotated pole" if self._geometry.pole else ""),
        ]
        for name, info in self.fields().items():
            source = self._sources.get(name)
            lines.append(
                f"{name} ({info.units}): {info.long_name}" if source is None else f"{name} ({info.units}): {source}"
            )
        return "\n".join(lines)

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """The one file."""
        return {self._file.name: self._file.path}

    def read(self, request: Request) -> xr.Dataset:
        """Read fields over (lat, lon), float32, for any years. Cells without data are NaN, counted as ``outside``."""
        import xarray as xr

        known = self.fields()
        for name in request.variables:
            if name not in known:
                raise DataError(
                    f"variable {name!r} is missing from the static fields",
                    where=self._path,
                    remedy=nearest(name, known),
                )
        self._refuse_half_a_cell(request)
        y, x, inside = self._geometry.locate(request.grid)
        found = {n: np.full(request.grid.shape, np.nan, np.float32) for n in request.variables}
        categories = [n for n in request.variables if n in self._sources and self._sources[n].kind == "category"]
        others = [n for n in request.variables if n not in categories]
        averaged = self._geometry.much_finer_than(request.grid)
        covered = np.broadcast(y, x).size
        if covered:
            points = self._nearest(categories, y, x)
            if not averaged:
                points |= self._interpolate(others, y, x)
            for name, values in points.items():
                found[name][inside] = values
            if averaged and others:
                for name, means in self._average(others, request.grid).items():
                    found[name][inside] = means[inside]
        dataset = xr.Dataset(
            {n: (("lat", "lon"), a) for n, a in found.items()},
            {"lat": request.grid.lat, "lon": request.grid.lon},
            attrs={"source": self._file.stem, "quality": {"outside": request.grid.size - covered}},
        )
        for name in request.variables:
            method = "nearest cell" if name in categories else "mean over the cell" if averaged else "bilinear"
            flags = self._sources[name].flags if name in self._sources else {}
            dataset[name].attrs = {
                "units": known[name].units,
                "long_name": known[name].long_name,
                "resampling": method,
                **flags,
            }
        return dataset

    def _refuse_half_a_cell(self, request: Request) -> None:
        if self._options.half_cell == "refuse" and self._geometry.half_a_cell_off(request.grid):
            raise GridError(
                "static data and land have cells of one size that lie half a cell beside one another",
                expected=f"cell centres, as those of the land: {request.grid}",
                found=f"latitudes from {self._geometry.lat[0]:.6g}, longitudes from {self._geometry.lon[0]:.6g}",
                where=f"{self._path}, variables {', '.join(request.variables)}",
                remedy="one of the two may give corners as centres: correct it. Data that do lie there: "
                "`half_cell: interpolate`",
            )

    def _nearest(self, names: Sequence[str], y: Array, x: Array) -> dict[str, NDArray[np.float32]]:
        if not names:
            return {}
        window = self._geometry.window(y, x)
        rows, cols = window.nearest(y, x)
        raw = self._read(names, window)
        return {n: raw[n][rows, cols].astype(np.float32) for n in names}

    def _interpolate(self, names: Sequence[str], y: Array, x: Array) -> dict[str, NDArray[np.float32]]:
        if not names:
            return {}
        window = self._geometry.window(y, x)
        layers = self._layers(names, window, averaged=False)
        points = {name: window.interpolate(layer, y, x) for name, layer in layers.items()}
        bearing = 0.0 if window.pole is None else window.pole.bearing_of_north(y, x)
        return {n: _finish(n, points, bearing) for n in names}

    def _average(self, names: Sequence[str], grid: LatLonGrid) -> dict[str, NDArray[np.float32]]:
        found = {n: np.full(grid.shape, np.nan, np.float32) for n in names}
        for rows, means in cell_means(self._geometry, grid):
            layers = self._layers(names, means.window, averaged=True)
            stacked = means.apply(np.stack(list(layers.values()), axis=-1))
            cells = dict(zip(layers, np.moveaxis(stacked, -1, 0), strict=True))
            for name in names:
                found[name][rows] = _finish(name, cells, 0.0)
        return found

    def _layers(self, names: Sequence[str], window: Geometry, averaged: bool) -> dict[str, Array]:
        """Quantities over the window that may be averaged. The mean of aspects 359 and 1 must not be 180."""
        derived = [n for n in names if n not in self._sources]
        raw = self._read([*names, *(["elevation"] if derived else [])], window)
        layers: dict[str, Array] = {}
        for name in names:
            if name in derived:
                east, north = gradient(raw["elevation"], window.lat, window.lon)
                if averaged and name == "slope":
                    layers["slope"] = slope(east, north)
                else:
                    layers["east"], layers["north"] = east, north
            elif name == "aspect":
                layers["sine"], layers["cosine"] = np.sin(np.deg2rad(raw[name])), np.cos(np.deg2rad(raw[name]))
            else:
                layers[name] = raw[name]
        return layers

    def _read(self, names: Iterable[str], window: Geometry) -> dict[str, Array]:
        """Read fields of the file over a window, in the delivered units; NaN where missing."""
        found = {}
        with open_netcdf(self._file.path, self._path) as dataset:
            for name in dict.fromkeys(n for n in names if n in self._sources):
                source = self._sources[name]
                total = np.zeros((window.lat.size, window.lon.size))
                for variable, weight in zip(source.variables, source.weights, strict=True):
                    total += weight * self._values(dataset, window, name, source, variable)
                found[name] = total
        return found

    def _values(self, dataset: Any, window: Geometry, name: str, source: FieldSource, variable: str) -> Array:
        where = f"{self._path}, variable {variable!r}"
        array = window.read(dataset[variable], self._whole(dataset[variable]))
        if source.kind == "count":
            array = array / window.cell_area()
        else:
            array = array * factor(source.units[variable], source.delivered, where=where)
        low, high = KNOWN[name].valid if name in KNOWN else (-np.inf, np.inf)
        slack = 1e-3 * (high - low) if name in KNOWN else 0.0
        wrong = np.isinf(array) | (array < low - slack) | (array > high + slack)
        if source.kind == "category":
            wrong |= np.isfinite(array) & (array != np.rint(array))
        if wrong.any():
            raise DataError(
                f"variable {variable!r} holds values that {name} cannot have in {int(wrong.sum())} cells",
                expected=f"{low:g} to {high:g} {source.delivered}" if name in KNOWN else f"finite {source.kind} values",
                found=f"{array[wrong][0]:.6g}",
                where=self._path,
                remedy="declare the fill value of the file as _FillValue, or correct its units",
            )
        return array

    def _whole(self, variable: Any) -> NDArray[Any] | None:
        """All values of a small variable; ``None`` for a large one.

        They are cached: the chunks of a file are often larger than a window, and each window would decompress them.
        """
        name = variable.name
        if name not in self._kept:
            size = variable.size * max(variable.dtype.itemsize, 4)
            if size + sum(array.nbytes for array in self._kept.values()) > KEPT:
                return None
            self._kept[name] = read_native_values(variable, *[slice(None)] * variable.ndim)
        return self._kept[name]


def _one_file(options: StaticOptions) -> InputFile:
    found = find_files(options.path)
    if len(found) > 1:
        raise DataError(
            "a pattern matches several files, where static fields are read from one",
            expected="1 file",
            found=", ".join(file.stem for file in found),
            where=options.path,
            remedy="list the adapter once for each file",
        )
    return found[0]


def _finish(name: str, points: Mapping[str, Array], bearing: Array | float) -> NDArray[np.float32]:
    """Compute a field from its resampled layers."""
    if name in points:
        return points[name].astype(np.float32)
    if name == "slope":
        return slope(points["east"], points["north"]).astype(np.float32)
    if "sine" in points:
        angle = whole_turn(np.rad2deg(np.arctan2(points["sine"], points["cosine"])))
    else:
        angle = aspect(points["east"], points["north"], bearing)
    found = angle.astype(np.float32)
    found[found == 360] = 0  # An angle that is rounded to 360 degrees is north.
    return found

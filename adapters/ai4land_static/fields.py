"""Static fields of one netCDF file on whatever grid is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError, FieldInfo, GridError, Options, Request, factor, nearest
from ai4land_luh2.netcdf import open_netcdf
from ai4land_static.geometry import Geometry, read_geometry
from ai4land_static.terrain import aspect, gradient, slope

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """A field that we know: units, CF standard name, and the range that its values can have."""

    units: str
    standard_name: str
    long_name: str
    valid: tuple[float, float]


KNOWN: Mapping[str, Known] = {
    "elevation": Known("m", "surface_altitude", "surface elevation", (-12_000.0, 9_000.0)),
    "slope": Known("degree", "ground_slope_angle", "slope", (0.0, 90.0)),
    "aspect": Known("degree", "ground_slope_direction", "aspect, clockwise from north, downslope", (0.0, 360.0)),
    "clay": Known("1", "volume_fraction_of_clay_in_soil", "clay content of the soil", (0.0, 1.0)),
    "sand": Known("1", "volume_fraction_of_sand_in_soil", "sand content of the soil", (0.0, 1.0)),
    "organic_carbon": Known("g kg-1", "", "organic carbon content of the soil", (0.0, 1_000.0)),
}

#: Made from elevation where the file has none.
DERIVED = ("slope", "aspect")


class StaticOptions(Options):
    """Options of ``static``.

    Parameters
    ----------
    path:
        A netCDF file with a regular latitude-longitude grid or a rotated pole.
    variables:
        Our name to the name in the file. Default: the known fields, found by name or CF standard name.
        A name that we do not know is delivered in the units of the file.
    """

    path: Path
    variables: dict[str, str] | None = None


class StaticAdapter:
    """Delivers static fields, interpolated bilinearly to the cell centres that are asked for.

    Slope and aspect are made from elevation where the file has none: the gradient, by central differences
    at the data's own resolution, is interpolated, and the angles are those of the interpolated gradient.
    """

    def __init__(self, options: StaticOptions) -> None:
        self._path = options.path
        with open_netcdf(options.path) as dataset:
            self._names = _find_variables(dataset, options)
            self._units = {n: str(getattr(dataset[v], "units", "")) for n, v in self._names.items()}
            for variable in self._names.values():
                _refuse_categories(dataset[variable], f"{options.path}, variable {variable!r}")
            geometries = {v: read_geometry(dataset, v, options.path) for v in self._names.values()}
        first, *others = geometries.items()
        self._geometry: Geometry = first[1]
        for name, other in others:
            if other.dims != self._geometry.dims or other.pole != self._geometry.pole:
                raise GridError(
                    "variables of one file lie on different grids",
                    expected=f"{self._geometry.dims} of {first[0]!r}",
                    found=f"{other.dims} of {name!r}",
                    where=options.path,
                    remedy="list the adapter twice, each with the `variables` of one grid",
                )
        self._factors = {n: self._factor(n) for n in self._names}

    def fields(self) -> Mapping[str, FieldInfo]:
        found = {}
        for name, variable in self._names.items():
            known = KNOWN.get(name)
            units = known.units if known else self._units[name]
            found[name] = FieldInfo(name, units, known.long_name if known else variable)
        if "elevation" in found:
            for name in DERIVED:
                note = f"{KNOWN[name].long_name} (derived from elevation by central differences)"
                found.setdefault(name, FieldInfo(name, KNOWN[name].units, note))
        return found

    def grid(self) -> None:
        """No grid of its own: it interpolates."""

    def read(self, request: Request) -> xr.Dataset:
        """Fields over (lat, lon), float32, whatever the years; NaN off the data, counted as ``outside``."""
        import xarray as xr

        known = self.fields()
        for name in request.variables:
            if name not in known:
                raise DataError(
                    f"variable {name!r} is missing from the static fields",
                    where=self._path,
                    remedy=nearest(name, known),
                )
        y, x, inside = self._geometry.locate(request.grid)
        found = {n: np.full(request.grid.shape, np.nan, np.float32) for n in request.variables}
        if inside.any():
            for name, points in self._interpolate(request.variables, y[inside], x[inside]).items():
                found[name][inside] = points
        dataset = xr.Dataset(
            {n: (("lat", "lon"), a) for n, a in found.items()},
            {"lat": request.grid.lat, "lon": request.grid.lon},
            attrs={"source": self._path.name, "quality": {"outside": int((~inside).sum())}},
        )
        for name in request.variables:
            dataset[name].attrs = {"units": known[name].units, "long_name": known[name].long_name}
        return dataset

    def _factor(self, name: str) -> float:
        where = f"{self._path}, variable {self._names[name]!r}"
        return factor(self._units[name], KNOWN[name].units, where=where) if name in KNOWN else 1.0

    def _interpolate(self, names: Iterable[str], y: Array, x: Array) -> dict[str, NDArray[np.float32]]:
        """Each field at the points, from layers that may be averaged: an aspect of 359 and 1 is none of 180."""
        window = self._geometry.window(y, x)
        layers: dict[str, Array] = {}
        derived = [n for n in names if n not in self._names]
        wanted = (set(names) | {"elevation"} if derived else set(names)) & set(self._names)
        with open_netcdf(self._path) as dataset:
            raw = {n: self._read(dataset, window, n) for n in sorted(wanted)}
        for name in names:
            if name in derived:
                layers["east"], layers["north"] = gradient(raw["elevation"], window.lat, window.lon)
            elif name == "aspect":
                layers["sine"], layers["cosine"] = np.sin(np.deg2rad(raw[name])), np.cos(np.deg2rad(raw[name]))
            else:
                layers[name] = raw[name]
        stacked = window.interpolate(np.stack(list(layers.values()), axis=-1), y, x)
        points = dict(zip(layers, np.moveaxis(stacked, -1, 0), strict=True))
        bearing = 0.0 if window.pole is None else window.pole.bearing_of_north(y, x)
        return {n: _finish(n, n in derived, points, bearing) for n in names}

    def _read(self, dataset: Any, window: Geometry, name: str) -> Array:
        array = window.read(dataset[self._names[name]]) * self._factors[name]
        if name in KNOWN:
            low, high = KNOWN[name].valid
            slack = 1e-3 * (high - low)
            wrong = (array < low - slack) | (array > high + slack)
            if wrong.any():
                raise DataError(
                    f"variable {self._names[name]!r} holds values that {name} cannot have in {int(wrong.sum())} cells",
                    expected=f"{low:g} to {high:g} {KNOWN[name].units}",
                    found=f"{array[wrong][0]:.6g}",
                    where=self._path,
                    remedy="declare the fill value of the file as _FillValue, or correct its units",
                )
        return array


def _finish(name: str, derived: bool, points: Mapping[str, Array], bearing: Array | float) -> NDArray[np.float32]:
    """A field from the layers it was interpolated as."""
    if name == "aspect":
        if derived:
            angle = aspect(points["east"], points["north"], bearing)
        else:
            angle = np.rad2deg(np.arctan2(points["sine"], points["cosine"]))
        return np.asarray(angle, np.float32) % np.float32(360)  # what rounds to 360 is north
    return (slope(points["east"], points["north"]) if derived else points[name]).astype(np.float32)


def _refuse_categories(variable: Any, where: str) -> None:
    if hasattr(variable, "flag_values") or hasattr(variable, "flag_meanings"):
        raise DataError(
            "a static field holds categories, which cannot be interpolated",
            expected="a continuous field",
            found="the attribute flag_values or flag_meanings",
            where=where,
            remedy="turn each category into a field of fractions",
        )


def _find_variables(dataset: Any, options: StaticOptions) -> dict[str, str]:
    """Our name to the name in the file."""
    if options.variables is not None:
        for variable in options.variables.values():
            if variable not in dataset.variables:
                raise DataError(
                    f"variable {variable!r} is missing from the static file",
                    where=options.path,
                    remedy=nearest(variable, dataset.variables),
                )
        return dict(options.variables)
    found = {}
    for name, known in KNOWN.items():
        named = [
            v
            for v, variable in dataset.variables.items()
            if known.standard_name and getattr(variable, "standard_name", "") == known.standard_name
        ]
        if name in dataset.variables:
            found[name] = name
        elif len(named) == 1:
            found[name] = named[0]
        elif named:
            raise DataError(
                f"several variables could be {name!r}",
                found=", ".join(named),
                where=options.path,
                remedy=f"choose one: `variables: {{{name}: {named[0]}}}`",
            )
    if not found:
        raise DataError(
            "a file holds none of the static fields",
            expected=f"some of {', '.join(KNOWN)}, by name or CF standard name",
            found=", ".join(dataset.variables),
            where=options.path,
            remedy="say which is which with `variables`",
        )
    return found

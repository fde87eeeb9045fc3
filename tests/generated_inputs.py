"""Files as users bring them: coordinates, units, order, types, bounds, packing, missing values, calendars and repeated
cells, in random combinations. The maker knows the values that a reader must find: it evaluates a function of the true
place and year, and writes only through netCDF4, zarr and cftime. Nothing here uses the code under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import xarray as xr

YEARS = (2015, 2016, 2017)
STEP = 10.0  # degrees
CATEGORIES = np.array([11, 22, 55])

NORTH = ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN", "degrees", "degree", "radian")
EAST = tuple(units.replace("north", "east").replace("N", "E") for units in NORTH)
CHOICES: dict[str, Sequence[Any]] = {
    "format": (
        "NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "zarr2", "zarr3",
    ),
    "coordinates": ("f8", "f8", "f4", "i4", "i2"),
    "units": (*range(len(NORTH)), None),  # the place in NORTH and EAST; None: no attribute
    "standard_names": (True, False),
    "names": (("lat", "lon"), ("latitude", "longitude"), ("y", "x"), ("nav_lat", "nav_lon"), ("rows", "columns")),
    "south_up": (False, True),
    "westward": (False, False, False, True),
    "first_lon": (-180.0, 0.0, -170.0, 100.0, 180.0, -540.0),
    "region": (None, None, (150.0, 270.0), (300.0, 420.0), (-60.0, 60.0)),
    "order": tuple(tuple(order.split()) for order in (
        "time lat lon", "time lat lon", "time lon lat", "lat lon time", "lon lat time",
    )),
    "bounds": (None, None, "middle", "descending", "corner"),
    "shape": ("axes", "axes", "axes", "two", "list"),
    "storage": ("f4", "f8", "i2", "offset", "u1", "unsigned", "text"),
    "missing": ("none", "fill", "missing", "other", "words", "range", "unpacked", "max", "undeclared", "nan", "both"),
    # none: the standard calendar without its name; lost: days without leap days, without the name of a calendar
    "time": (
        "standard", "noleap", "360_day", "proleptic_gregorian", "none", "lost", "years", "plain", "absolute", "bounds",
        "hours", None,
    ),
    "place": ((1, 1), (7, 1), (12, 31)),
    "since": ("1850-01-01", "2015-01-01", "0850-01-01"),
    "shift": (0.0,) * 12 + (0.02, 0.05, 0.1, 0.25, 0.5, 0.75),
    "along": ("lat", "lon"),
    "repeated": (0, 0, 0, 0, 0, 1, 2),
    "lie": (None,) * 20 + ("radians", "swapped"),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One file; each field is one of ``CHOICES``."""

    seed: int
    format: str
    coordinates: str
    units: int | None
    standard_names: bool
    names: tuple[str, str]
    south_up: bool
    westward: bool
    first_lon: float
    region: tuple[float, float] | None
    order: tuple[str, ...]
    bounds: str | None
    shape: str
    storage: str
    missing: str
    time: str | None
    place: tuple[int, int]
    since: str
    shift: float
    along: str
    repeated: int
    lie: str | None

    @property
    def years(self) -> tuple[int, ...]:
        return () if self.time is None else YEARS

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """True latitudes and longitudes of rows and columns, in the order of the file."""
        if self.region is None:
            lat, lon = 90 - STEP / 2 - STEP * np.arange(18), self.first_lon + STEP / 2 + STEP * np.arange(36)
        else:
            west, east = self.region
            lat, lon = 70 - STEP / 2 - STEP * np.arange(8), np.arange(west + STEP / 2, east, STEP)
        if self.shift:
            lat, lon = (lat[:-1] - STEP * self.shift, lon) if self.along == "lat" else (lat, lon + STEP * self.shift)
        lat = lat[::-1] if self.south_up else lat
        lon = lon[::-1] if self.westward else lon
        return lat, np.concatenate([lon, lon[: self.repeated] + (360.0 if not self.westward else -360.0)])

    @property
    def tolerance(self) -> float:
        """Of a value: half of the last digit that is stored, or single precision."""
        return {"i2": 1e-4, "offset": 1e-4, "text": 1e-4, "u1": 0.01, "unsigned": 0.01}.get(self.storage, 1e-5)

    def must_be_refused(self, reader: str) -> str | None:
        """Why no values can be right, or ``None``."""
        if self.lie is not None:
            return self.lie
        if self.time == "lost" and reader == "adapter":
            steps, attributes, _ = _time(self)
            if tuple(date.year for date in cftime.num2date(steps, attributes["units"])) != YEARS:
                return "days without leap days under no calendar"
        if self.shift and reader != "own":
            return "shifted by a part of a cell"
        return None


def draw(seed: int) -> Case:
    """The case of a number. Combinations that no file can have are changed to the nearest that one can."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {name: choices[rng.integers(len(choices))] for name, choices in CHOICES.items()}
    radian = made["units"] is not None and NORTH[made["units"]] == "radian"
    if radian or made["shift"] or made["lie"] == "radians":
        made["coordinates"] = "f8" if made["coordinates"].startswith("i") else made["coordinates"]
    if made["lie"] == "radians":
        made |= {"region": None, "units": 0}
    if made["lie"] == "swapped":
        made |= {"standard_names": True, "units": 0}
    if made["names"] == ("rows", "columns") and not (made["standard_names"] or made["units"] in range(6)):
        made["names"] = ("lat", "lon")
    if made["names"] == ("y", "x") and made["shape"] != "axes":
        made["names"] = ("lat", "lon")
    if made["region"] is not None:
        made["repeated"] = 0
    if made["storage"] == "u1" and made["format"].startswith(("NETCDF3", "NETCDF4_C")):
        made["storage"] = "unsigned"
    if made["storage"] in ("f4", "f8"):
        if made["missing"] == "unpacked":
            made["missing"] = "range"
    elif made["missing"] == "nan":
        made["missing"] = "fill"
    if made["missing"] == "undeclared" and made["storage"] in ("u1", "unsigned"):
        made["missing"] = "fill"
    if made["bounds"] == "corner" and made["shape"] != "axes":
        made["bounds"] = "middle"
    if made["shape"] == "list" and made["bounds"] is None:
        made["bounds"] = "middle"
    if made["time"] == "360_day" and made["place"] == (12, 31):
        made["place"] = (12, 30)
    assert set(made) | {"seed"} == {field.name for field in fields(Case)}
    return Case(seed, **made)


def truth(lat: np.ndarray, lon: np.ndarray, year: int) -> np.ndarray:
    """The value at a place, 0.05 to 2.4; NaN where it is missing."""
    y, x = np.deg2rad(lat), np.deg2rad(lon)
    value = 1.2 + 0.6 * np.sin(y) + 0.4 * np.cos(y) * np.cos(x - 0.5) + 0.1 * np.sin(2 * x) + 0.02 * (year - 2015)
    return np.where(np.sin(3 * y) * np.cos(2 * x) > 0.6, np.nan, value)


def expected(case: Case, lat: np.ndarray, lon: np.ndarray, year: int) -> np.ndarray:
    """:func:`truth` as the file can tell it: without missing values if it has none."""
    found = truth(lat, lon, year)
    return np.where(np.isnan(found), 0.05, found) if case.missing == "none" else found


def _stored(case: Case, values: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Values as they are stored, and their attributes."""
    absent = np.isnan(values)
    scale, offset, dtype = {
        "f4": (None, None, "f4"), "f8": (None, None, "f8"), "i2": (1e-4, None, "i2"), "offset": (1e-4, 0.5, "i2"),
        "text": (1e-4, 0.0, "i2"), "u1": (0.01, None, "u1"), "unsigned": (0.01, None, "i1"),
    }[case.storage]  # fmt: skip
    attributes: dict[str, Any] = {"long_name": "truth"}
    if scale is None:
        stored, odd = np.where(absent, 0, values).astype(dtype), np.dtype(dtype).type(-9999)
    else:
        attributes["scale_factor"] = str(scale) if case.storage == "text" else np.float64(scale)
        if offset is not None:
            attributes["add_offset"] = str(offset) if case.storage == "text" else np.float64(offset)
        numbers = np.rint((np.where(absent, 0.5, values) - (offset or 0.0)) / scale)
        stored = numbers.astype("u1").view("i1") if case.storage == "unsigned" else numbers.astype(dtype)
        odd = {"u1": np.uint8(255), "unsigned": np.int8(-1)}.get(case.storage, np.int16(-32000))
    if case.storage == "unsigned":
        attributes["_Unsigned"] = "true"
    number = float(odd) if case.storage != "unsigned" else float(np.uint8(255))
    code: Any = odd
    match case.missing:
        case "fill":
            attributes["_FillValue"] = odd
        case "missing":
            attributes["missing_value"] = odd
        case "both":
            attributes |= {"_FillValue": odd, "missing_value": odd}
        case "other":
            attributes["missing_value"] = np.float64(number)
        case "words":
            attributes["missing_value"] = f"{number:g}"
        case "range" | "max" if scale is None:
            code = np.dtype(dtype).type(-9999 if case.missing == "range" else 9999)
            attributes |= (
                {"valid_range": np.array([0, 3], dtype)}
                if case.missing == "range"
                else {"valid_max": np.dtype(dtype).type(3)}
            )
        case "range" | "max":
            byte = case.storage in ("u1", "unsigned")
            limits = np.array([0, 250], "u1").view(dtype) if byte else np.array([-10000, 30000], dtype)
            code = odd if byte or case.missing == "range" else np.int16(32000)
            attributes |= {"valid_range": limits} if case.missing == "range" else {"valid_max": limits[1]}
        case "unpacked":
            attributes["valid_range"] = np.array([0.0, 2.52])
        case "undeclared":
            code = np.dtype(dtype).type(1e20 if scale is None else -32767)
        case "nan":
            code = np.dtype(dtype).type(np.nan)
    stored[absent] = code
    return stored, attributes


def _time(case: Case) -> tuple[np.ndarray, dict[str, Any], np.ndarray | None]:
    calendar = {"none": "standard", "lost": "noleap", "bounds": "noleap", "hours": "standard"}.get(case.time, case.time)
    month, day = case.place
    years = np.array(YEARS, float)
    if case.time == "years":
        return years - 2000, {"units": "years since 2000-01-01"}, None
    if case.time == "plain":
        return years, {}, None
    if case.time == "absolute":
        return years * 10000 + month * 100 + day, {"units": "day as %Y%m%d.%f"}, None
    units = f"{'hours' if case.time == 'hours' else 'days'} since {case.since}"

    def number(*date: int) -> float:
        return float(cftime.date2num(cftime.datetime(*date, calendar=calendar), units, calendar=calendar))

    attributes = {"units": units} | ({} if case.time in ("none", "lost") else {"calendar": calendar})
    if case.time == "bounds":  # each step is labelled with its end
        ends = np.array([[number(year, 1, 1), number(year + 1, 1, 1)] for year in YEARS])
        return ends[:, 1], {**attributes, "bounds": "time_bnds"}, ends
    return np.array([number(year, month, day) for year in YEARS]), attributes, None


def write(case: Case, path: Path) -> Path:
    """Write the file of a case with the variable ``t``. The ending of the name follows the format."""
    lat, lon = case.axes
    unit = None if case.units is None else (NORTH[case.units], EAST[case.units])
    radian = (unit is not None and unit[0] == "radian") or case.lie == "radians"
    places = np.meshgrid(lat, lon, indexing="ij")
    values = np.stack([expected(case, *places, year) for year in case.years or (2015,)])
    coordinates, bounds = _coordinates(case, lat, lon)
    dims: dict[str, tuple[str, ...]]
    grid: tuple[str, ...]
    if case.shape == "list":
        values = values.reshape(len(values), -1)
        grid = ("cell",)
    elif case.shape == "two":
        grid = ("j", "i")
    else:
        grid = case.names
    order = [{"lat": grid[0], "lon": grid[-1]}.get(name, name) for name in case.order]
    order = [name for name in dict.fromkeys(order) if name != "time" or case.years]
    own = ("time", *grid) if case.years else grid
    values = values if case.years else values[0]
    stored, attributes = _stored(case, np.transpose(values, [own.index(name) for name in order]))
    attributes["units"] = "1"
    if case.shape != "axes":
        attributes["coordinates"] = " ".join(case.names)
    made: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {"t": (tuple(order), stored, attributes)}
    for place, name in enumerate(case.names):
        extra: dict[str, Any] = {} if unit is None else {"units": unit[place]}
        if case.standard_names:
            extra["standard_name"] = ("latitude", "longitude")[place if case.lie != "swapped" else 1 - place]
        numbers = np.deg2rad(coordinates[place]) if radian else coordinates[place]
        dims = {"axes": (name,), "two": grid, "list": grid}
        if bounds is not None:
            extra["bounds"] = f"{name}_bnds"
            corners = np.deg2rad(bounds[place]) if radian else bounds[place]
            made[f"{name}_bnds"] = ((*dims[case.shape], "nv"), corners, {})
        made[name] = (dims[case.shape], numbers.astype(case.coordinates), extra)
    if case.years:
        steps, extra, ends = _time(case)
        made["time"] = (("time",), steps, extra)
        if ends is not None:
            made["time_bnds"] = (("time", "two"), ends, {})
    return _write(case.format, path, made)


def _coordinates(case: Case, lat: np.ndarray, lon: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Coordinates in degrees, and their bounds if the file has any."""
    edges = [np.stack([centres - STEP / 2, centres + STEP / 2], -1) for centres in (lat, lon)]
    if case.shape == "axes":
        if case.bounds == "corner":
            return [edge[:, 0] for edge in edges], edges
        if case.bounds == "descending":
            edges = [edge[:, ::-1] for edge in edges]
        return [lat, lon], edges if case.bounds else None
    places = np.meshgrid(lat, lon, indexing="ij")
    low, high = ([p[..., side] for p in edges] for side in (0, 1))
    south, west = np.meshgrid(low[0], low[1], indexing="ij")
    north, east = np.meshgrid(high[0], high[1], indexing="ij")
    corners = [np.stack([south, south, north, north], -1), np.stack([west, east, east, west], -1)]
    if case.bounds == "descending":
        corners = [corner[..., ::-1] for corner in corners]
    if case.shape == "list":
        places, corners = [p.ravel() for p in places], [c.reshape(-1, 4) for c in corners]
    return list(places), corners if case.bounds else None


def _write(kind: str, path: Path, made: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]) -> Path:
    if kind.startswith("zarr"):
        path = path.with_suffix(".zarr")
        arrays = {}
        for name, (dims, values, attributes) in made.items():
            kept = {key: value for key, value in attributes.items() if key != "_FillValue"}
            fill = attributes.get("_FillValue")
            arrays[name] = xr.Variable(dims, values, kept, {"_FillValue": fill} if fill is not None else {})
            if fill is None:
                arrays[name].encoding["_FillValue"] = None
        xr.Dataset(arrays).to_zarr(path, mode="w", zarr_format=int(kind[-1]), consolidated=False)
        return path
    path = path.with_suffix(".nc")
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for dims, values, _ in made.values():
            for dim, size in zip(dims, values.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
        for name, (dims, values, attributes) in made.items():
            variable = file.createVariable(name, values.dtype, dims, fill_value=attributes.get("_FillValue", False))
            variable.set_auto_maskandscale(False)
            variable.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
            variable[...] = values
    return path

"""Generated files: whatever the coordinates, packing and missing values, `netcdf`, `hilda` and `static` read the truth
or refuse. The truth is made before the file, so that no reader of the project takes part in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.api import Ai4LandError, LatLonGrid, Request
from ai4land_hilda.plugin import HildaOptions, hilda
from ai4land_netcdf.options import NetcdfOptions
from ai4land_netcdf.plugin import netcdf
from ai4land_static.options import StaticOptions
from ai4land_static.plugin import static

#: Units that tell latitudes.
TELLING = ("degrees_north", "degree_north", "degrees_N", "degreeN", "degreesN", "degree_N")
CODES = np.array([11, 22, 33, 40, 55, 66, 77], np.uint8)
SCALES = {"i2": 1e-4, "big": 1e-4, "i4": 1e-6, "u1": 0.005, "unsigned": 0.005}

refused: Counter[str] = Counter()


@dataclass(frozen=True)
class Case:
    """How a file is written."""

    units: str
    standard: bool
    names: tuple[str, str]
    coordinate: str
    south_first: bool
    east_first: bool
    turn: int
    transpose: bool
    square: bool
    packing: str
    missing: str
    shift: float
    mapping: str


cases = st.builds(
    Case,
    units=st.sampled_from([*TELLING, "degrees", "radian", "", "m", "km"]),
    standard=st.booleans(),
    names=st.sampled_from([("lat", "lon"), ("latitude", "longitude"), ("y", "x"), ("row", "column"), ("lon", "lat")]),
    coordinate=st.sampled_from(["f8", "f4", "i2", "i4"]),
    south_first=st.booleans(),
    east_first=st.booleans(),
    turn=st.sampled_from([0, 360, -360]),
    transpose=st.booleans(),
    square=st.booleans(),
    packing=st.sampled_from(["f4", "f8", *SCALES]),
    missing=st.sampled_from(
        ["_FillValue", "missing_value", "other type", "text", "valid_range", "valid_max", "nan", "1e20"]
    ),
    shift=st.sampled_from([0.0, 0.0, 0.0, 0.02, 0.25, 0.5, 1.0]),
    mapping=st.sampled_from(["", "", "latitude_longitude", "rotated_latitude_longitude", "sinusoidal"]),
)


def pack(values: np.ndarray, empty: np.ndarray, case: Case) -> tuple[np.ndarray, dict[str, Any], float]:
    """Stored numbers, attributes, and the largest error of packing."""
    kind = case.packing
    dtype = np.dtype({"unsigned": "u1", "big": ">i2"}.get(kind, kind))
    scale = SCALES.get(kind, 1.0)
    fill = 255 if dtype == "u1" else -9999
    attributes: dict[str, Any] = {} if scale == 1 else {"scale_factor": scale}
    stored = values.astype(dtype) if scale == 1 else np.rint(values / scale).astype(dtype)
    plain = scale == 1 and case.missing in ("nan", "1e20")  # marked by the value itself
    stored[empty] = {"nan": np.nan, "1e20": 1e20}[case.missing] if plain else fill
    number = np.array(fill, dtype)
    limits = np.array([0, {"u1": 200, "i2": 32000}.get(dtype.str[1:], 1_000_000)]).astype(dtype)
    if kind == "unsigned":
        stored, number, limits, attributes["_Unsigned"] = *(a.view("i1") for a in (stored, number, limits)), "true"
    if case.missing == "valid_range":
        attributes["valid_range"] = limits
    elif case.missing == "valid_max" and dtype == "u1":
        attributes["valid_max"] = limits[1]
    elif case.missing == "text":
        attributes["missing_value"] = str(fill)
    elif case.missing == "other type":
        attributes["missing_value"] = np.int32(fill) if dtype == "f8" else np.float64(fill)
    elif case.missing == "missing_value":
        attributes["missing_value"] = number
    elif not plain:
        attributes["_FillValue"] = number
    return stored, attributes, 1e-7 if scale == 1 else scale / 2


def write(path, case: Case, grid: LatLonGrid, values: np.ndarray, empty: np.ndarray, codes: np.ndarray) -> float:
    """Write a file of a variable ``share`` and of the codes; returns the largest error of packing."""
    flip = (slice(None, None, -1 if case.south_first else 1), slice(None, None, -1 if case.east_first else 1))
    stored, attributes, error = pack(values[flip], empty[flip], case)
    lat, lon = grid.lat[flip[0]], grid.lon[flip[1]] + case.turn + case.shift * grid.dlon
    east = case.units.replace("north", "east").replace("N", "E")
    with netCDF4.Dataset(path, "w") as ds:
        for name, centres, units, standard in (
            (case.names[0], lat, case.units, "latitude"),
            (case.names[1], lon, east, "longitude"),
        ):
            ds.createDimension(name, centres.size)
            radian = units == "radian"
            variable = ds.createVariable(name, "f8" if radian else case.coordinate, (name,))
            variable[:] = np.deg2rad(centres) if radian else centres
            told = {"units": units, "standard_name": standard if case.standard else ""}
            variable.setncatts({key: text for key, text in told.items() if text})
        for name, numbers, more in (("share", stored, attributes), ("LULC_states", codes[flip], {})):
            dims, array = (case.names[::-1], numbers.T) if case.transpose else (case.names, numbers)
            endian, fill = "big" if array.dtype.byteorder == ">" else "native", more.get("_FillValue", False)
            variable = ds.createVariable(name, array.dtype, dims, fill_value=fill, endian=endian)
            variable.set_auto_maskandscale(False)
            variable.setncatts({**{k: v for k, v in more.items() if k != "_FillValue"}, "units": "1"})
            variable[:] = array
            if case.mapping:
                variable.grid_mapping = "crs"
        pole = {"grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": -162.0}
        mapping = {"grid_mapping_name": case.mapping, **(pole if "rotated" in case.mapping else {})}
        if case.mapping:
            ds.createVariable("crs", "i4", ()).setncatts(mapping)
    return error


def outcome(name: str, read) -> np.ndarray | None:
    """What a reader gives; ``None`` if it refuses the file by name."""
    try:
        return np.asarray(read())
    except Ai4LandError as error:
        refused[name] += 1
        message = str(error)
    assert "a.nc" in message
    return None


@examples(60, HealthCheck.function_scoped_fixture)
@given(case=cases, seed=st.integers(0, 2**16))
def test_a_generated_file_is_read_or_refused(tmp_path, case, seed):
    # Nothing tells that a variable `lon` in plain degrees holds latitudes.
    assume(case.names != ("lon", "lat") or case.standard or case.units in TELLING)
    rng = np.random.default_rng(seed)
    whole = case.coordinate.startswith("i")  # then the centres are whole degrees
    rows, cols = (6, 6) if case.square else (5, 8)
    grid = LatLonGrid(-5.5, 1.0, cols, 55.5, -1.0, rows) if whole else LatLonGrid(-5.0, 0.25, cols, 55.0, -0.25, rows)
    values, codes = rng.random(grid.shape), rng.choice(CODES, grid.shape)
    empty = rng.random(grid.shape) < 0.2
    path = tmp_path / "a.nc"
    packing = write(path, case, grid, values, empty, codes)
    # A shift of the coordinates is a shift of the cells. Integers hold whole shifts: netCDF cuts the others off.
    lon = grid.lon + case.turn + case.shift * grid.dlon
    moved = (np.trunc(lon) if whole and case.units != "radian" else lon) - case.turn - grid.lon
    assume(np.ptp(moved) < 1e-9)
    cells = float(moved[0] / grid.dlon)
    degrees = case.units not in ("m", "km") and case.mapping in ("", "latitude_longitude")
    share, of_codes = ({"x": {"name": n, "kind": k}} for n, k in (("share", "fraction"), ("LULC_states", "category")))
    options = HildaOptions(path=path, legend="hilda-v1.0-f", year=2000)
    readers = {
        "netcdf": lambda: netcdf(NetcdfOptions(path=path, variables=share)).read(Request(("x",), grid)).x,
        "hilda": lambda: hilda(options).read(Request(("land_cover",), grid, (2000,))).land_cover[0],
        "static": lambda: static(StaticOptions(path=path, variables=of_codes)).read(Request(("x",), grid)).x,
    }
    found = {name: outcome(name, read) for name, read in readers.items()}
    for name, read in found.items():
        if read is None or (name == "static" and ("rotated" in case.mapping or cells)):
            continue  # static interpolates
        assert degrees
        assert abs(cells - round(cells)) < 1e-3
        truth = np.where(empty, np.nan, values) if name == "netcdf" else codes.astype(float)
        shifted = np.full(grid.shape, 99.0 if name == "hilda" else np.nan)
        shifted[:, round(cells) :] = truth[:, : cols - round(cells)]
        np.testing.assert_allclose(read, shifted, atol=packing + 1e-6 if name == "netcdf" else 0)
    if degrees and case.units in TELLING and not cells and case.names[0] != "y":
        assert all(read is not None for read in found.values())  # nothing is wrong with such a file

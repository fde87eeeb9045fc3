"""A land-use time series for CLM (``flanduse_timeseries``) that starts from the host's own surface data set.

Names, dimensions and units are those of CTSM's tools/mksurfdata_esmf. The first year equals the surface data; later
years add the change of the run (:func:`ai4land_coupler.host.delta.add_type_change`). A map does
not contain wood harvest and fertiliser: run CLM with ``do_harvest = .false.``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import DataError
from ai4land_coupler.formats import cf
from ai4land_coupler.formats.clm_surface import ClmSurface, read_surface
from ai4land_coupler.formats.coarsen import overlap_lengths
from ai4land_coupler.formats.store_reader import StoreReader
from ai4land_coupler.host.delta import add_type_change
from ai4land_coupler.host.profiles import HostProfile, get_profile
from ai4land_coupler.inputs.climate_zones import bioclimate_at

#: Variables of the time series and their extra dimension. For each, the file also has the maximum over time.
_SERIES = {"PCT_NAT_PFT": "natpft", "PCT_CFT": "cft", "PCT_CROP": None, "PCT_URBAN": "numurbl", "PCT_LAKE": None}
_GRID = ("lsmlat", "lsmlon")


def write(
    reader: StoreReader, path: Path, surface_file: Path, attrs: Mapping[str, Any], tick: Callable[[], None]
) -> None:
    """Write one file on the grid of the surface data set."""
    profile = get_profile("clm")
    surface = read_surface(surface_file, profile)
    cover_of = _TypeCover(reader, surface, profile)
    host = surface.cover.reshape(len(profile.types), -1)
    start: NDArray[np.float64] | None = None
    largest: dict[str, NDArray[np.float64]] = {}
    with cf.dataset(path, reader, {"Conventions": "NCAR-CSM", "surface_data": surface_file.name, **attrs}) as file:
        _define(file, surface, profile)
        for step, year in enumerate(reader.years):
            cover = cover_of(year, tick).reshape(host.shape)
            start = cover if start is None else start
            now, cut = add_type_change(profile, cover, start, host)
            values = profile.values(now)
            file["YEAR"][step] = file["time"][step] = year
            file["input_pftdata_filename"][step] = _characters(reader.path.name)
            file["CUT_BELOW_ZERO"][step] = 100 * cut.reshape(surface.cover.shape[1:])
            for name in _SERIES:
                value = values[name].reshape(*values[name].shape[:-1], *surface.cover.shape[1:])
                file[name][step] = value
                largest[name] = np.maximum(largest.get(name, value), value)
        for name, value in largest.items():
            file[f"{name}_MAX"][:] = value


class _TypeCover:
    """Share of each cell that each type covers in a year, from conservative sums over class and bioclimate."""

    def __init__(self, reader: StoreReader, surface: ClmSurface, profile: HostProfile) -> None:
        self._reader, self._profile = reader, profile
        self._table = profile.table(reader.legend)
        fine = reader.grid
        sines = np.sin(np.deg2rad(surface.lat_edges))
        self._rows = overlap_lengths(sines, np.sin(np.deg2rad(fine.lat_edges)))
        # The longitudes of the two grids may differ by 360 degrees.
        turns = [overlap_lengths(surface.lon_edges + turn, fine.lon_edges) for turn in (-360.0, 0.0, 360.0)]
        self._cols = sum(turns[1:], turns[0]) * np.deg2rad(1.0)
        widths = np.deg2rad(np.diff(surface.lon_edges))
        self._area = EARTH_RADIUS**2 * np.diff(sines)[:, None] * widths
        if self._rows.nnz == 0 or self._cols.nnz == 0:
            raise DataError(
                "the surface data set and the run do not share any land",
                expected=str(fine),
                found=f"longitudes {surface.lon[0]:g} to {surface.lon[-1]:g}, latitudes {surface.lat[0]:g} "
                f"to {surface.lat[-1]:g}",
            )

    def __call__(self, year: int, tick: Callable[[], None]) -> NDArray[np.float64]:
        total = np.zeros((self._table.shape[1], *self._area.shape))
        for box in self._reader.windows():
            native = self._reader.codes(year, box)
            lat, lon = self._reader.grid.lat[slice(*box[:2])], self._reader.grid.lon[slice(*box[2:])]
            codes = self._profile.codes(self._reader.legend, native, bioclimate_at(lon, lat))
            rows, cols = self._rows[:, slice(*box[:2])], self._cols[:, slice(*box[2:])]
            for code in np.unique(codes[codes >= 0]):
                total[code] += (cols @ (rows @ (codes == code).astype(np.float64)).T).T
            tick()
        area = total.reshape(len(total), -1) * EARTH_RADIUS**2
        return np.asarray((self._table @ area).reshape(-1, *self._area.shape) / self._area)


def _define(file: Any, surface: ClmSurface, profile: HostProfile) -> None:
    sizes = {"lsmlat": surface.lat.size, "lsmlon": surface.lon.size, "time": None, "nchar": 256}
    sizes |= {"natpft": profile.members("natural").size, "cft": profile.members("crop").size}
    sizes["numurbl"] = profile.members("urban").size
    for name, size in sizes.items():
        file.createDimension(name, size)
    for name, (dimensions, attributes, values) in surface.copied.items():
        variable = file.createVariable(name, values.dtype, dimensions)
        variable.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
        variable[:] = values
    for name in ("YEAR", "time"):
        file.createVariable(name, "i4", ("time",)).setncatts(
            {"long_name": "Year of PFT data" if name == "YEAR" else "year", "units": "unitless"}
        )
    file.createVariable("input_pftdata_filename", "S1", ("time", "nchar")).setncatts(
        {"long_name": "Input filepath for PFT values for this year", "units": "unitless"}
    )
    for name, extra in _SERIES.items():
        where = (*([extra] if extra else []), *_GRID)
        meaning = profile.variables[name].long_name
        for target, dimensions, text in (
            (name, ("time", *where), meaning),
            (f"{name}_MAX", where, f"maximum {meaning} during time period"),
        ):
            variable = file.createVariable(target, "f8", dimensions, zlib=True, complevel=cf.LEVEL)
            variable.setncatts({"long_name": text, "units": "unitless"})
    cut = file.createVariable("CUT_BELOW_ZERO", "f8", ("time", *_GRID), zlib=True, complevel=cf.LEVEL)
    cut.setncatts(
        {"long_name": "percent of the land whose loss exceeds what the surface data set has", "units": "unitless"}
    )


def _characters(text: str) -> NDArray[Any]:
    return np.array(list(text[:256].ljust(256)), "S1")

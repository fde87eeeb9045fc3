"""Writes maps, class areas and continuous fields, or the fields of a host grid, as CF netCDF-4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.formats import cf
from ai4land_coupler.formats.store_reader import StoreReader
from ai4land_coupler.store.layout import FLOAT_FILL, YEAR

#: Placeholder in the name of a file: write one file per year.
YEAR_FIELD = "{year}"
_RESULT = {"coverage_content_type": "modelResult"}
_TIME = "start of the year that the map stands for"


def files(reader: StoreReader, path: Path) -> list[Path]:
    """One file, or one per year if the name contains ``{year}``."""
    if YEAR_FIELD in path.name:
        return [path.with_name(path.name.replace(YEAR_FIELD, str(year))) for year in reader.years]
    return [path]


def write(reader: StoreReader, targets: list[Path], attrs: Mapping[str, Any], tick: Callable[[], None]) -> None:
    """Write all years to one file, or each year to its own file."""
    parts = [reader.years] if len(targets) == 1 else [(year,) for year in reader.years]
    for path, years in zip(targets, parts, strict=True):
        if reader.host is None:
            _write_land(reader, path, years, attrs, tick)
        else:
            _write_host(reader, path, years, attrs, tick)


def _add_years(file: Any, years: Sequence[int]) -> None:
    starts = np.array([cf.new_years_day(year) for year in years], np.float64)
    ends = np.array([cf.new_years_day(year + 1) for year in years], np.float64)
    cf.add_time(file, starts, np.stack([starts, ends], axis=1), _TIME)


def _write_land(
    reader: StoreReader, path: Path, years: Sequence[int], attrs: Mapping[str, Any], tick: Callable[[], None]
) -> None:
    grid, legend = reader.grid, reader.legend
    found = {**cf.extent(grid), **cf.coverage(years), **attrs}
    with cf.dataset(path, reader, found) as file:
        _add_years(file, years)
        cf.add_latlon(file, grid)
        cf.add_cell_area(file, "cell_area", grid)
        codes = [*legend.ocean, *legend.codes]
        variables = {"land_cover": _map(file, reader, "land_cover", "u1")}
        variables["land_cover"].setncatts(
            {
                "long_name": "land use and land cover",
                "flag_values": np.array(codes, np.uint8),
                "flag_meanings": " ".join([*(f"outside_{code}" for code in legend.ocean), *legend.names.values()]),
                "legend": legend.name,
                **_RESULT,
            }
        )
        for name in reader.land_fields():
            variables[name] = _map(file, reader, name, "f4")
            variables[name].setncatts(
                {"long_name": name, "coverage_content_type": "modelResult", **_described(reader.land[name].attrs)}
            )
        _add_class_area(file, reader, years)
        for step, year in enumerate(years):
            for box in reader.windows():
                for name, variable in variables.items():
                    values = reader.field(name, year, box)
                    at = (step, *(slice(None) for _ in values.shape[:-2]), *box.slices())
                    variable[at] = values if name == "land_cover" else np.ma.masked_invalid(values)
                tick()


def _described(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a field that describe its values, without those that describe its encoding in the store."""
    return {key: value for key, value in attrs.items() if key not in ("missing_value", "cell_measures", "coordinates")}


def _map(file: Any, reader: StoreReader, name: str, kind: str) -> Any:
    """Create a variable (time, ..., lat, lon) with the chunks of the store."""
    array = reader.land[name]
    dims = tuple("time" if dim == YEAR else str(dim) for dim in array.dims)
    for dim in dims[1:-2]:
        if dim not in file.dimensions:
            file.createDimension(dim, array.sizes[dim])
            coordinate = file.createVariable(dim, "i4", (dim,))
            long_name = "month of the year" if dim == "month" else "sample of the year"
            coordinate.setncatts({"long_name": long_name, "units": "1"})
            coordinate[:] = array[dim].values
    rows, cols = array.encoding["chunks"][-2:]
    chunks = (*(1 for _ in dims[:-2]), min(rows, reader.grid.nlat), min(cols, reader.grid.nlon))
    fill = {"fill_value": np.float32(FLOAT_FILL)} if kind == "f4" else {"fill_value": False}
    variable = file.createVariable(
        name, kind, dims, zlib=True, complevel=cf.LEVEL, shuffle=kind == "f4", chunksizes=chunks, **fill
    )
    variable.setncatts({"grid_mapping": cf.CRS, "cell_measures": "area: cell_area"})
    return variable


def _add_classes(file: Any, reader: StoreReader) -> None:
    cf.add_text(
        file, "land_class", reader.legend.classes, {"long_name": "class of land use and land cover"}, "land_class"
    )


def _add_class_area(file: Any, reader: StoreReader, years: Sequence[int]) -> None:
    _add_classes(file, reader)
    area = file.createVariable("class_area", "f8", ("time", "land_class"))
    area.setncatts({"long_name": "area of each class on the grid", "units": "m2", **_RESULT})
    area[:] = reader.land.class_area.sel({YEAR: list(years)}).values


def _write_host(
    reader: StoreReader, path: Path, years: Sequence[int], attrs: Mapping[str, Any], tick: Callable[[], None]
) -> None:
    host = reader.host
    assert host is not None
    with cf.dataset(path, reader, {**cf.coverage(years), "host_grid": host.attrs["host"], **attrs}) as file:
        _add_years(file, years)
        cf.add_cells(file, host)
        _add_classes(file, reader)
        for name, array in host.data_vars.items():
            dims = tuple("time" if dim == YEAR else str(dim) for dim in array.dims)
            variable = file.createVariable(
                str(name), "f8", dims, zlib=True, complevel=cf.LEVEL, shuffle=True, fill_value=FLOAT_FILL,
                chunksizes=(*(1 for _ in dims[:-1]), array.sizes[str(array.dims[-1])]),
            )  # fmt: skip
            variable.setncatts(
                {
                    "long_name": str(name).replace("_", " "),
                    **_described(array.attrs),
                    "coordinates": "lat lon",
                    "cell_measures": "area: areacella",
                    "CDI_grid_type": "unstructured",
                }
            )
            for step, year in enumerate(years):
                variable[step] = np.ma.masked_invalid(reader.host_field(str(name), year))
        tick()

"""The reader on the page for plugin authors reads what the adapter `netcdf` reads."""

import re
from pathlib import Path

import netCDF4
import numpy as np

from ai4land_coupler.api import InputFile, LatLonGrid, Request

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def test_the_netcdf_reader_of_the_page_works(tmp_path: Path) -> None:
    (code,) = re.findall(r'```python\n("""Reads one variable of a netCDF file.*?)```', PAGE.read_text(), re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), scope)
    path = tmp_path / "crops.nc"
    values = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    with netCDF4.Dataset(path, "w") as file:
        for name, axis, units in (
            ("time", [0.0, 365.0], "days since 2001-01-01"),
            ("lat", [50.75, 50.25, 49.75, 49.25], "degrees_north"),
            ("lon", [0.25, 0.75, 1.25, 1.75, 2.25, 2.75], "degrees_east"),
        ):
            file.createDimension(name, len(axis))
            file.createVariable(name, "f8", (name,))[:] = axis
            file[name].units = units
        file["time"].calendar = "noleap"
        file.createVariable("crop", "f4", ("time", "lat", "lon"), fill_value=-1)[:] = values
        file["crop"][1, 0, 0] = -1
    grid = LatLonGrid(0.0, 0.5, 2, 51.0, -0.5, 2)
    found = scope["read"](InputFile("crops.nc", path), "crop", Request(("crop",), grid, (2002,)))  # type: ignore[operator]
    expected = values[1:, :2, :2].copy()
    expected[0, 0, 0] = np.nan
    np.testing.assert_array_equal(found["crop"].values, expected)
    assert found["crop"].dtype == np.float32
    assert found.attrs["quality"] == {"outside": 0}

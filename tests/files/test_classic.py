"""The end of the data in classic files: found to the byte, in every format, also of records."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ai4land_coupler.files.classic import refuse_truncated

FORMATS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def write(path: Path, layout: str, variables: dict[str, tuple[str, ...]], records: int = 5) -> bytes:
    """Write variables (name with the type after ``_``, dimensions) whose bytes are all ``*``."""
    with netCDF4.Dataset(path, "w", format=layout) as file:
        file.title = "odd"
        file.createDimension("time", None)
        file.createDimension("x", 3)
        file.createDimension("y", 7)
        for name, dims in variables.items():
            made = file.createVariable(name, name.split("_")[1], dims)
            made.units = "some units"
            made.valid_max = np.float64(5)
            shape = [records if d == "time" else len(file.dimensions[d]) for d in dims]
            made[:] = np.full(shape, np.frombuffer(b"*" * 8, made.dtype)[0])
    return path.read_bytes()


CASES = {
    "fixed": {"a_f4": ("y", "x"), "b_f8": ("x",), "c_i1": ("y",)},
    "records": {"a_f4": ("y", "x"), "b_f8": ("time", "x"), "c_i2": ("time", "x")},
    "one short record": {"a_f8": (), "c_i2": ("time", "x")},
    "one record of bytes": {"c_i1": ("time", "x")},
    "scalars": {"a_f8": (), "b_i4": ()},
}


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_a_file_that_lacks_its_last_value_is_refused(tmp_path: Path, layout: str, case: str) -> None:
    path = tmp_path / "file.nc"
    whole = write(path, layout, CASES[case])
    refuse_truncated(path)
    end = whole.rindex(b"*") + 1  # The last variable may be padded.
    path.write_bytes(whole[:end])
    refuse_truncated(path)
    for length in (end - 1, len(whole) // 2, 40, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(OSError, match="the file ends before its data"):
            refuse_truncated(path)


@pytest.mark.parametrize("layout", FORMATS)
def test_files_without_data_are_whole(tmp_path: Path, layout: str) -> None:
    write(tmp_path / "none.nc", layout, {})
    write(tmp_path / "empty.nc", layout, {"a_f4": ("time", "x")}, records=0)
    for path in tmp_path.iterdir():
        refuse_truncated(path)

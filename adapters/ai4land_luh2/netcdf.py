"""Reading netCDF: files that cannot be opened, and values that stand for missing ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError, nearest

#: Above this a value is the fill value 1e20 of LUH2, whose attribute is misspelt in the published files
#: (``_fillvalue``, ``_Fillvalue``) and therefore not honoured by any library.
MISSING_ABOVE = 1e19


@contextmanager
def open_netcdf(path: Path, where: str | None = None) -> Iterator[Any]:
    """Open a netCDF file for reading.

    Parameters
    ----------
    where:
        The name that messages give it, where that is not the path.

    Raises
    ------
    DataError
        When it is missing, is no netCDF file, or breaks off while it is read.
    """
    import netCDF4

    if not path.is_file():
        names = [p.name for p in path.parent.glob("*.nc")] if path.parent.is_dir() else []
        raise DataError(
            "an input file is missing",
            expected=path,
            found="no such file" if path.parent.is_dir() else f"no such folder as {path.parent}",
            remedy=f"check the path in the configuration; {nearest(path.name, names)}",
        )
    try:
        with netCDF4.Dataset(path) as dataset:
            if dataset.data_model in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"):
                _refuse_short(path)
            yield dataset
    except (OSError, RuntimeError) as error:
        raise DataError(
            "an input file cannot be read",
            expected="a netCDF file",
            found=error,
            where=where or path,
            remedy="compare its size and checksum with the source's; it may be truncated",
        ) from error


def _refuse_short(path: Path) -> None:
    """Raise ``OSError`` for a classic file that ends before its data: the netCDF library reads zeros there."""
    from scipy.io import netcdf_file

    try:
        with netcdf_file(path, mmap=True):  # lays out all variables, and reads none
            pass
    except (ValueError, TypeError, IndexError) as error:
        raise OSError(f"the file ends before its data: {error}") from error


#: Attributes that change what numbers mean; without them a variable holds its values as they are.
_MEANINGFUL = ("scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "_Unsigned")


def values(variable: Any, *index: int | slice) -> NDArray[np.float64]:
    """:func:`native_values` in double precision."""
    return native_values(variable, *index).astype(np.float64, copy=False)


def native_values(variable: Any, *index: int | slice) -> NDArray[np.floating[Any]]:
    """Read part of a variable (a netCDF4.Variable), unpacked, with NaN where values are missing.

    Missing are the values that the attributes of the file name (CF ``_FillValue``, ``missing_value``,
    ``valid_range``) and all that are beyond 1e19. Infinite values stay: they stand for nothing, and are refused.

    Returns
    -------
    float32 where the file holds float32 as it is, else float64.
    """
    named = [np.ravel(getattr(variable, name, ())) for name in ("_FillValue", "missing_value")]
    if (
        variable.dtype != np.float32
        or any(hasattr(variable, name) for name in _MEANINGFUL)
        or any(attribute.dtype.kind not in "fiu" for attribute in named)
    ):
        data = np.ma.filled(np.ma.asarray(variable[index]).astype(np.float64), np.nan)
        named = []
    else:
        # without masked arrays, whose passes over the data take as long as its decompression
        variable.set_auto_maskandscale(False)
        data = np.asarray(variable[index])
        variable.set_auto_maskandscale(True)
    size = np.abs(data)
    missing = (size > MISSING_ABOVE) & (size < np.inf)
    for value in np.concatenate([[], *named]):
        missing |= data == np.float32(value)
    np.copyto(data, np.nan, where=missing)
    return np.asarray(data)

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
            yield dataset
    except (OSError, RuntimeError) as error:
        raise DataError(
            "an input file cannot be read",
            expected="a netCDF file",
            found=error,
            where=where or path,
            remedy="compare its size and checksum with the source's; it may be truncated",
        ) from error


def values(variable: Any, *index: int | slice) -> NDArray[np.float64]:
    """Read part of a variable (a netCDF4.Variable), unpacked, with NaN where values are missing.

    Missing are the values that the attributes of the file name (CF ``_FillValue``, ``missing_value``,
    ``valid_range``) and all that are beyond 1e19. Infinite values stay: they stand for nothing, and are refused.
    """
    data = np.ma.filled(np.ma.asarray(variable[index]).astype(np.float64), np.nan)
    data[(np.abs(data) > MISSING_ABOVE) & np.isfinite(data)] = np.nan
    return np.asarray(data)

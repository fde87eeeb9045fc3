"""Opens netCDF files for reading, and reads their values with NaN where they are missing.

The netCDF library reads zeros from a classic file that ends before its data, without an error. Whoever opens a file
through this module gets an error instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError, nearest
from ai4land_coupler.files.arrays import is_geotiff, is_zarr, open_raster, open_zarr

#: Values above this are fill values. The attribute that names the fill value 1e20 of LUH2 is misspelt in the published
#: files (``_fillvalue``, ``_Fillvalue``), so that no library honours it.
MISSING_ABOVE = 1e19

#: First bytes of the classic formats whose truncation the netCDF library does not notice.
_CLASSIC = (b"CDF\x01", b"CDF\x02")


@contextmanager
def open_netcdf(path: Path, where: str | None = None, what: str = "an input file") -> Iterator[Any]:
    """Open a netCDF file for reading, as a ``netCDF4.Dataset``; the folder of a Zarr group or a GeoTIFF like one.

    Parameters
    ----------
    where:
        The name of the file in messages. Default: the path.
    what:
        What the file is, for messages.

    Raises
    ------
    DataError
        The file is missing, is no netCDF file, is truncated, or cannot be read while the block runs.
    """
    if is_zarr(path) or (path.is_file() and is_geotiff(path, where or "")):
        with (open_zarr if path.is_dir() else open_raster)(path, where or path) as arrays:
            yield arrays
        return
    if not path.is_file():
        names = [p.name for p in path.parent.glob("*.nc")] if path.parent.is_dir() else []
        raise DataError(
            f"{what} is missing",
            expected=path,
            found="no such file" if path.parent.is_dir() else f"no such folder as {path.parent}",
            remedy=f"check the path in the configuration; {nearest(path.name, names)}",
        )
    try:
        with open_dataset(path) as dataset:
            yield dataset
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{what} cannot be read as netCDF",
            found=error,
            where=where or path,
            remedy="compare its size and checksum with the source's; it may be truncated",
        ) from error


@contextmanager
def open_dataset(path: Path) -> Iterator[Any]:
    """:func:`open_netcdf` without our errors: raises ``OSError``, or ``RuntimeError`` while the file is read."""
    import netCDF4

    with netCDF4.Dataset(path) as dataset:
        refuse_truncated(path)
        yield dataset


@contextmanager
def open_classic(path: Path) -> Iterator[Any]:
    """Open a file in a classic format (CDF-1 or CDF-2) as a ``scipy.io.netcdf_file`` that maps it into memory.

    The block must not keep arrays of the file: copy them.

    Raises
    ------
    ValueError, TypeError, IndexError
        The file is damaged or truncated.
    """
    from scipy.io import netcdf_file

    try:
        file = netcdf_file(path, mmap=True)
    except Exception as error:
        error.__traceback__ = None  # Its frames refer to the memory map, which could not be closed.
        raise
    try:
        yield file
    finally:
        with warnings.catch_warnings():  # The traceback of an error may still refer to the memory map.
            warnings.simplefilter("ignore", RuntimeWarning)
            file.close()


def refuse_truncated(path: Path) -> None:
    """Raise ``OSError`` if a file in a classic format ends before its data. Other formats report this themselves."""
    with path.open("rb") as file:
        if file.read(4) not in _CLASSIC:
            return
    try:
        with open_classic(path):  # scipy finds the place of all variables and reads none.
            pass
    except (ValueError, TypeError, IndexError) as error:
        raise OSError(f"the file ends before its data: {error}") from error


#: Attributes that change what the stored numbers mean.
_MEANINGFUL = ("scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "_Unsigned")


def read_values(variable: Any, *index: int | slice) -> NDArray[np.float64]:
    """:func:`read_native_values` in double precision."""
    return read_native_values(variable, *index).astype(np.float64, copy=False)


def read_native_values(variable: Any, *index: int | slice) -> NDArray[np.floating[Any]]:
    """Read a part of a variable (a ``netCDF4.Variable``), unpacked, with NaN where values are missing.

    Values are missing if the attributes of the file say so (CF ``_FillValue``, ``missing_value``, ``valid_range``) or
    if they are beyond 1e19. Infinite values are kept: the caller should refuse them.

    Returns
    -------
    float32 if the file holds unpacked float32, else float64.
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
        # Masked arrays are slow: they take as long as the decompression of the data.
        variable.set_auto_maskandscale(False)
        data = np.asarray(variable[index])
        variable.set_auto_maskandscale(True)
    size = np.abs(data)
    missing = (size > MISSING_ABOVE) & (size < np.inf)
    for value in np.concatenate([[], *named]):
        missing |= data == np.float32(value)
    np.copyto(data, np.nan, where=missing)
    return np.asarray(data)

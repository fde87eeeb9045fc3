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
from ai4land_coupler.files.cf_values import decode_values
from ai4land_coupler.files.classic import refuse_truncated


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


def attributes_of(variable: Any) -> dict[str, Any]:
    """All attributes of a ``netCDF4.Variable``."""
    return {name: variable.getncattr(name) for name in variable.ncattrs()}


def read_stored(variable: Any, *index: int | slice) -> NDArray[Any]:
    """Read a part of a variable (a ``netCDF4.Variable``) as it is stored, without masks and scales."""
    mask, scale = variable.mask, variable.scale
    variable.set_auto_maskandscale(False)
    try:
        return np.asarray(variable[index or ...])
    finally:
        variable.set_auto_mask(mask)
        variable.set_auto_scale(scale)


def read_native_values(variable: Any, *index: int | slice) -> NDArray[np.floating[Any]]:
    """Read a part of a variable, unpacked, with NaN where values are missing (:func:`.cf_values.decode_values`).

    Infinite values are kept: the caller should refuse them.

    Returns
    -------
    float32 if the file holds unpacked float32, else float64.
    """
    return decode_values(read_stored(variable, *index), attributes_of(variable), f"variable {variable.name!r}")


def read_values(variable: Any, *index: int | slice) -> NDArray[np.float64]:
    """:func:`read_native_values` in double precision."""
    return read_native_values(variable, *index).astype(np.float64, copy=False)

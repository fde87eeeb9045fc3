"""Opens netCDF files and Zarr stores with xarray, with the values as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.classic import refuse_truncated


@contextmanager
def open_raw(path: Path) -> Iterator[xr.Dataset]:
    """Open a netCDF file or Zarr store without decoding or loading values (:mod:`.cf_values` decodes them).

    Raises
    ------
    DataError
        It is missing, or cannot be read.
    """
    if not path.exists():
        raise DataError("the input is missing", where=path)
    raw: dict[str, Any] = {"decode_cf": False, "chunks": None}
    try:
        if path.is_dir():
            dataset = _without_fill_zero(xr.open_zarr(path, consolidated=False, **raw), path)
        else:
            refuse_truncated(path)
            dataset = xr.open_dataset(path, engine="netcdf4", cache=False, **raw)
    except (OSError, ValueError, KeyError) as error:
        raise DataError("the input cannot be read as netCDF or Zarr", found=error, where=path) from error
    with dataset:
        yield dataset


def _without_fill_zero(dataset: xr.Dataset, path: Path) -> xr.Dataset:
    """Keep zeros. In Zarr format 2 a fill value is also what chunks hold that were not written, and 0 is the default of
    zarr. xarray takes it for a missing value."""
    import zarr

    if zarr.open_group(path, mode="r").metadata.zarr_format == 2:
        for variable in dataset.variables.values():
            fill = variable.attrs.get("_FillValue")
            if fill is not None and np.ndim(fill) == 0 and fill == 0:
                del variable.attrs["_FillValue"]
    return dataset

"""The output file of regridded variables: netCDF-4, or Zarr if its name ends in ``.zarr``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.files.durable import new_path


class Output(Protocol):
    """Writes variables, and their values in parts. ``missing_is_nan``: missing floats are written as NaN."""

    missing_is_nan: bool

    def attributes(self, attrs: Mapping[str, Any]) -> None: ...

    def create(
        self, name: str, dtype: Any, dims: tuple[str, ...], shape: tuple[int, ...], attrs: Mapping[str, Any], fill: Any
    ) -> None:
        """Add a variable. ``fill`` is the missing value, ``None`` if there is none."""
        ...

    def write(self, name: str, index: tuple[slice, ...], values: NDArray[Any]) -> None: ...


@contextmanager
def open_output(path: Path) -> Iterator[Output]:
    """Open a new file, which appears when it is complete and replaces an existing file.

    Raises
    ------
    RunError
        The disk is full or cannot be written.
    """
    opener = _zarr if path.suffix == ".zarr" else _netcdf
    with new_path(path, "regridded fields cannot be written") as temporary, opener(temporary) as output:
        yield output


class _NetCDF:
    missing_is_nan = False

    def __init__(self, file: Any) -> None:
        self._file = file

    def attributes(self, attrs: Mapping[str, Any]) -> None:
        self._file.setncatts(dict(attrs))

    def create(
        self, name: str, dtype: Any, dims: tuple[str, ...], shape: tuple[int, ...], attrs: Mapping[str, Any], fill: Any
    ) -> None:
        for dim, length in zip(dims, shape, strict=True):
            if dim not in self._file.dimensions:
                self._file.createDimension(dim, length)
        kind: Any = str if np.dtype(dtype) == object else np.dtype(dtype).newbyteorder("=")
        packed = {"zlib": True, "complevel": 4, "shuffle": True} if dims and np.dtype(dtype).kind in "iuf" else {}
        unfilled = None if kind is str else False
        made = self._file.createVariable(name, kind, dims, fill_value=unfilled if fill is None else fill, **packed)
        made.set_auto_maskandscale(False)
        if np.dtype(dtype).kind == "S":
            made.set_auto_chartostring(False)
        made.setncatts(dict(attrs))

    def write(self, name: str, index: tuple[slice, ...], values: NDArray[Any]) -> None:
        self._file[name][index if index else ...] = values


class _Zarr:
    missing_is_nan = True

    def __init__(self, group: Any) -> None:
        self._group = group

    def attributes(self, attrs: Mapping[str, Any]) -> None:
        self._group.attrs.update({key: _plain(value) for key, value in attrs.items()})

    def create(
        self, name: str, dtype: Any, dims: tuple[str, ...], shape: tuple[int, ...], attrs: Mapping[str, Any], fill: Any
    ) -> None:
        from zarr.codecs import ZstdCodec

        kind = "str" if np.dtype(dtype) == object else dtype
        attributes = {key: _plain(value) for key, value in attrs.items()}
        floating = np.dtype(dtype).kind == "f"
        if fill is not None and not floating:  # the fill value of zarr is for chunks that do not exist
            attributes["missing_value"] = _plain(fill)
        self._group.create_array(
            name,
            shape=shape,
            dtype=kind,
            chunks=tuple(
                max(1, min(length, 1 if len(shape) - place > 2 else 2048)) for place, length in enumerate(shape)
            ),
            compressors=ZstdCodec(checksum=True),
            dimension_names=dims,
            attributes=attributes,
            **({"fill_value": float("nan")} if floating else {}),
        )

    def write(self, name: str, index: tuple[slice, ...], values: NDArray[Any]) -> None:
        self._group[name][index if index else ...] = values


@contextmanager
def _netcdf(path: Path) -> Iterator[Output]:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.set_fill_off()
        yield _NetCDF(file)


@contextmanager
def _zarr(path: Path) -> Iterator[Output]:
    import zarr

    group = zarr.create_group(path)
    yield _Zarr(group)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value

"""Read slices of the arrays of a file, with libraries that do not conflict with those of a host.

A host may link its own netCDF and HDF5, and two copies in one process can conflict. So scipy reads classic netCDF
(CDF-1, CDF-2), zarr reads Zarr, and only netCDF-4 and CDF-5 need the netCDF library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.netcdf import open_classic, open_dataset


class ArrayFile(Protocol):
    """An open file: arrays by name, and attributes."""

    @property
    def names(self) -> frozenset[str]: ...

    @property
    def attributes(self) -> dict[str, Any]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def units(self, name: str) -> str: ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows of an array, as a copy in the machine's byte order."""
        ...


@contextmanager
def open_arrays(path: Path) -> Iterator[ArrayFile]:
    """Open a netCDF file of any kind, or a Zarr group.

    Raises
    ------
    DataError
        The file is missing, of another kind, or damaged. Also raised if reading fails later in the block.
    """
    if not path.exists():
        raise DataError("a file is missing", where=path)
    kinds = {b"CDF\x01": _open_classic, b"CDF\x02": _open_classic, b"CDF\x05": _open_netcdf, b"\x89HDF": _open_netcdf}
    if path.is_dir():
        opener: Any = _open_zarr
    else:
        with path.open("rb") as file:
            magic = file.read(4)
        opener = kinds.get(magic)
        if opener is None:
            raise DataError(
                "a file is neither netCDF nor Zarr",
                expected="a file that starts with CDF or HDF, or a folder of Zarr",
                found=f"first bytes {magic!r}",
                where=path,
            )
    try:
        with opener(path) as arrays:
            yield arrays
    except (OSError, ValueError, TypeError, IndexError, KeyError, RuntimeError) as error:
        raise DataError(
            "a file cannot be read", found=f"{type(error).__name__}: {error}", where=path, remedy="make it again"
        ) from error


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class _Classic:
    def __init__(self, file: Any) -> None:
        self._file = file

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._file.variables)

    @property
    def attributes(self) -> dict[str, Any]:
        return {name: _text(value) for name, value in self._file._attributes.items()}

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file.variables[name].shape)

    def units(self, name: str) -> str:
        return str(_text(getattr(self._file.variables[name], "units", "")))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        values = self._file.variables[name].data[start:stop]
        return np.array(values, values.dtype.newbyteorder("="))


class _NetCDF:
    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._dataset.variables)

    @property
    def attributes(self) -> dict[str, Any]:
        return {name: self._dataset.getncattr(name) for name in self._dataset.ncattrs()}

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._dataset.variables[name].shape)

    def units(self, name: str) -> str:
        return str(getattr(self._dataset.variables[name], "units", ""))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        return np.asarray(self._dataset.variables[name][start:stop])


class _Zarr:
    def __init__(self, group: Any) -> None:
        self._group = group

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._group.array_keys())

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self._group.attrs)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._group[name].shape)

    def units(self, name: str) -> str:
        return str(self._group[name].attrs.get("units", ""))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        return np.asarray(self._group[name][start:stop])


@contextmanager
def _open_classic(path: Path) -> Iterator[ArrayFile]:
    with open_classic(path) as file:
        yield _Classic(file)


@contextmanager
def _open_netcdf(path: Path) -> Iterator[ArrayFile]:
    with open_dataset(path) as dataset:
        dataset.set_auto_mask(False)
        yield _NetCDF(dataset)


@contextmanager
def _open_zarr(path: Path) -> Iterator[ArrayFile]:
    import zarr

    yield _Zarr(zarr.open_group(path, mode="r"))

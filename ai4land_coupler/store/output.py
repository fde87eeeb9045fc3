"""The output of a run: one sharded Zarr v3 store, preallocated, one year per shard, committed by year.

A year counts once the commit marker names it. :meth:`OutputStore.commit` first fsyncs the year's files and their
folders, and then replaces the marker as a whole. So after a kill or a power cut all years committed before are
complete, and there are at most some files of a year that does not count. Format: Zarr specification v3
(https://zarr-specs.readthedocs.io) with its sharding codec, and zstd frames with checksums (RFC 8878).
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.errors import ConfigError, DataError, FieldError, StateError, nearest
from ai4land_coupler.files.durable import clear_dead, disk_errors, sync_files, sync_path
from ai4land_coupler.store.format import (
    array_file,
    array_files,
    digests,
    file_grid,
    is_yearly,
    make_store,
    make_way,
    measure_files,
    open_arrays,
    read_marker,
    short,
    write_marker,
)
from ai4land_coupler.store.layout import BEHIND, YEAR, Diagnostic, HostField, HostLayout, LandField, StoreLayout
from ai4land_coupler.store.shards import encode_shard

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Diagnostic",
    "HostField",
    "HostLayout",
    "LandField",
    "OutputStore",
    "StoreLayout",
    "inspect",
    "open_store",
]


class OutputStore:
    """The output of one run, open for writing; made by :meth:`create` or :meth:`open`.

    Any rank may write, but only one rank writes a given shard. Rank 0 creates, commits and truncates. Data count once
    their year is committed.

    Attributes
    ----------
    path, years, grid:
        Path of the store, all years that it can hold in run order, and its land grid.
    land_fields, host_fields:
        Its continuous fields; and the fields on each host grid, by name, with their types if these are not the classes.
    """

    def __init__(self, path: Path, arrays: Mapping[str, Any], description: Mapping[str, Any]) -> None:
        self.path = path
        self.years: tuple[int, ...] = tuple(description["years"])
        self.grid = LatLonGrid(*description["grid"])
        self.land_fields = tuple(LandField(*item) for item in description["land_fields"])
        self.host_fields: dict[str, tuple[str, ...]] = {
            name: tuple(types) for name, _, *types in description["host_fields"]
        }
        self._legend = get_legend(description["legend"])
        self._behind: dict[str, int] = description.get(BEHIND, {})
        self._arrays = {name: array for name, array in arrays.items() if is_yearly(name, array)}
        self._writable: set[int] = set()
        self._unsynced: set[Path] = set()

    @classmethod
    def create(
        cls, path: Path | str, layout: StoreLayout, attrs: Mapping[str, Any], *, overwrite: bool = False
    ) -> OutputStore:
        """Make an empty store; on one rank, before the other ranks :meth:`open` it.

        Parameters
        ----------
        attrs:
            Global attributes (title, source, history, provenance ...), plain JSON; nested ones are stored as JSON text.
        overwrite:
            Replace an existing store, complete or half made. Anything else at the path is never replaced.

        Raises
        ------
        ConfigError
            Something exists at the path, or attributes are not plain JSON.
        RunError
            The disk is full or cannot be written.
        """
        path = Path(path)
        try:
            json.dumps(dict(attrs), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError("the attributes of a store are not plain JSON", found=error, where=path) from error
        make_way(path, overwrite)
        with disk_errors("an output store could not be made", path):
            make_store(path, layout, attrs)
            sync_files((file for file in path.rglob("*") if file.is_file()), path)
            sync_path(path.absolute().parent)
            write_marker(path, [], digests(path))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str, layout: StoreLayout | None = None) -> OutputStore:
        """Open an existing store for writing.

        Raises
        ------
        ConfigError
            The store was made with another ``layout``. The error names each difference with both values.
        DataError
            There is no store, or it is half made or damaged.
        """
        path = Path(path)
        read_marker(path)
        arrays, description = open_arrays(path, "r+")
        if layout is not None:
            wanted = layout.describe()
            differing = [key for key in wanted if not _agree(key, description.get(key), wanted[key])]
            if differing:
                raise ConfigError(
                    "the output store was made for another run",
                    expected="; ".join(f"{key} {short(wanted[key])}" for key in differing),
                    found="; ".join(f"{key} {short(description.get(key))}" for key in differing),
                    where=path,
                    remedy="write to another path, or continue with the configuration that made the store",
                )
        return cls(path, arrays, description)

    def committed_years(self) -> tuple[int, ...]:
        """The committed years in run order, as read from the disk now."""
        return tuple(read_marker(self.path)["years"])

    def shard_boxes(self) -> list[Box]:
        """The box of the land grid that each shard covers, row by row, clipped to the grid."""
        return list(self._boxes)

    @cached_property
    def _boxes(self) -> dict[Box, None]:
        _, rows, cols = file_grid(self._arrays["land_cover"])
        return {
            Box(r, min(r + rows, self.grid.nlat), c, min(c + cols, self.grid.nlon)): None
            for r in range(0, self.grid.nlat, rows)
            for c in range(0, self.grid.nlon, cols)
        }

    def write_land_cover(self, year: int, box: Box, codes: NDArray[np.uint8]) -> None:
        """Write native codes: uint8 of the shape of ``box``, one of :meth:`shard_boxes`."""
        where = f"land_cover, year {year}, {box}"
        if codes.dtype != np.uint8:
            raise FieldError("a land-cover map holds codes", expected="uint8", found=codes.dtype, where=where)
        self._legend.check(codes, where)
        self.write_field("land_cover", year, box, codes)

    def year_of(self, name: str, year: int) -> int | None:
        """The year of a field that is written with the maps of ``year``; ``None`` if there is none yet."""
        index = self.years.index(year) - self._behind.get(name, 0)
        return self.years[index] if index >= 0 else None

    def write_field(self, name: str, year: int, box: Box, values: NDArray[Any]) -> None:
        """Write a land field of the shape of ``box``, with a leading axis if a year has several samples.

        ``year``: that of the values. It must not be committed; a field that is behind (:class:`LandField`) has its
        years committed later than the maps.
        """
        array = self._array(name)
        if array.ndim < 3 or name.startswith("hosts/") or box not in self._boxes:
            raise FieldError(
                "land fields are written by whole shards",
                expected="a land field and one of shard_boxes()",
                found=f"{name}, {box}",
                where=self.path,
            )
        self._write(name, year, (*(slice(0, n) for n in array.shape[1:-2]), *box.slices()), np.asarray(values))

    def write_diagnostic(self, name: str, year: int, values: NDArray[np.floating[Any]] | float) -> None:
        """Write a year of a time series (also ``class_area``), (n,) or a number; from one rank."""
        array = self._array(name)
        if array.ndim > 2 or "/" in name:
            raise FieldError("this array is not a time series", found=name, where=self.path)
        self._write(name, year, tuple(slice(0, n) for n in array.shape[1:]), np.asarray(values))

    def write_host(
        self,
        host: str,
        name: str,
        year: int,
        values: NDArray[np.floating[Any]],
        cell_ids: NDArray[np.int64] | None = None,
    ) -> None:
        """Write a whole host field, (cell,) or (class, cell); from one rank.

        ``cell_ids`` gives the 0-based global id of each column; needed if cells are not in the order of their ids.
        """
        array = self._array(f"hosts/{host}/{name}")
        values = np.asarray(values)
        if cell_ids is not None:
            ids = np.asarray(cell_ids)
            if ids.shape != values.shape[-1:] or not np.array_equal(np.sort(ids), np.arange(array.shape[-1])):
                raise FieldError(
                    f"the cells of host {host!r} do not come once each",
                    expected=f"every id from 0 to {array.shape[-1] - 1} and a value for each",
                    found=f"{ids.size} ids, {np.unique(ids).size} of them distinct, and values of {values.shape}",
                    where=f"{name}, year {year}",
                )
            values = values[..., np.argsort(ids)]
        self._write(f"hosts/{host}/{name}", year, tuple(slice(0, n) for n in array.shape[1:]), values)

    def sync(self) -> None:
        """Fsync the files that this process wrote; every rank calls it before rank 0 commits.

        On a parallel file system only the node that wrote a file can flush it.
        """
        with disk_errors("output could not be brought to disk", self.path):
            sync_files(sorted(self._unsynced), self.path)
        self._unsynced.clear()

    def commit(self, year: int) -> None:
        """Commit a year; on one rank, after every rank has written its part and called :meth:`sync`.

        Raises
        ------
        StateError
            It is not the next year of the run, or a part of it was not written.
        RunError
            The disk is full or cannot be written. The year does not count then.
        """
        marker = read_marker(self.path)
        done: list[int] = marker["years"]
        due = self.years[len(done)] if len(done) < len(self.years) else None
        if year != due:
            raise StateError(
                "a year was committed out of turn",
                expected="nothing more" if due is None else due,
                found=year,
                where=self.path,
                remedy="commit the years in run order; if another run writes this store too, stop one of them",
            )
        due_at = {name: len(done) - self._behind.get(name, 0) for name in self._arrays}
        files = [
            file
            for name, array in self._arrays.items()
            if due_at[name] >= 0
            for file, _ in array_files(self.path, name, array, due_at[name])
        ]
        missing = [file.relative_to(self.path).as_posix() for file in files if not file.is_file()]
        if missing:
            raise StateError(
                f"year {year} is not complete and was not committed",
                expected=f"{len(files)} files",
                found=f"without {short(missing)}",
                where=self.path,
                remedy="write every array of the year before the commit, NaN where there is nothing to say",
            )
        with disk_errors(f"year {year} could not be committed", self.path):
            sync_files(files, self.path)
            write_marker(self.path, [*done, year], marker["metadata"])
        self._unsynced.clear()
        self._writable.discard(year)

    def truncate(self, after_year: int | None) -> None:
        """Remove the years after ``after_year`` (all years for ``None``), committed or partly written.

        Rank 0 calls it before a run continues and before the other ranks open the store. It also removes files that a
        killed run left. The marker is replaced first, so after a kill in between the remaining files do not count.

        Raises
        ------
        StateError
            ``after_year`` is not committed.
        """
        marker = read_marker(self.path)
        done: list[int] = marker["years"]
        if after_year is not None and after_year not in done:
            raise StateError(
                "a run cannot continue after a year that its output store does not hold",
                expected=f"one of the committed years {short(done)}",
                found=after_year,
                where=self.path,
                remedy="restart from one of them, or write to another path",
            )
        keep = [] if after_year is None else done[: done.index(after_year) + 1]
        clear_dead(self.path / YEAR, None)
        with disk_errors("an output store could not be truncated", self.path):
            if keep != done:
                write_marker(self.path, keep, marker["metadata"])
            for name in self._arrays:
                for index in range(max(0, len(keep) - self._behind.get(name, 0)), len(self.years)):
                    target = self.path / name / "c" / str(index)
                    if target.is_dir():
                        shutil.rmtree(target)
                    else:
                        target.unlink(missing_ok=True)
            for name in self._arrays:  # Zarr also writes temporary files, and a kill may have left some
                for left in (self.path / name / "c").glob("*.partial"):
                    left.unlink(missing_ok=True)
        self._writable.clear()
        self._unsynced.clear()

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            raise FieldError(
                "the output store has no such array", found=name, where=self.path, remedy=nearest(name, self._arrays)
            )
        return self._arrays[name]

    def _write(self, name: str, year: int, region: tuple[slice, ...], values: NDArray[Any]) -> None:
        """Write the values of a year that one file holds."""
        index = self._index(name, year)
        shape = tuple(s.stop - s.start for s in region)
        if values.shape != shape:
            raise FieldError(
                "an output field has the wrong shape",
                expected=shape,
                found=values.shape,
                where=f"{name}, year {year}",
            )
        array = self._arrays[name]
        file = array_file(self.path, name, array, (index, *(s.start for s in region)))
        with disk_errors("output could not be written", file):
            content = encode_shard(array, values[None])
            if content is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            else:
                # Zarr reads an existing shard before it replaces it, and fails if a kill has cut that shard short.
                file.unlink(missing_ok=True)
                array[(index, *region)] = values
        self._unsynced.add(file)

    def _index(self, name: str, year: int) -> int:
        """Index of a year along the dimension of years; refuses years that may not be written."""
        index = self.years.index(year) if year in self.years else len(self.years)
        commit = index + self._behind.get(name, 0)
        if commit >= len(self.years):
            raise StateError(
                "a year is not one of the output store's", expected=short(self.years), found=year, where=self.path
            )
        due = self.years[commit]  # the year whose commit counts these values
        if due not in self._writable:
            if due in self.committed_years():
                raise StateError(
                    "a committed year is never rewritten",
                    found=year,
                    where=self.path,
                    remedy="truncate the store to an earlier year first, as a restart does",
                )
            self._writable.add(due)
        return index


def open_store(path: Path | str, host: str | None = None) -> xr.Dataset:
    """Open a store for reading, lazily: the committed years only.

    Parameters
    ----------
    host:
        Name of the host grid whose fields to open; ``None`` for the land grid.

    Returns
    -------
    A dataset with dimension ``year``: ``open_store(path).land_cover.sel(year=2050)``. The months of the last year do
    not count yet, because the next year is committed with them.

    Raises
    ------
    DataError
        There is no store, or its marker or metadata are damaged.
    ConfigError
        The store has no such host.
    """
    import xarray as xr

    path = Path(path)
    years = read_marker(path)["years"]
    _, description = open_arrays(path, "r")
    if host is not None and host not in description["hosts"]:
        raise ConfigError(
            "the output store has no such host", found=host, where=path, remedy=nearest(host, description["hosts"])
        )
    data = xr.open_dataset(
        path, engine="zarr", group=None if host is None else f"hosts/{host}", consolidated=False, chunks=None
    )
    return data.isel({YEAR: slice(0, len(years))}).set_coords("cell_area")


def inspect(path: Path | str, *, verify: bool = False) -> dict[str, Any]:
    """Summarise a store: ``years`` planned, ``committed`` years, ``grid``, ``legend``, ``hosts``, ``arrays``
    (name to shape, units and bytes on disk), ``bytes`` and ``files_verified``.

    Parameters
    ----------
    verify:
        Read every committed file back and check its checksums.

    Raises
    ------
    DataError
        Files are missing or (with ``verify``) broken. The error names them.
    """
    path = Path(path)
    marker = read_marker(path)
    arrays, description = open_arrays(path, "r")
    summary: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    if verify:
        found = digests(path)
        broken += [file for file, digest in marker["metadata"].items() if found.get(file) != digest]
    checked = len(marker["metadata"]) if verify else 0
    for name, array in sorted(arrays.items()):
        done = len(marker["years"]) - description.get(BEHIND, {}).get(name, 0)
        indices = range(max(0, done)) if is_yearly(name, array) else [None]
        files = itertools.chain.from_iterable(array_files(path, name, array, index) for index in indices)
        size, read = measure_files(path, array, files, verify, broken)
        checked += read
        summary[name] = {"shape": list(array.shape), "units": array.attrs.get("units"), "bytes": size}
    if broken:
        raise DataError(
            "an output store has missing or broken files",
            expected="every file of the committed years, readable and with fitting checksums",
            found=short(broken),
            where=path,
            remedy="put the files back from a copy, or restart the run from a year before them",
        )
    return {
        "path": str(path),
        "years": description["years"],
        "committed": marker["years"],
        "grid": str(LatLonGrid(*description["grid"])),
        "legend": description["legend"],
        "hosts": {host: parts[0] for host, parts in description["hosts"].items()},
        "arrays": summary,
        "bytes": sum(item["bytes"] for item in summary.values()),
        "files_verified": checked,
    }


def _agree(key: str, stored: Any, wanted: Any) -> bool:
    """Whether a part of a store's description allows a run to continue the store.

    Earlier versions stored fewer host fields, and stored host fields on the land grid. So only fields that are in both
    descriptions must agree.
    """
    if key not in ("land_fields", "host_fields") or stored is None:
        return bool(stored == wanted)
    known = {item[0]: item for item in stored}
    return all(known.get(item[0], item) == item for item in wanted)

"""Restarts: all data that a run needs to continue exactly from 1 January of a year.

A restart is a folder ``<folder>/<year>`` with safetensors files (https://huggingface.co/docs/safetensors) for the
blocks of the land decomposition, and ``manifest.json``, which names the file of each block with its size and SHA-256.
Blocks of a rank with the same content, as many blocks of ocean have, share a file: to synchronise thousands of files
takes long. Values that a host gave on its own cells are in further files, each for a
range of cell ids. Blocks and ranges do not depend on the number of ranks, so a restart does not either. File names
contain a part of the digest: if a restart is written again, the old files stay until the new manifest replaces the old
one, so there is a valid restart at every moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import ConfigError, DataError, StateError
from ai4land_coupler.files.durable import (
    clear_dead,
    disk_errors,
    remove,
    seal,
    sync_path,
    temporary_path,
    unseal,
    write_durably,
)

MANIFEST = "manifest.json"
FORMAT = 2
#: Format 1 has no history, and labelled monthly fields a year late.
READ_FORMATS = (1, FORMAT)
#: Key of an attribute: how many earlier states the restart keeps, by name.
HISTORY = "history"
#: Attributes that may differ between a restart and the run that continues it; all others must agree. Threads and
#: instruction set change the last bits of results, the others change nothing.
MAY_DIFFER = frozenset({"threads", "instruction_set", "config_hash", "software"})
#: Names of the files beside the manifest.
_FILE = re.compile(r"(block|host)_[0-9]{6,}\.[0-9a-f]{12}\.safetensors")
_ABSENT = "(absent)"
_COVER = "cover"


class RestartFile(NamedTuple):
    """One file of a restart; ``block`` numbers the block, or the range of a host's cells. Blocks may share a file."""

    block: int
    file: str
    size: int
    sha256: str


class RestartWriter:
    """Writes the restart of a year. Every rank writes its own blocks, then rank 0 calls :meth:`finish`.

    Attributes
    ----------
    entries:
        The file of each block that this rank has written; gather them on rank 0 for :meth:`finish`.
    """

    def __init__(self, folder: Path | str, year: int) -> None:
        self.year = year
        self.path = _year_path(Path(folder), year)
        self.entries: list[RestartFile] = []
        self._written: dict[str, str] = {}
        with disk_errors("a restart could not be written", self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def write_block(self, block: int, arrays: Mapping[str, NDArray[Any]]) -> RestartFile:
        """Write the arrays of a block; shapes and names are free.

        Raises
        ------
        StateError
            An array is neither boolean, nor integer, nor real floating point.
        RunError
            The disk is full or cannot be written.
        """
        entry = self._write(block, f"block_{block:06d}", arrays, f"block {block}")
        self.entries.append(entry)
        return entry

    def write_host(self, number: int, arrays: Mapping[str, NDArray[Any]]) -> RestartFile:
        """Write arrays of a range of a host's cells; errors as :meth:`write_block`."""
        return self._write(number, f"host_{number:06d}", arrays, f"range {number} of the host's cells")

    def _write(self, number: int, stem: str, arrays: Mapping[str, NDArray[Any]], what: str) -> RestartFile:
        from safetensors.numpy import save

        # safetensors copies the memory of an array as it is: a strided array would be stored in the wrong order.
        ready = {name: np.array(array, order="C", copy=None) for name, array in arrays.items()}
        for name, array in ready.items():
            if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
                raise StateError(
                    "a restart cannot hold this type of number",
                    expected="booleans, integers or floats of at most 64 bits",
                    found=array.dtype,
                    where=f"{name!r} of {what}",
                    remedy="let the predictor that owns it carry another type",
                )
        content = save(ready)
        digest = hashlib.sha256(content).hexdigest()
        if digest in self._written:
            return RestartFile(number, self._written[digest], len(content), digest)
        entry = RestartFile(number, f"{stem}.{digest[:12]}.safetensors", len(content), digest)
        with disk_errors("a restart could not be written", self.path / entry.file):
            write_durably(self.path / entry.file, content, sync_folder=False)
        self._written[digest] = entry.file
        return entry

    def finish(
        self,
        attrs: Mapping[str, Any],
        entries: Iterable[RestartFile],
        blocks: Collection[int] | None = None,
        host: Iterable[RestartFile] = (),
    ) -> None:
        """Write the manifest, which makes the restart valid; on one rank, after all ranks have written.

        Parameters
        ----------
        attrs:
            Attributes that a continuing run is compared with (see :func:`check_compatible`), plain JSON.
        entries:
            The files that all ranks wrote with :meth:`write_block`.
        blocks:
            All blocks of the plan, to check that none is missing.
        host:
            The files that all ranks wrote with :meth:`write_host`.

        Raises
        ------
        StateError
            Blocks are missing, unknown, or were written by two ranks.
        """
        files, of_host = (sorted(RestartFile(*entry) for entry in part) for part in (entries, host))
        ids = [entry.block for entry in files]
        if len(set(ids)) != len(ids) or (blocks is not None and set(ids) != set(blocks)):
            wanted = set(ids) if blocks is None else set(blocks)
            raise StateError(
                "a restart does not hold each block once",
                expected=f"{len(wanted)} blocks",
                found=f"twice: {sorted({i for i in ids if ids.count(i) > 1})}, missing: {sorted(wanted - set(ids))}, "
                f"unknown: {sorted(set(ids) - wanted)}",
                where=self.path,
            )
        manifest = {
            "format": FORMAT,
            "year": self.year,
            "attrs": dict(attrs),
            "files": [entry._asdict() for entry in files],
            "host": [entry._asdict() for entry in of_host],
        }
        try:
            content = seal(manifest)
        except (TypeError, ValueError) as error:
            raise StateError("the attributes of a restart are not plain JSON", found=error, where=self.path) from error
        with disk_errors("a restart could not be finished", self.path):
            for folder in (self.path, *self.path.absolute().parents[:2]):
                sync_path(folder)
            write_durably(self.path / MANIFEST, content)
            keep = {MANIFEST, *(entry.file for entry in (*files, *of_host))}
            for item in self.path.iterdir():
                if item.name not in keep:
                    item.unlink(missing_ok=True)


@dataclass(frozen=True)
class Restart:
    """A finished restart, open for reading; made by :meth:`open`."""

    path: Path
    year: int
    attrs: Mapping[str, Any]
    files: Mapping[int, RestartFile]
    host: Mapping[int, RestartFile] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def open(cls, folder: Path | str, year: int | None = None, *, direction: int = 1) -> Restart:
        """Open the restart of a year, or the last finished one in the direction of the run.

        Raises
        ------
        DataError
            There is no finished restart, or its manifest is damaged.
        """
        folder = Path(folder)
        if year is None:
            year = latest(folder, direction)
        if year is None:
            raise DataError(
                "there is no restart to continue from",
                expected=f"a folder <year> with a {MANIFEST}",
                where=folder,
                remedy="check the restart folder, or start the run without a restart",
            )
        path = _year_path(folder, year)
        try:
            text = (path / MANIFEST).read_bytes()
        except OSError as error:
            raise DataError(
                f"there is no finished restart of year {year}",
                expected=path / MANIFEST,
                found=f"finished restarts of the years {years(folder)}",
                remedy="restart from one of those years",
            ) from error
        remedy = _remedy(folder, year)
        content = unseal(text, path / MANIFEST, remedy)
        if content.get("format") not in READ_FORMATS:
            raise DataError(
                "a restart has a format that this version does not read",
                expected=" or ".join(map(str, READ_FORMATS)),
                found=content.get("format"),
                where=path / MANIFEST,
                remedy="continue with the version that wrote it",
            )
        files, host = (
            {item["block"]: RestartFile(**item) for item in content.get(key, [])} for key in ("files", "host")
        )
        return cls(path, content["year"], content["attrs"], files, host, content["format"])

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(sorted(self.files))

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the restart, wherever its folder is: its year, and a digest of all that it holds."""
        files = [entry.sha256 for part in (self.files, self.host) for _, entry in sorted(part.items())]
        text = json.dumps([self.attrs, files], sort_keys=True)
        return {
            "year of the restart": self.year,
            "content of the restart": hashlib.sha256(text.encode()).hexdigest()[:16],
        }

    def read_block(self, block: int) -> dict[str, NDArray[Any]]:
        """Read the arrays of a block and check the digest of its file.

        Raises
        ------
        DataError
            The file is missing, cut short or damaged. The error names the file.
        StateError
            The restart has no such block.
        """
        if block not in self.files:
            raise StateError(
                "a restart has no such block", expected=f"{len(self.files)} blocks", found=block, where=self.path
            )
        return self._read(self.files[block])

    def read_host(self, number: int) -> dict[str, NDArray[Any]]:
        """Read the arrays of a range of host cells; {} if nothing was written. Errors as :meth:`read_block`."""
        return self._read(self.host[number]) if number in self.host else {}

    def _read(self, entry: RestartFile) -> dict[str, NDArray[Any]]:
        from safetensors.numpy import load

        remedy = _remedy(self.path.parent, self.year)
        try:
            content = (self.path / entry.file).read_bytes()
        except OSError as error:
            raise DataError(
                "a file of a restart cannot be read", found=error.strerror, where=self.path / entry.file, remedy=remedy
            ) from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.sha256:
            raise DataError(
                "a file of a restart is damaged",
                expected=f"{entry.size} bytes, sha256 {entry.sha256}",
                found=f"{len(content)} bytes, sha256 {digest}",
                where=self.path / entry.file,
                remedy=remedy,
            )
        # safetensors returns arrays in no particular order.
        return dict(sorted(load(content).items()))


def block_arrays(state: LandState, block: int) -> dict[str, NDArray[Any]]:
    """The arrays of a block in a restart: ``cover``, the ``memory/<name>`` and ``fields/<name>`` of this block, and
    ``history/<name>/<steps before>``.

    Continuous fields are results of the year. They are kept because predictors may read them in the next step, and
    hosts ask for them.
    """
    arrays = {_COVER: state.cover[block]}
    for kind, table in (("memory", state.memory), ("fields", state.fields)):
        arrays |= {f"{kind}/{name}": blocks[block] for name, blocks in table.items() if block in blocks}
    for name, states in state.history.items():
        for back, blocks in enumerate(states, 1):
            if block in blocks:
                arrays[f"history/{name}/{back}"] = blocks[block]
    return arrays


def read_state(restart: Restart, blocks: Iterable[int]) -> LandState:
    """Read the land state of a rank's blocks (:func:`block_arrays`). Errors as :meth:`Restart.read_block`."""
    cover: dict[int, NDArray[Any]] = {}
    tables: dict[str, dict[str, dict[int, NDArray[Any]]]] = {"memory": {}, "fields": {}, "history": {}}
    for block in blocks:
        for key, array in restart.read_block(block).items():
            kind, _, name = key.partition("/")
            if kind == _COVER:
                cover[block] = array
            else:
                tables[kind].setdefault(name, {})[block] = array
    earlier = tables.pop("history")
    history = {
        name: tuple(earlier.get(f"{name}/{back}", {}) for back in range(1, depth + 1))
        for name, depth in restart.attrs.get(HISTORY, {}).items()
    }
    return LandState(restart.year, cover, **tables, history=history)


def years(folder: Path | str) -> list[int]:
    """Years with a finished restart, ascending. A restart without a manifest was interrupted and does not count."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    return sorted(int(item.name) for item in folder.iterdir() if item.name.isdigit() and (item / MANIFEST).is_file())


def latest(folder: Path | str, direction: int = 1) -> int | None:
    """The last finished year of a run that goes forward (+1) or backward (-1) in time."""
    found = years(folder)
    return (found[-1] if direction > 0 else found[0]) if found else None


def prune(folder: Path | str, keep: int, *, direction: int = 1) -> None:
    """Remove all finished restarts except the last ``keep``."""
    if keep < 1:
        raise ConfigError("at least one restart must be kept", found=keep, where="restart.keep")
    found = years(folder)[::direction]
    for year in found[: len(found) - keep]:
        _remove(_year_path(Path(folder), year))


def discard_after(folder: Path | str, year: int, *, direction: int = 1) -> None:
    """Remove the restarts of years after ``year``, because a run that continues from there writes its own.

    Also removes temporary files that killed writers left, because the run may not write to the same years.
    """
    folder = Path(folder)
    for other in years(folder):
        if (other - year) * direction > 0:
            _remove(_year_path(folder, other))
    clear_dead(folder)
    with disk_errors("restarts could not be looked through", folder):
        for item in list(folder.iterdir()) if folder.is_dir() else []:
            if not (item.name.isdigit() and item.is_dir()):
                continue
            clear_dead(item, None)
            names = [file.name for file in item.iterdir()]
            if names and all(_FILE.fullmatch(name) for name in names):
                _remove(item)


def check_compatible(
    attrs: Mapping[str, Any], expected: Mapping[str, Any], may_differ: Collection[str] = MAY_DIFFER
) -> list[str]:
    """Compare the attributes of a restart with those of the run that continues it.

    Parameters
    ----------
    attrs, expected:
        Attributes of the restart and of this run: grid, legend, block plan, regridding backend, predictors, seed
        ... Only the keys of ``expected`` are compared.
    may_differ:
        Keys that may differ.

    Returns
    -------
    A warning for each differing key of ``may_differ``.

    Raises
    ------
    ConfigError
        Any other key differs. The error names each such key with both values.
    """
    plain = json.loads(json.dumps(dict(expected)))
    differing = {
        key: (value, attrs.get(key, _ABSENT)) for key, value in plain.items() if attrs.get(key, _ABSENT) != value
    }
    hard = sorted(differing.keys() - set(may_differ))
    if hard:
        raise ConfigError(
            "a restart does not fit this run",
            expected="; ".join(f"{key} {differing[key][0]}" for key in hard),
            found="; ".join(f"{key} {differing[key][1]}" for key in hard),
            where="restart",
            remedy="continue with the settings and inputs of the run that wrote it, or branch off from it, or start a "
            "new run",
        )
    return [
        f"the restart was written with {key} {there}, this run has {here}"
        + ("; results may differ in the last bits" if key in ("threads", "instruction_set") else "")
        for key, (here, there) in sorted(differing.items())
    ]


def _year_path(folder: Path, year: int) -> Path:
    return folder / f"{year:04d}"


def _remedy(folder: Path, year: int) -> str:
    others = [other for other in years(folder) if other != year]
    return f"restart from another year ({', '.join(map(str, others))})" if others else "start the run anew"


def _remove(path: Path) -> None:
    """Remove a restart: renamed first, so that a kill leaves all of it or nothing."""
    temporary = temporary_path(path)
    with disk_errors("a restart could not be removed", path), contextlib.suppress(FileNotFoundError):
        path.replace(temporary)
        sync_path(path.parent)
    remove(temporary)

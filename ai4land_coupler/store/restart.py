"""Restarts: what a run needs to go on from 1 January of a year, exactly.

A restart is a folder ``<folder>/<year>`` with one safetensors file
(https://huggingface.co/docs/safetensors) for each block of the land decomposition, and ``manifest.json``, which
lists every file with its size and SHA-256. Blocks do not depend on the number of ranks, so neither does a restart.
What a host gave, by its own cells, lies beside them in files of a range of cell ids each, which depend on no rank
either. File names carry a part of the digest: a restart that is written again lies beside the old one until the new
manifest replaces the old, and at no moment is there none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import ConfigError, DataError, StateError
from ai4land_coupler.files.durable import clear_dead, disk_errors, seal, sync_path, unseal, write_durably

MANIFEST = "manifest.json"
FORMAT = 1
#: What may differ between a restart and the run that continues it; the rest must agree. Threads and instruction
#: set change the last bits, the others nothing.
MAY_DIFFER = frozenset({"threads", "instruction_set", "config_hash", "software"})
_ABSENT = "(absent)"
_COVER = "cover"


class RestartFile(NamedTuple):
    """One file of a restart; ``block`` numbers the block, or the range of a host's cells."""

    block: int
    file: str
    size: int
    sha256: str


class RestartWriter:
    """Writes the restart of a year. Every rank writes its own blocks; then rank 0 calls :meth:`finish`.

    Attributes
    ----------
    entries:
        What this rank has written; gather them on rank 0 for :meth:`finish`.
    """

    def __init__(self, folder: Path | str, year: int) -> None:
        self.year = year
        self.path = _year_path(Path(folder), year)
        self.entries: list[RestartFile] = []
        with disk_errors("a restart could not be written", self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def write_block(self, block: int, arrays: Mapping[str, NDArray[Any]]) -> RestartFile:
        """Write the arrays of a block, of any shape, under names of the caller's choice.

        Raises
        ------
        StateError
            When an array is neither boolean, integer, nor real floating point.
        RunError
            When the disk refuses.
        """
        entry = self._write(block, f"block_{block:06d}", arrays, f"block {block}")
        self.entries.append(entry)
        return entry

    def write_host(self, number: int, arrays: Mapping[str, NDArray[Any]]) -> RestartFile:
        """Write arrays of a range of a host's cells; errors as :meth:`write_block`."""
        return self._write(number, f"host_{number:06d}", arrays, f"range {number} of the host's cells")

    def _write(self, number: int, stem: str, arrays: Mapping[str, NDArray[Any]], what: str) -> RestartFile:
        from safetensors.numpy import save

        # safetensors takes the memory of an array as it lies: a strided one would be stored in disorder.
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
        entry = RestartFile(number, f"{stem}.{digest[:12]}.safetensors", len(content), digest)
        with disk_errors("a restart could not be written", self.path / entry.file):
            write_durably(self.path / entry.file, content, sync_folder=False)
        return entry

    def finish(
        self,
        attrs: Mapping[str, Any],
        entries: Iterable[RestartFile],
        blocks: Collection[int] | None = None,
        host: Iterable[RestartFile] = (),
    ) -> None:
        """Make the restart count; on one rank, after all ranks have written.

        Parameters
        ----------
        attrs:
            What a run that continues is compared with (see :func:`check_compatible`), plain JSON.
        entries:
            Those of all ranks.
        blocks:
            All blocks of the plan, to be sure that none was left out.
        host:
            Entries of :meth:`write_host` of all ranks.

        Raises
        ------
        StateError
            When blocks are missing, unknown, or were written by two ranks.
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

    @classmethod
    def open(cls, folder: Path | str, year: int | None = None, *, direction: int = 1) -> Restart:
        """Open the restart of a year, or the last finished one in the direction of the run.

        Raises
        ------
        DataError
            When there is none, or its manifest is damaged.
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
        if content.get("format") != FORMAT:
            raise DataError(
                "a restart has a format that this version does not read",
                expected=FORMAT,
                found=content.get("format"),
                where=path / MANIFEST,
                remedy="continue with the version that wrote it",
            )
        files, host = (
            {item["block"]: RestartFile(**item) for item in content.get(key, [])} for key in ("files", "host")
        )
        return cls(path, content["year"], content["attrs"], files, host)

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(sorted(self.files))

    def read_block(self, block: int) -> dict[str, NDArray[Any]]:
        """The arrays of a block, as they were written; its digest is checked.

        Raises
        ------
        DataError
            When the file is missing, cut short or damaged: names it.
        StateError
            When the restart has no such block.
        """
        if block not in self.files:
            raise StateError(
                "a restart has no such block", expected=f"{len(self.files)} blocks", found=block, where=self.path
            )
        return self._read(self.files[block])

    def read_host(self, number: int) -> dict[str, NDArray[Any]]:
        """The arrays of a range of the host's cells, empty where nothing was written; errors as :meth:`read_block`."""
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
        # safetensors returns them in no particular order.
        return dict(sorted(load(content).items()))


def block_arrays(state: LandState, block: int) -> dict[str, NDArray[Any]]:
    """What a restart holds of a block: ``cover``, and ``memory/<name>`` and ``fields/<name>`` that have the block.

    Continuous fields are results of the year; predictors may read those of the step before, and hosts ask for them.
    """
    arrays = {_COVER: state.cover[block]}
    for kind, table in (("memory", state.memory), ("fields", state.fields)):
        arrays |= {f"{kind}/{name}": blocks[block] for name, blocks in table.items() if block in blocks}
    return arrays


def read_state(restart: Restart, blocks: Iterable[int]) -> LandState:
    """The land state of a rank's blocks, as :func:`block_arrays` had it; errors as :meth:`Restart.read_block`."""
    cover: dict[int, NDArray[Any]] = {}
    tables: dict[str, dict[str, dict[int, NDArray[Any]]]] = {"memory": {}, "fields": {}}
    for block in blocks:
        for key, array in restart.read_block(block).items():
            kind, _, name = key.partition("/")
            if kind == _COVER:
                cover[block] = array
            else:
                tables[kind].setdefault(name, {})[block] = array
    return LandState(restart.year, cover, **tables)


def years(folder: Path | str) -> list[int]:
    """Years with a finished restart, rising. Those without a manifest were interrupted and do not count."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    return sorted(int(item.name) for item in folder.iterdir() if item.name.isdigit() and (item / MANIFEST).is_file())


def latest(folder: Path | str, direction: int = 1) -> int | None:
    """The last finished year of a run that goes forward (+1) or backward (-1) in time."""
    found = years(folder)
    return (found[-1] if direction > 0 else found[0]) if found else None


def prune(folder: Path | str, keep: int, *, direction: int = 1) -> None:
    """Remove all finished restarts but the ``keep`` last ones."""
    if keep < 1:
        raise ConfigError("at least one restart must be kept", found=keep, where="restart.keep")
    found = years(folder)[::direction]
    for year in found[: len(found) - keep]:
        _remove(Path(folder), year)


def discard_after(folder: Path | str, year: int, *, direction: int = 1) -> None:
    """Remove the restarts of the years after ``year``; a run that continues from there makes its own.

    What killed writers left behind goes too: the run may not write to the same years.
    """
    folder = Path(folder)
    for other in years(folder):
        if (other - year) * direction > 0:
            _remove(folder, other)
    for item in folder.iterdir() if folder.is_dir() else ():
        if item.name.isdigit():
            clear_dead(item, None)


def check_compatible(attrs: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Compare the attributes of a restart with those of the run that continues it.

    Parameters
    ----------
    attrs, expected:
        Attributes of the restart, and of this run: grid, legend, block plan, regrid backend, predictors, seed
        ... Only the keys of ``expected`` are compared.

    Returns
    -------
    A warning for each difference of :data:`MAY_DIFFER`.

    Raises
    ------
    ConfigError
        For any other difference: names each key with both values.
    """
    plain = json.loads(json.dumps(dict(expected)))
    differing = {
        key: (value, attrs.get(key, _ABSENT)) for key, value in plain.items() if attrs.get(key, _ABSENT) != value
    }
    hard = sorted(differing.keys() - MAY_DIFFER)
    if hard:
        raise ConfigError(
            "a restart does not fit this run",
            expected="; ".join(f"{key} {differing[key][0]}" for key in hard),
            found="; ".join(f"{key} {differing[key][1]}" for key in hard),
            where="restart",
            remedy="continue with the configuration that the restart was written with, or start a new run",
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


def _remove(folder: Path, year: int) -> None:
    """Remove a restart: the manifest first, so that one half removed does not count."""
    path = _year_path(folder, year)
    with disk_errors("a restart could not be removed", path):
        (path / MANIFEST).unlink(missing_ok=True)
        sync_path(path)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

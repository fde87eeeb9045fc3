"""``ai4land prepare``: plans a store, makes its pieces in several processes, and renames it when it is complete."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ai4land_coupler.config.sections import Config
from ai4land_coupler.errors import ConfigError, DataError, RunError
from ai4land_coupler.experiments.prepare.companion_files import write_companion_files
from ai4land_coupler.experiments.prepare.journal import REMEDY, Journal
from ai4land_coupler.experiments.prepare.layout import (
    ATTRIBUTE,
    COORDINATES,
    MARKER,
    PARTS,
    Piece,
    PreparedLayout,
    make_groups,
)
from ai4land_coupler.experiments.prepare.piece_maker import (
    GDAL_CACHE,
    WORKERS,
    MadePiece,
    PieceMaker,
    make_in_worker,
    start_worker,
)
from ai4land_coupler.experiments.prepare.plan import check_joints, plan_layout, source_files
from ai4land_coupler.experiments.prepare.verify import is_prepared, read_description
from ai4land_coupler.experiments.workers import Start, on_workers
from ai4land_coupler.files.durable import disk_errors, seal, sync_files, sync_path, unseal, write_durably
from ai4land_coupler.inputs.catalogue import Mended, total
from ai4land_coupler.land.setup import LandSetup, make_setup
from ai4land_coupler.store.format import digests
from ai4land_coupler.store.provenance import collect, digest
from ai4land_coupler.version import __version__

Progress = Callable[[int, int, str], None]

#: Ending of the temporary folder that holds the unfinished store and the journal.
UNFINISHED = ".part"
PLAN = "plan.json"
#: Seconds within which the workers of a process that was killed have ended.
WORKERS_END = 60.0


@dataclass(frozen=True)
class Prepared:
    """Result of :func:`prepare`. ``made``: number of pieces made by this call, of ``pieces`` in total."""

    store: Path
    configuration: Path
    collection: Path
    layout: PreparedLayout
    pieces: int
    made: int
    mended: Counter[str]


def prepare(
    config: Config,
    store: Path | str,
    *,
    maps: Iterable[int] = (),
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    comm: Any = None,
) -> Prepared:
    """Make the prepared store of a run, or continue an interrupted one. With ``comm``, a collective call.

    Parameters
    ----------
    config:
        The run whose inputs are prepared.
    store:
        Path of the Zarr store. ``STORE.run.yaml`` (the same run, reading the store) and ``STORE.stac.json`` (a STAC
        collection) are written next to it. ``STORE.part`` exists while the store is unfinished.
    maps:
        Years whose maps are stored in addition to the initial map.
    jobs:
        Number of processes. Default: one per available processor. With 1, no other process is started.
    overwrite:
        Replace a prepared store of other inputs. Other files are never replaced.
    progress:
        Called with the number of pieces done, their total number, and a description of the last one.
    comm:
        A communicator of mpi4py: rank 0 plans, and the other ranks make the pieces instead of ``jobs`` processes.

    Raises
    ------
    ConfigError
        If other files exist at the path.
    RunError
        If writing to disk fails, a worker was killed, or another process prepares the same store.
    Ai4LandError
        If the inputs have a fault that would stop the run.
    """
    os.environ.setdefault("GDAL_CACHEMAX", GDAL_CACHE)
    count = jobs if jobs is not None else len(os.sched_getaffinity(0))
    report = progress or (lambda done, total, what: None)
    return on_workers(lambda start: _prepare(config, store, maps, overwrite, report, start), count, comm)


def _prepare(
    config: Config, path: Path | str, maps: Iterable[int], overwrite: bool, report: Progress, start: Start
) -> Prepared:
    store = Path(os.path.abspath(path))  # noqa: PTH100 - does not follow links, as the store is renamed
    setup = make_setup(config)
    layout = plan_layout(setup, maps)
    joints = check_joints(setup, layout)
    plan = _plan(setup, layout)
    key = _key(plan)
    done = _check_place(store, key, overwrite)
    work = store.with_name(store.name + UNFINISHED)
    pieces = list(layout.pieces())
    if done:
        quality = Counter(read_description(store)["quality"])
        companions = write_companion_files(config, setup.plugins, layout, store, plan["provenance"])
        if work.exists():  # a run was killed after it moved the store into place, or a run of other inputs is at work
            with suppress(RunError, OSError), _locked(work):
                shutil.rmtree(work, ignore_errors=True)
        return Prepared(store, *companions, layout, len(pieces), 0, quality)
    with disk_errors("a prepared store could not be made", store), _locked(work):
        _resume_or_start(work, layout, plan, key)
        journal = Journal(work / "journal", work / "store")
        recorded = journal.read(pieces)
        missing = [piece for piece in pieces if piece.id not in recorded]
        made = _make(PieceMaker(config, layout, work / "store"), missing, start)
        _record_all(journal, made, len(pieces) - len(missing), len(pieces), report)
        recorded = journal.read(pieces)
        mended = {Mended(*key): n for piece in pieces for *key, n in recorded[piece.id]["mended"]}
        quality = total(mended | joints)
        _seal(work / "store", [file for entry in recorded.values() for file in entry["files"]], quality)
        companions = write_companion_files(config, setup.plugins, layout, store, plan["provenance"])
        _put_into_place(work, store)
    return Prepared(store, *companions, layout, len(pieces), len(missing), quality)


def _key(plan: dict[str, Any]) -> str:
    """Hash of everything that determines the values of a store: its layout, its sources and the software version."""
    made_from = plan["provenance"]
    content = [plan["layout"], made_from["inputs"], made_from["config_sha256"], __version__]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plan(setup: LandSetup, layout: PreparedLayout) -> dict[str, Any]:
    """Layout and provenance of a store. Without time and machine, so that the same inputs give the same store."""
    config = setup.config
    facts = collect(config.model_dump_json(indent=1, include={"legend", "time", "initial", "forcing", "static"}), [])
    inputs = []
    for adapter, source, file in source_files(setup, layout):
        known = {} if file is None else digest(file)._asdict()
        inputs.append({"adapter": adapter, "name": source if "://" in source else Path(source).name, **known})
    kept = {name: facts[name] for name in ("config", "config_sha256", "software")}
    return {"layout": layout.describe(), "provenance": {**kept, "inputs": inputs}}


def _check_place(store: Path, key: str, overwrite: bool) -> bool:
    """True if the store already exists, complete and made from the same inputs."""
    if not store.exists():
        return False
    if not is_prepared(store):
        raise ConfigError("the path of the prepared store is taken", where=store, remedy="choose another path")
    if read_description(store).get("key") == key:
        return True
    if not overwrite:
        raise ConfigError(
            "there is a prepared store already, made from other inputs, another configuration or other software",
            where=store,
            remedy="choose another path, or allow overwriting (--overwrite)",
        )
    return False


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Lock the folder: one process at a time prepares a store. Workers of a killed run may live a moment longer."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as file, (work / WORKERS).open("w") as workers:
        _lock(file, work, 0.0)
        _lock(workers, work, WORKERS_END)
        fcntl.flock(workers, fcntl.LOCK_UN)
        yield


def _lock(file: IO[str], work: Path, patience: float) -> None:
    """Lock a file for this process alone, waiting so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                what = "another process prepares this store"
                raise RunError(what, where=work, remedy="wait for it to end") from error
            time.sleep(0.05)
        else:
            return


def _resume_or_start(work: Path, layout: PreparedLayout, plan: dict[str, Any], key: str) -> None:
    """Keep the pieces of an interrupted call with the same plan. Otherwise start a new store."""
    try:
        same = unseal((work / PLAN).read_bytes(), work / PLAN, REMEDY)["key"] == key
    except (OSError, DataError):
        same = False
    if same:
        return
    (work / PLAN).unlink(missing_ok=True)
    for name in ("store", "journal", "old"):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / "journal").mkdir()
    make_groups(work / "store", layout, {"title": "Prepared inputs of ai4land_coupler"} | _attributes(plan, key, None))
    sync_files((file for file in (work / "store").rglob("*") if file.is_file()), work)
    write_durably(work / PLAN, seal({"key": key}))


def _attributes(plan: dict[str, Any], key: str, quality: Counter[str] | None) -> dict[str, Any]:
    described = {**plan["layout"], "key": key, "quality": dict(sorted((quality or {}).items()))}
    return {"provenance": plan["provenance"], ATTRIBUTE: json.dumps(described)}


def _record_all(journal: Journal, made: Iterator[MadePiece], done: int, total: int, report: Progress) -> None:
    """Record the pieces in the journal as they are made, and report the progress."""
    numbers = itertools.count(done + 1)
    report(done, total, "")

    def report_pieces(recorded: Iterable[MadePiece]) -> None:
        for piece, *_ in recorded:
            report(next(numbers), total, f"{piece.part} {piece.year or ''}".strip())

    try:
        for item in made:
            report_pieces(journal.add(item))
    except BaseException:  # An error in one piece must not lose the others.
        journal.flush()
        raise
    report_pieces(journal.flush())


def _make(maker: PieceMaker, pieces: Sequence[Piece], start: Start) -> Iterator[MadePiece]:
    """Make pieces, in this process or by workers, and yield each when it is written."""
    if not pieces:
        return
    with start(start_worker, maker) as workers:
        make = maker.make if workers.executor is None else make_in_worker
        yield from workers.run((make, (piece,)) for piece in pieces)


def _seal(store: Path, files: Iterable[str], quality: Counter[str]) -> None:
    """Write the quality counts, remove files that killed processes left, and write the checksums of the metadata."""
    import zarr

    group = zarr.open_group(store, mode="r+")
    described = json.loads(str(group.attrs[ATTRIBUTE]))
    group.update_attributes({ATTRIBUTE: json.dumps({**described, "quality": dict(sorted(quality.items()))})})
    shards = {*files}
    coordinates = {f"{part}/{name}/c/0" for part in PARTS for name in COORDINATES}
    kept = shards | coordinates
    for folder, _, names in os.walk(store):
        for name in names:
            file = Path(folder, name)
            if name != "zarr.json" and file.relative_to(store).as_posix() not in kept:
                file.unlink()
    metadata = digests(store)
    write_durably(store / MARKER, seal({"metadata": metadata, "files": sorted(shards)}))
    sync_files((store / name for name in metadata), store)


def _put_into_place(work: Path, store: Path) -> None:
    """Rename the finished store: readers find either the complete store or none."""
    if store.exists():
        store.rename(work / "old")
    (work / "store").rename(store)
    sync_path(store.parent)
    shutil.rmtree(work)

"""Makes a Twin Earth: simulate, aggregate, write into a scratch folder, rename."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.experiments.metrics import class_shares
from ai4land_coupler.experiments.twin.demand import class_counts
from ai4land_coupler.experiments.twin.dynamics import Maps, Moves, changed_area, simulate
from ai4land_coupler.experiments.twin.landscape import (
    CLASSES,
    Ground,
    Landscape,
    check_land,
    landscape_on,
    make_ground,
)
from ai4land_coupler.experiments.twin.large import default_side, make_in_blocks
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.oracle import Skill, skill, spread_starts
from ai4land_coupler.experiments.twin.part import whole
from ai4land_coupler.experiments.twin.report import ArrayHash, TwinReport
from ai4land_coupler.experiments.twin.states import States
from ai4land_coupler.experiments.twin.writers import (
    coarse_static,
    hilda_name,
    scenario_name,
    write_luh2_static,
    write_map,
    write_states,
    write_statics,
)
from ai4land_coupler.experiments.workers import Start, no_preparation, on_workers
from ai4land_coupler.files.durable import clear_dead, disk_errors, scratch_folder, sync_tree, write_durably

#: Increase this with every change of the generator that changes its output.
GENERATOR = 1
MANIFEST = "twin.json"
#: Lead times (years) of the oracle's scores, and number of start years.
_LEADS = ((1, 10), (20, 3))
#: Largest number of cells of a twin that is made at once, with all maps in memory (850 bytes per cell and more).
AT_ONCE = 3_000_000
Progress = Callable[[int, int], None]
Manifest = dict[str, Any]


def generate(
    options: TwinOptions,
    folder: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    processes: int = 1,
    comm: Any = None,
    side: int | None = None,
) -> TwinReport:
    """Make a Twin Earth in a folder. If the folder already has it, only return its report.

    A twin of more than 3 million cells is made in blocks, in bounded memory. Its maps, states and static fields are the
    same as if it were made at once, but the oracle is left out, which needs all maps.

    Parameters
    ----------
    folder:
        Created if missing. A twin with other options is replaced. Other files are never changed.
    progress:
        Called with the number of years (or of blocks and years) done and their total number.
    processes:
        Number of processes that make blocks. The files do not depend on it.
    comm:
        A communicator of mpi4py: then this call is collective, and the ranks other than 0 make the blocks.
    side:
        Make a twin of any size in blocks of ``side`` x ``side`` forcing cells. The files do not depend on it.

    Raises
    ------
    ConfigError
        If the region has no land, or cell centres are on the edges of forcing cells.
    DataError
        If the folder has files with the same names that no twin wrote.
    """
    return on_workers(lambda start: _generate(options, Path(folder), progress, side, start), processes, comm)


def _generate(
    options: TwinOptions, target: Path, progress: Progress | None, side: int | None, start: Start
) -> TwinReport:
    clear_dead(target)
    known = _read_manifest(target)
    if known is not None and known.get("complete") and known["generator"] == GENERATOR:
        report = TwinReport.model_validate({**known["report"], "folder": target})
        if report.options == options and all((target / f).is_file() for f in report.files):
            return report
    in_blocks = side is not None or options.land_grid.size > AT_ONCE
    if not in_blocks:
        ground = make_ground(whole(options))
        check_land(options, bool(ground.land.any()))
    target.mkdir(parents=True, exist_ok=True)
    with disk_errors("a Twin Earth could not be made", target), scratch_folder(target / MANIFEST) as temporary:
        for name in ("hilda", "luh2", "static"):
            (temporary / name).mkdir()
        if in_blocks:
            with start(no_preparation) as workers:
                report = make_in_blocks(
                    options,
                    temporary,
                    target,
                    default_side(options) if side is None else side,
                    workers,
                    progress or (lambda done, total: None),
                )
        else:
            report = _write(ground, temporary, target, progress)
        _install(temporary, target, report, known)
    return report


def _write(ground: Ground, temporary: Path, target: Path, progress: Progress | None) -> TwinReport:
    landscape, options = landscape_on(ground), ground.part.options
    maps: dict[int, Maps] = {}
    moves: dict[int, Moves] = {}
    rows = []
    hash_maps, hash_states = ArrayHash(), ArrayHash()
    states: States | None = None
    for year, cover, moved in simulate(landscape):
        maps[year], moves[year] = cover, moved
        if states is None:
            states = States.first(landscape, cover)
            coarse = coarse_static(landscape, states)
            write_luh2_static(temporary / "luh2" / "staticData_quarterdeg.nc", options, coarse)
        else:
            states.advance(cover)
        codes = landscape.codes(cover)
        hash_maps.update(codes)
        write_map(temporary / "hilda" / hilda_name(year), options.land_grid, codes)
        rows.append(states.aggregate())
        hash_states.update(rows[-1])
        if progress is not None:
            progress(len(maps), len(options.years))
    _write_both_states(temporary, options, np.stack(rows))
    write_statics(temporary / "static", ground)

    dry = landscape.land & ~landscape.water
    area = landscape.dry_area
    first, last = options.first_year, options.last_year
    shares = [class_shares(maps[y][landscape.land], len(CLASSES)) for y in (first, last)]
    files = sorted(p.relative_to(temporary) for p in temporary.rglob("*") if p.is_file())
    return TwinReport(
        folder=target,
        options=options,
        files=tuple(files),
        cells=cover.size,
        land_cells=int(dry.sum()),
        forcing_cells=options.forcing_grid.size,
        gross_change={y: changed_area(landscape, maps[y - 1], maps[y]) / area for y in options.years[1:]},
        net_change=_net_change(landscape, maps),
        class_shares={c: (float(a), float(b)) for c, a, b in zip(CLASSES, *shares, strict=True)},
        skill=tuple(_skills(landscape, maps, moves)),
        maps_sha256=hash_maps.hex,
        states_sha256=hash_states.hex,
    )


def _write_both_states(temporary: Path, options: TwinOptions, values: NDArray[np.float32]) -> None:
    """Write the historical file and the scenario file. Both contain the year in which the scenario starts."""
    turn = min(options.scenario_start, options.last_year) - options.first_year
    years = list(options.years)
    write_states(temporary / "luh2" / "states.nc", options, years[: turn + 1], values[: turn + 1], base=850)
    if options.scenario_start < options.last_year:
        (temporary / "scenario").mkdir()
        path = temporary / "scenario" / scenario_name(options)
        write_states(path, options, years[turn:], values[turn:], base=options.scenario_start)


def _net_change(landscape: Landscape, maps: dict[int, Maps]) -> float:
    """Mean yearly share of land cells with net change of a class within a forcing cell."""
    counts = [class_counts(landscape, cover) for cover in maps.values()]
    net = [np.abs(b - a).sum() / 2 for a, b in pairwise(counts)]
    return float(np.mean(net) / (landscape.land & ~landscape.water).sum())


def _skills(landscape: Landscape, maps: dict[int, Maps], moves: dict[int, Moves]) -> Iterator[Skill]:
    for lead, number in _LEADS:
        starts = spread_starts(landscape.options.years, lead, number)
        if starts:
            yield skill(landscape, maps, moves, lead, starts)


def _read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the twin in a folder; ``None`` if there is no twin."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text())
        return {"generator": manifest["generator"], "files": list(manifest["files"]), **manifest}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "the manifest of a Twin Earth cannot be read",
            found=error,
            where=path,
            remedy="delete the folder, or choose another",
        ) from error


def _install(temporary: Path, target: Path, report: TwinReport, known: Manifest | None) -> None:
    """Move the files to their final place. The manifest marks them as complete only after the last one."""
    new = [f.as_posix() for f in report.files]
    own = set(known["files"]) if known else set()
    foreign = sorted(f for f in new if (target / f).exists() and f not in own)
    if foreign:
        raise DataError(
            "the folder of a Twin Earth holds files that no twin wrote",
            found=foreign[:3],
            where=target,
            remedy="choose an empty folder, or move them away",
        )
    sync_tree(temporary)
    _write_manifest(target, {"complete": False, "generator": GENERATOR, "files": sorted(own | set(new))})
    for name in sorted(own - set(new)):
        (target / name).unlink(missing_ok=True)
    for name in new:
        (target / name).parent.mkdir(exist_ok=True)
        (temporary / name).replace(target / name)
    manifest = {"complete": True, "generator": GENERATOR, "files": new}
    _write_manifest(target, {**manifest, "report": json.loads(report.model_dump_json(exclude={"folder"}))})


def _write_manifest(target: Path, manifest: Manifest) -> None:
    write_durably(target / MANIFEST, json.dumps(manifest, indent=1).encode())

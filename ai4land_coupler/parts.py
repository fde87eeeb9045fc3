"""Runs a configuration that is made of parts, and joins the stores of the parts (docs/store.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.component.performance import NAME as PERFORMANCE
from ai4land_coupler.component.performance import joined_sheets
from ai4land_coupler.config.parts import PartsConfig
from ai4land_coupler.config.sections import Config
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.inputs.mended_log import NAME as MENDED
from ai4land_coupler.inputs.mended_log import joined_mended
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.simulation import Simulation, Summary
from ai4land_coupler.store.format import read_marker
from ai4land_coupler.store.join import is_complete, is_joined, join_stores, refuse_other_layout

#: Called on rank 0 after each committed year with (part, number of steps done, total number of steps, year).
PartProgress = Callable[[str, int, int, int], None]
#: Called on rank 0 after each part.
PartDone = Callable[[str, Simulation, Summary], None]


@dataclass(frozen=True)
class JoinedStore:
    """``copied``: size (bytes) of the files that were copied, because the file system has no hard links."""

    scenario: str
    path: Path
    years: tuple[int, int]
    copied: int


def run_parts(
    parts: PartsConfig,
    comm: Any = None,
    *,
    only: str | None = None,
    restart: bool = False,
    progress: PartProgress = lambda part, done, total, year: None,
    part_done: PartDone = lambda part, simulation, summary: None,
) -> list[JoinedStore]:
    """Run the parts one after the other, and join the stores of the history and of each scenario. Collective.

    Everything that can be checked before the first step is checked for all parts before the first part runs.

    Parameters
    ----------
    comm:
        mpi4py communicator; ``None`` for a single process.
    only:
        Run this part only. Stores are joined if the other part is complete.
    restart:
        Continue each part from its newest restart. A part that is complete computes nothing.

    Returns
    -------
    The joined stores that are complete now, in the order of the scenarios; the same on all ranks.

    Raises
    ------
    Ai4LandError
        Parts do not fit together, or a part fails.
    """
    own = Communicator(comm)
    try:
        chosen = {name: parts.part(name) for name in (parts.parts if only is None else (only,))}
        with own.guard():
            if own.rank == 0:
                for name, config in chosen.items():
                    _check_places(parts, name, config, restart=restart)
        _check_parts(parts, comm, own)
        for name, config in chosen.items():

            def advance(done: int, total: int, year: int, name: str = name) -> None:
                progress(name, done, total, year)

            simulation = Simulation(config, comm, advance)
            try:
                summary = simulation.run(restart=restart)
                with own.guard():  # the caller's function may fail
                    if own.rank == 0:
                        part_done(name, simulation, summary)
            finally:
                simulation.component.finalize()
        joined: list[JoinedStore] = []
        with own.guard():
            if own.rank == 0:
                joined = [done for name in parts.scenarios if (done := _join(parts, name, only, restart)) is not None]
        return list(own.bcast(joined))
    finally:
        own.free()


def _check_places(parts: PartsConfig, name: str, config: Config, *, restart: bool) -> None:
    """Refuse to begin a part if a store is in its way, or in the way of a joined store, before any part runs."""
    store = parts.part_store(name)
    if config.output is not None and config.output.overwrite:
        return
    if store.exists() and not restart:
        raise ConfigError(
            f"part {name!r} has an output store already",
            where=store,
            remedy="continue it with `ai4land run --restart`, set output.overwrite, or choose another path",
        )
    for scenario in parts.scenarios:
        target = parts.joined_store(scenario)
        if name in (scenario, parts.history) and target.exists() and not (is_joined(target) and store.exists()):
            raise ConfigError(
                "the path of the joined store is taken",
                found="another joined store" if is_joined(target) else "something else",
                where=target,
                remedy="choose another output.store, or set output.overwrite",
            )


def _check_parts(parts: PartsConfig, comm: Any, own: Communicator) -> None:
    """Initialise each part, which checks its inputs, and compare what their stores will hold. Collective."""
    facts = {}
    for name, config in parts.parts.items():
        component = LandComponent(config, comm, online=False)
        try:
            component.initialize()
            component.check_forcing()
            setup = component.setup
            facts[name] = {
                "land grid": setup.grid.hash,
                "step": f"P{setup.clock.step}Y",
                "groups of classes": list(setup.map_maker.crosswalk.groups),
                "fields": sorted([info.name, info.units, *info.types] for info in component.exports().values()),
            }
        finally:
            component.finalize()
    with own.guard():
        refuse_other_layout(facts, parts.where)


def _join(parts: PartsConfig, scenario: str, only: str | None, restart: bool) -> JoinedStore | None:
    """Make the joined store of a scenario, on one rank; ``None`` if one of its parts is not complete."""
    stores = {name: parts.part_store(name) for name in (parts.history, scenario)}
    if only not in (None, *stores) or not all(map(is_complete, stores.values())):
        return None
    output = parts.part(scenario).output
    files = {PERFORMANCE: joined_sheets(stores.values())}
    mended = joined_mended(stores.values())
    if mended is not None:
        files[MENDED] = mended
    target = parts.joined_store(scenario)
    overwrite = restart or (output is not None and output.overwrite) or is_joined(target)
    copied = join_stores(stores, target, overwrite=overwrite, files=files)
    years = read_marker(target)["years"]
    return JoinedStore(scenario, target, (years[0], years[-1]), copied)

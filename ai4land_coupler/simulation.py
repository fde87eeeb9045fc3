"""Offline simulation: runs the component without a host. Adapters give the inputs, a store takes the results."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai4land_coupler.api.hooks import StepEvent
from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.component.performance import Meter, write_sheet
from ai4land_coupler.config.sections import Config, OutputSection
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.inputs.catalogue import Mended
from ai4land_coupler.inputs.catalogue import total as total_mended
from ai4land_coupler.inputs.mended_log import write_mended
from ai4land_coupler.store.format import holds_no_year
from ai4land_coupler.store.output import OutputStore, StoreLayout
from ai4land_coupler.store.restart import discard_after, prune, years

#: Called on rank 0 after each committed year with (number of steps done, total number of steps, year).
Progress = Callable[[int, int, int], None]


@dataclass
class Summary:
    """Results of a run in short, for the user. ``seconds`` is the time of each phase on this rank.

    ``performance``: the sheet of the run (see ``component/performance.py``); {} if no step was due.
    """

    store: Path
    years: tuple[int, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    mended: Counter[str] = field(default_factory=Counter)
    changed_share: dict[int, float] = field(default_factory=dict)
    unmet_area: dict[int, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    performance: dict[str, Any] = field(default_factory=dict)


class Simulation:
    """Runs a configuration from its first year to its last and writes a store.

    Parameters
    ----------
    config:
        A configuration, or the path of its file. The section ``output`` is required.
    comm:
        mpi4py communicator; ``None`` for a single process.
    progress:
        Called after each committed year, on rank 0.
    """

    def __init__(self, config: Config | str | Path, comm: Any = None, progress: Progress | None = None) -> None:
        self.component = LandComponent(config, comm, online=False)
        self.comm = self.component.comm
        self.config = self.component.config
        self._progress = progress or (lambda done, total, year: None)
        with self.comm.guard():
            if self.config.output is None:
                raise ConfigError("an offline run needs a place for its results", expected="output.store")
            self._output: OutputSection = self.config.output
            self._store_path = self.config.resolve(self._output.store)
            folder = self.config.restart.folder
            self._restart_folder = (
                self._store_path.with_name(self._store_path.name + ".restart")
                if folder is None
                else self.config.resolve(folder)
            )

    def run(self, restart: bool | str | Path = False) -> Summary:
        """Run to the last year. Collective.

        Parameters
        ----------
        restart:
            True, or a folder of restarts: continue from the newest complete restart. First removes later years
            from the store. If the store has no committed year yet, the run starts from the beginning.
        """
        component, meter = self.component, Meter()
        folder, year = self._restart_from(restart)
        component.initialize(folder, year)
        component.check_forcing()
        with _torch_threads(self.config.parallel.threads):
            for name in self.config.hosts:
                component.set_named_grid(name, as_name=name)
            component.realize()
            store = self._open_store(is_continued=folder is not None, may_replace=restart is not False)
            total, first = len(component.clock.years()) - 1, component.year
            summary = Summary(self._store_path, tuple(component.clock.years()))
            if folder is None:
                self._write_year(store, component.year, 0)
            for clock in component.clock.remaining():
                begin = time.perf_counter()
                component.run(clock.now)
                done = abs(clock.now - clock.start) // clock.step
                self._write_year(store, clock.now, done)
                self._report_step(summary, done, total, begin)
                meter.sample()
            if component.year != first:
                phases = component.timers.seconds
                summary.performance = meter.sheet(self.config, self.comm, phases, (first, component.year))
                with self.comm.guard():
                    if self.comm.rank == 0:
                        write_sheet(self._store_path, summary.performance)
            summary.seconds = dict(component.timers.seconds)
            summary.mended = total_mended(self._mended())
            summary.warnings = tuple(sorted(set().union(*self.comm.allgather(component.warnings))))
            return summary

    # ---- output -----------------------------------------------------------------------------------------------

    def _write_year(self, store: OutputStore, year: int, done: int) -> None:
        """Write a year, then its restart, then commit the year. So every committed year has a complete restart."""
        timers = self.component.timers
        with timers("write output"):
            self.component.write_output(store)
        if done % self.config.restart.every == 0:
            with timers("write restart"):
                self.component.write_restart(self._restart_folder)
        mended = self._mended()
        with timers("write output"), self.comm.guard():
            if self.comm.rank == 0:
                write_mended(self._store_path, self.config.quality.policy, mended)
                store.commit(year)
                if self.config.restart.keep:
                    prune(self._restart_folder, self.config.restart.keep, direction=self.component.clock.direction)

    def _mended(self) -> dict[Mended, int]:
        """What was mended in the inputs. Counts a value once even if several ranks read it."""
        merged: dict[Mended, int] = {}
        for part in self.comm.allgather(self.component.mended):
            merged |= part
        return merged

    # ---- store ------------------------------------------------------------------------------------------------

    def _open_store(self, is_continued: bool, may_replace: bool) -> OutputStore:
        """Open the store to continue, or create a new one.

        ``may_replace``: a new store may replace one without a committed year, which a killed run left.
        """
        layout = self.component.store_layout(self._output.shard)
        component = self.component
        clock = component.clock
        provenance = {} if is_continued else component.provenance()
        with self.comm.guard():
            if self.comm.rank == 0:
                # Delete the restarts of an earlier run: a later call would take them for the newest ones.
                last = component.year if is_continued else clock.start - clock.direction
                discard_after(self._restart_folder, last, direction=clock.direction)
                if is_continued:
                    store = OutputStore.open(self._store_path, layout)
                    store.truncate(component.year)
                    self._compare_host_fields(layout, store)
                else:
                    attrs = {"title": self.config.title, "provenance": provenance}
                    overwrite = self._output.overwrite or (may_replace and holds_no_year(self._store_path))
                    store = OutputStore.create(self._store_path, layout, attrs, overwrite=overwrite)
        with self.comm.guard():
            if self.comm.rank != 0:
                store = OutputStore.open(self._store_path)
        return store

    def _compare_host_fields(self, layout: StoreLayout, store: OutputStore) -> None:
        """Report the host fields that only the run or only the store has: ``exports`` may change at a restart."""
        offered = {field.name for field in layout.host_fields}
        for name in sorted(offered - set(store.host_fields)):
            self.component.warnings[f"store: {name} is not stored, because the store was made without it"] += 1
        for name in sorted(set(store.host_fields) - offered):
            since = self.component.year
            self.component.warnings[f"store: {name} is missing after {since}, because the run does not offer it"] += 1

    def _restart_from(self, restart: bool | str | Path) -> tuple[Path | None, int | None]:
        """Folder and year of the newest restart whose year is committed in the store. (None, None): start anew.

        A run that was killed between writing a restart and committing its year leaves a restart without that year.
        """
        found: tuple[Path | None, int | None] = (None, None)
        with self.comm.guard():
            if restart is not False and self.comm.rank == 0 and self._store_path.exists():
                folder = self._restart_folder if restart is True else Path(restart)
                has_year = not holds_no_year(self._store_path)
                both = set(years(folder)) & set(
                    OutputStore.open(self._store_path).committed_years() if has_year else ()
                )
                if both:
                    forward = self.config.time.stop >= self.config.time.start
                    found = folder, max(both) if forward else min(both)
        decided: tuple[Path | None, int | None] = self.comm.bcast(found)
        return decided

    def _report_step(self, summary: Summary, done: int, total: int, begin: float) -> None:
        component = self.component
        diagnostics = component.diagnostics
        land, changed = diagnostics.get("land_cells"), diagnostics.get("changed_cells")
        if land is not None and changed is not None and land[0] > 0:
            summary.changed_share[component.year] = float(changed[0] / land[0])
            summary.unmet_area[component.year] = float(diagnostics["unmet_area"].sum())
        with self.comm.guard():  # the caller's function may fail
            if self.comm.rank == 0:
                self._progress(done, total, component.year)
        event = StepEvent(
            component.year,
            self.comm.rank,
            {name: values.copy() for name, values in diagnostics.items()},
            {"step": time.perf_counter() - begin, **component.timers.seconds},
        )
        component.tell_plugins(event)


@contextlib.contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Set the number of torch threads during a run, because the last bits of the results depend on it.

    Only offline: in a coupled run, the host decides about threads. Does nothing if no predictor has loaded torch.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

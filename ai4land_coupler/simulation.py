"""Offline simulation: the same component, with adapters and the store in the place of a host."""

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
from ai4land_coupler.config.sections import Config, OutputSection
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.inputs.catalogue import Mended
from ai4land_coupler.inputs.catalogue import total as total_mended
from ai4land_coupler.inputs.mended_log import write_mended
from ai4land_coupler.store.format import holds_no_year
from ai4land_coupler.store.output import OutputStore
from ai4land_coupler.store.restart import discard_after, prune, years

#: Called on rank 0 after each committed year: (steps done, steps in all, year).
Progress = Callable[[int, int, int], None]


@dataclass
class Summary:
    """What a run did, for the person who started it. ``seconds`` are this rank's, by phase."""

    store: Path
    years: tuple[int, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    mended: Counter[str] = field(default_factory=Counter)
    changed_share: dict[int, float] = field(default_factory=dict)
    unmet_area: dict[int, float] = field(default_factory=dict)


class Simulation:
    """Runs a configuration from its first year to its last, into a store.

    Parameters
    ----------
    config:
        A configuration, or the path of one. It must have an ``output``.
    comm:
        mpi4py communicator; ``None`` for a single process.
    progress:
        Told about each committed year, on rank 0.
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
            True, or a folder of restarts: continue from the newest complete one. The store is taken back to
            that year first. Where no year of it is committed yet, the run starts from the beginning.
        """
        component = self.component
        folder, year = self._restart_from(restart)
        component.initialize(folder, year)
        component.check_forcing()
        with _torch_threads(self.config.parallel.threads):
            for name in self.config.hosts:
                component.set_named_grid(name, as_name=name)
            component.realize()
            store = self._open_store(continued=folder is not None, again=restart is not False)
            total = len(component.clock.years()) - 1
            summary = Summary(self._store_path, tuple(component.clock.years()))
            if folder is None:
                self._keep(store, component.year, 0)
            for clock in component.clock.remaining():
                begin = time.perf_counter()
                component.run(clock.now)
                done = abs(clock.now - clock.start) // clock.step
                self._keep(store, clock.now, done)
                self._tell(summary, done, total, begin)
            summary.seconds = dict(component.timers.seconds)
            warnings: Counter[str] = sum(self.comm.allgather(component.warnings), Counter())
            summary.mended = total_mended(self._mended()) + warnings
            return summary

    # ---- output -----------------------------------------------------------------------------------------------

    def _keep(self, store: OutputStore, year: int, done: int) -> None:
        """Write a year, then its restart, then commit it: what is committed can always be continued."""
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
        """What was mended in the inputs, once for all ranks that read the same."""
        everywhere: dict[Mended, int] = {}
        for part in self.comm.allgather(self.component.mended):
            everywhere |= part
        return everywhere

    # ---- store ------------------------------------------------------------------------------------------------

    def _open_store(self, continued: bool, again: bool) -> OutputStore:
        """The store to continue, or a new one; ``again``: in the place of one that a killed run left without a year."""
        layout = self.component.store_layout(self._output.shard)
        component = self.component
        clock = component.clock
        provenance = {} if continued else component.provenance()
        with self.comm.guard():
            if self.comm.rank == 0:
                # restarts of an earlier run would be taken for newer ones than those that this run writes
                last = component.year if continued else clock.start - clock.direction
                discard_after(self._restart_folder, last, direction=clock.direction)
                if continued:
                    store = OutputStore.open(self._store_path, layout)
                    store.truncate(component.year)
                else:
                    attrs = {"title": self.config.title, "provenance": provenance}
                    overwrite = self._output.overwrite or (again and holds_no_year(self._store_path))
                    store = OutputStore.create(self._store_path, layout, attrs, overwrite=overwrite)
        with self.comm.guard():
            if self.comm.rank != 0:
                store = OutputStore.open(self._store_path)
        return store

    def _restart_from(self, restart: bool | str | Path) -> tuple[Path | None, int | None]:
        """Folder and year of the last restart whose year the store holds too; none to start anew.

        A run that was killed between the two has written a restart of a year that it did not commit.
        """
        found: tuple[Path | None, int | None] = (None, None)
        with self.comm.guard():
            if restart is not False and self.comm.rank == 0 and self._store_path.exists():
                folder = self._restart_folder if restart is True else Path(restart)
                begun = not holds_no_year(self._store_path)
                both = set(years(folder)) & set(OutputStore.open(self._store_path).committed_years() if begun else ())
                if both:
                    forward = self.config.time.stop >= self.config.time.start
                    found = folder, max(both) if forward else min(both)
        decided: tuple[Path | None, int | None] = self.comm.bcast(found)
        return decided

    def _tell(self, summary: Summary, done: int, total: int, begin: float) -> None:
        component = self.component
        diagnostics = component.diagnostics
        land, changed = diagnostics.get("land_cells"), diagnostics.get("changed_cells")
        if land is not None and changed is not None and land[0] > 0:
            summary.changed_share[component.year] = float(changed[0] / land[0])
            summary.unmet_area[component.year] = float(diagnostics["unmet_area"].sum())
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
    """Give torch a fixed number of threads while a run lasts: results depend on it to the last bit.

    Only offline: a host's threads are the host's. Only where a predictor has loaded torch.
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

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

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api.hooks import StepEvent
from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.config.sections import Config, OutputSection, load_config
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.inputs.catalogue import Mended
from ai4land_coupler.inputs.catalogue import total as total_mended
from ai4land_coupler.inputs.quality_log import write_quality
from ai4land_coupler.parallel import exchange_windows
from ai4land_coupler.store.output import Diagnostic, HostField, HostLayout, LandField, OutputStore, StoreLayout
from ai4land_coupler.store.provenance import collect
from ai4land_coupler.store.restart import discard_after, prune, years

#: Called on rank 0 after each committed year: (steps done, steps in all, year).
Progress = Callable[[int, int, int], None]


@dataclass
class Summary:
    """What a run did, for the person who started it. ``seconds`` are this rank's, by phase."""

    store: Path
    years: tuple[int, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    quality: Counter[str] = field(default_factory=Counter)
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
            that year first. Where there is none yet, the run starts from the beginning.
        """
        component = self.component
        component.initialize(*self._restart_from(restart))
        component.check_forcing()
        with _torch_threads(self.config.parallel.threads):
            for name in self.config.hosts:
                component.set_named_grid(name, as_name=name)
            component.realize()
            store = self._open_store(continued=component.clock.year != component.clock.start)
            total = len(component.clock.years()) - 1
            summary = Summary(self._store_path, tuple(component.clock.years()))
            if component.clock.year == component.clock.start:
                self._keep(store, component.year, 0)
            for clock in component.clock.remaining():
                begin = time.perf_counter()
                component.run(clock.now)
                done = abs(clock.now - clock.start) // clock.step
                self._keep(store, clock.now, done)
                self._tell(summary, done, total, begin)
            summary.seconds = dict(component.model.timers.seconds)
            warnings: Counter[str] = sum(self.comm.allgather(component.setup.quality), Counter())
            summary.quality = total_mended(self._mended()) + warnings
            return summary

    # ---- output -----------------------------------------------------------------------------------------------

    def _keep(self, store: OutputStore, year: int, done: int) -> None:
        """Write a year, then its restart, then commit it: what is committed can always be continued."""
        timers = self.component.model.timers
        with timers("write output"):
            self._write(store, year)
        if done % self.config.restart.every == 0:
            with timers("write restart"):
                self.component.write_restart(self._restart_folder)
        mended = self._mended()
        with timers("write output"), self.comm.guard():
            if self.comm.rank == 0:
                write_quality(self._store_path, self.config.quality.policy, mended)
                store.commit(year)
                if self.config.restart.keep:
                    prune(self._restart_folder, self.config.restart.keep, direction=self.component.clock.direction)

    def _mended(self) -> dict[Mended, int]:
        """What was mended in the inputs, once for all ranks that read the same."""
        everywhere: dict[Mended, int] = {}
        for part in self.comm.allgather(self.component.setup.mended):
            everywhere |= part
        return everywhere

    def _write(self, store: OutputStore, year: int) -> None:
        state, component = self.component.state, self.component
        boxes = store.shard_boxes()
        mine = self._shards_by_rank(boxes)
        cover = self._shards(state.cover, mine, self.component.setup.legend.ocean[0], np.uint8)
        land_fields = {
            name: self._shards(state.fields.get(name, {}), mine, np.nan, np.float32, (samples,))
            for name, samples in self._land_fields().items()
            if self._made(name)
        }
        hosts = {name: self._gather_host(name) for name in component.hosts}
        area = self._class_area()
        with self.comm.guard():
            for key, codes in cover.items():
                store.write_land_cover(year, boxes[key], codes)
            for name, samples in self._land_fields().items():
                for key, box in mine[self.comm.rank].items():
                    blank = np.full((samples, *box.shape), np.nan, np.float32)
                    values = land_fields.get(name, {}).get(key, blank)
                    store.write_field(name, year, box, values if samples > 1 else values[0])
            if self.comm.rank == 0:
                store.write_diagnostic("class_area", year, area)
                for item in self._diagnostics():
                    values = component.diagnostics.get(item.name, np.zeros(max(1, len(item.labels))))
                    store.write_diagnostic(item.name, year, values if item.labels else float(values[0]))
                for name, (ids, fields) in hosts.items():
                    for field_name, values in fields.items():
                        store.write_host(name, field_name, year, values, ids)
            store.sync()

    def _shards_by_rank(self, boxes: list[Box]) -> list[dict[int, Box]]:
        """Shards dealt out to the ranks in turn."""
        return [{i: box for i, box in enumerate(boxes) if i % self.comm.size == r} for r in range(self.comm.size)]

    def _shards(
        self,
        blocks: Any,
        wanted: list[dict[int, Box]],
        fill: float,
        dtype: Any,
        leading: tuple[int, ...] = (),
    ) -> dict[int, NDArray[Any]]:
        component = self.component
        return exchange_windows(
            self.comm, component.setup.plan, component.setup.owner, blocks, wanted, fill, dtype, leading
        )

    def _made(self, name: str) -> bool:
        """Whether a continuous field exists this year; in the first year no predictor has run."""
        return any(self.comm.allgather(name in self.component.state.fields))

    def _gather_host(self, host: str) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """The fields of a host grid on rank 0, with the global ids of their cells."""
        component = self.component
        ids = self.comm.gather(component.hosts[host].mesh.cell_ids)
        names = ("land_cover_fraction", "land_area_fraction")
        parts = {name: self.comm.gather(component.export(name, host)) for name in names}
        if ids is None:
            return np.empty(0, np.int64), {}
        return np.concatenate(ids), {n: np.concatenate(p, axis=-1) for n, p in parts.items() if p is not None}

    def _class_area(self) -> NDArray[np.float64]:
        """Area of each class on the land grid (m2), added over blocks in their order."""
        plan, legend = self.component.setup.plan, self.component.setup.legend
        own = {}
        for block, codes in self.component.state.cover.items():
            classes = legend.to_view(codes)
            core = plan.blocks[block].core
            area = np.broadcast_to(plan.fine.row_area[core.row0 : core.row1, None], core.shape)
            land = classes != OUTSIDE
            own[block] = np.bincount(classes[land].astype(np.int64), weights=area[land], minlength=len(legend.view))
        everywhere: dict[int, NDArray[np.float64]] = {}
        for part in self.comm.allgather(own):
            everywhere.update(part)
        return np.asarray(np.sum([everywhere[block] for block in sorted(everywhere)], axis=0))

    # ---- store ------------------------------------------------------------------------------------------------

    def _open_store(self, continued: bool) -> OutputStore:
        layout = self._layout()
        component = self.component
        clock = component.clock
        with self.comm.guard():
            if self.comm.rank == 0:
                # restarts of an earlier run would be taken for newer ones than those that this run writes
                last = component.year if continued else clock.start - clock.direction
                discard_after(self._restart_folder, last, direction=clock.direction)
                if continued:
                    store = OutputStore.open(self._store_path, layout)
                    store.truncate(component.year)
                else:
                    attrs = {"title": self.config.title, "provenance": self._provenance()}
                    store = OutputStore.create(self._store_path, layout, attrs, overwrite=self._output.overwrite)
        with self.comm.guard():
            if self.comm.rank != 0:
                store = OutputStore.open(self._store_path)
        return store

    def _layout(self) -> StoreLayout:
        component = self.component
        hosts = {}
        for name, host in component.hosts.items():
            mesh_hash = grid_hash(host.mesh, self.comm.mpi)
            parts = self.comm.gather((host.mesh.cell_ids, *host.mesh.centres(), host.area))
            if parts is not None:
                ids, lon, lat, area = (np.concatenate(column) for column in zip(*parts, strict=True))
                order = np.argsort(ids)
                hosts[name] = HostLayout(ids.size, lon[order], lat[order], area[order], mesh_hash=mesh_hash)
        exports = component.exports()
        return StoreLayout(
            grid=component.setup.grid,
            years=tuple(component.clock.years()),
            legend=component.setup.legend,
            hosts=hosts,
            host_fields=(
                HostField("land_cover_fraction", "1", True, {"standard_name": "area_fraction"}),
                HostField("land_area_fraction", "1", False, {"standard_name": "land_area_fraction"}),
            ),
            land_fields=tuple(
                LandField(name, exports[name].units, samples) for name, samples in self._land_fields().items()
            ),
            diagnostics=self._diagnostics(),
            shard=self._output.shard,
            chunk=min(256, self._output.shard),
        )

    def _land_fields(self) -> dict[str, int]:
        """Continuous fields and their samples a year."""
        return {info.name: max(1, len(info.types)) for info in self.component.exports().values() if info.norm == "land"}

    def _diagnostics(self) -> tuple[Diagnostic, ...]:
        legend, groups = self.component.setup.legend, self.component.setup.map_maker.crosswalk.groups
        pairs = tuple(f"{a} to {b}" for a in legend.classes for b in legend.classes)
        return (
            Diagnostic("land_cells", "1", attrs={"long_name": "cells that may change"}),
            Diagnostic("changed_cells", "1", attrs={"long_name": "cells that changed in the step"}),
            Diagnostic("unpaired_cells", "1", attrs={"long_name": "cells of gross change that found no partner"}),
            Diagnostic("unmet_area", "m2", "group", groups, {"long_name": "scenario's net change that was not met"}),
            Diagnostic("unmet_change", "m2", "group", groups, {"long_name": "the same, losses negative"}),
            Diagnostic("transition_area", "m2", "transition", pairs, {"long_name": "area that changed class"}),
        )

    def _provenance(self) -> dict[str, Any]:
        config = self.config
        inputs = sorted({config.resolve(Path(p)) for p in _paths(config.model_dump(mode="json"))})
        component = self.component
        named = component.setup.input_files()  # those that a glob, a folder or a URL stands for, too
        facts = collect(config.model_dump_json(indent=1), [path for path in inputs if path.is_file()], named)
        facts["predictors"] = [entry.identity for entry in component.setup.predictors]
        # of another legend than the run's, whose view is the same
        facts["predictor_legends"] = {
            entry.name: entry.spec.legend
            for entry in component.setup.predictors
            if entry.spec.legend not in (None, config.legend)
        }
        facts["regrid"] = {
            name: {**host.weights.provenance, "grid_notes": list(host.mesh.notes)}
            for name, host in component.hosts.items()
        }
        facts["ranks"] = self.comm.size
        facts["threads"] = config.parallel.threads
        return facts

    def _restart_from(self, restart: bool | str | Path) -> tuple[Path | None, int | None]:
        """Folder and year of the last restart whose year the store holds too; none to start anew.

        A run that was killed between the two has written a restart of a year that it did not commit.
        """
        found: tuple[Path | None, int | None] = (None, None)
        with self.comm.guard():
            if restart is not False and self.comm.rank == 0 and self._store_path.exists():
                folder = self._restart_folder if restart is True else Path(restart)
                both = set(years(folder)) & set(OutputStore.open(self._store_path).committed_years())
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
            {"step": time.perf_counter() - begin, **component.model.timers.seconds},
        )
        with self.comm.guard():
            component.setup.plugins.hook.ai4land_step_done(event=event)


def run(config: Config | str | Path, **options: Any) -> Summary:
    """Run a configuration in this process; see :class:`Simulation`."""
    return Simulation(load_config(config) if not isinstance(config, Config) else config, **options).run()


def _paths(value: Any) -> Iterator[str]:
    """All strings of a nested structure that could be paths."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, str) and ("/" in value or "." in value):
        yield value


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

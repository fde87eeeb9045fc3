"""The output of a run: the layout of its store, the state of each year, and the provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.areas import class_area
from ai4land_coupler.component.stepper import RunState
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.grid import Box
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.host.exchange import HostGrid
from ai4land_coupler.host.field_info import MONTHS_WINDOW, ExportInfo
from ai4land_coupler.inputs.adapters import texts_in
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.parallel import Communicator, exchange_windows
from ai4land_coupler.store.output import Diagnostic, HostField, HostLayout, LandField, OutputStore, StoreLayout
from ai4land_coupler.store.provenance import collect

#: Bytes of shards that a rank assembles before it writes them.
BYTES_AT_ONCE = 1 << 26


class RunOutput:
    """The output of one run on one rank. All methods are collective.

    Parameters
    ----------
    exports:
        The exports of the run. Fields of the land grid are stored there, all others on each host grid.
    hosts:
        The host grids with weights, by name.
    """

    def __init__(
        self, setup: LandSetup, exports: Mapping[str, ExportInfo], hosts: Mapping[str, HostGrid], comm: Communicator
    ) -> None:
        self._setup, self._exports, self._hosts, self._comm = setup, exports, hosts, comm
        self._shard_writers: list[int] | None = None

    def layout(self, shard: int) -> StoreLayout:
        """The layout of the store.

        Parameters
        ----------
        shard:
            Edge of a shard in cells.
        """
        setup = self._setup
        return StoreLayout(
            grid=setup.grid,
            years=tuple(setup.clock.years()),
            legend=setup.legend,
            hosts=self._host_layouts(),
            host_fields=tuple(_host_field(info) for info in self._exports.values() if info.grid == "host"),
            land_fields=tuple(
                LandField(info.name, info.units, max(1, len(info.types)), behind=int(info.window == MONTHS_WINDOW))
                for info in self._exports.values()
                if info.grid == "land"
            ),
            diagnostics=self._diagnostics(),
            shard=shard,
            chunk=min(256, shard),
        )

    def write(self, store: OutputStore, run_state: RunState) -> None:
        """Write a state: each rank writes its shards. Readers see it after :meth:`OutputStore.commit`."""
        state, year = run_state.state, run_state.state.year
        self._write_shards(store, year, LandField("land_cover", "1"), state.cover, self._setup.legend.ocean[0])
        for item in store.land_fields:
            own = store.year_of(item.name, year)
            if own is not None:  # the first state has no values: no predictor has run
                self._write_shards(store, own, item, state.fields.get(item.name, {}), np.nan)
        hosts = {name: self._host_fields(name, store.host_fields, run_state) for name in self._hosts}
        area = self._class_area(state.cover)
        with self._comm.guard():
            if self._comm.rank == 0:
                store.write_diagnostic("class_area", year, area)
                for series in self._diagnostics():
                    values = run_state.diagnostics.get(series.name, np.zeros(max(1, len(series.labels))))
                    store.write_diagnostic(series.name, year, values if series.labels else float(values[0]))
                for name, (ids, parts) in hosts.items():
                    for field_name, values in parts.items():
                        store.write_host(name, field_name, year, values, ids)
            store.sync()

    def provenance(self) -> dict[str, Any]:
        """Origin of the results: configuration, input files and their digests, predictors, weights, ranks.

        One rank reads the inputs.
        """
        facts: dict[str, Any] = {}
        with self._comm.guard():
            if self._comm.rank == 0:
                facts = self._facts()
        return dict(self._comm.bcast(facts))

    def _facts(self) -> dict[str, Any]:
        """The provenance. Local."""
        setup, config = self._setup, self._setup.config
        named = sorted({path for text in texts_in(config.model_dump(mode="json")) if (path := _file(config, text))})
        found = setup.input_files()  # includes the files of globs, folders and URLs
        facts = collect(config.model_dump_json(indent=1), named, found)
        facts["predictors"] = [entry.identity for entry in setup.predictors]
        # A predictor can have another legend than the run if both have the same view.
        facts["predictor_legends"] = {
            entry.name: entry.spec.legend
            for entry in setup.predictors
            if entry.spec.legend not in (None, setup.legend.name)
        }
        facts["regrid"] = {
            name: {**host.weights.provenance, "grid_notes": list(host.mesh.notes)} for name, host in self._hosts.items()
        }
        facts["ranks"] = self._comm.size
        facts["threads"] = config.parallel.threads
        return facts

    # ---- helpers ----------------------------------------------------------------------------------------------

    def _write_shards(
        self, store: OutputStore, year: int, item: LandField, blocks: Mapping[int, NDArray[Any]], fill: float
    ) -> None:
        """Write a field of the land grid from the blocks of all ranks, a few shards at a time to save memory."""
        setup, is_map = self._setup, item.name == "land_cover"
        dtype = np.dtype(np.uint8 if is_map else np.float32)
        boxes = store.shard_boxes()
        mine = [[i for i, writer in enumerate(self._writers(boxes)) if writer == r] for r in range(self._comm.size)]
        count = max(1, BYTES_AT_ONCE // (boxes[0].size * item.samples * dtype.itemsize))
        for first in range(0, max(map(len, mine)), count):
            wanted = [{i: boxes[i] for i in shards[first : first + count]} for shards in mine]
            leading = () if is_map else (item.samples,)
            parts = exchange_windows(self._comm, setup.plan, setup.owner, blocks, wanted, fill, dtype, leading)
            with self._comm.guard():
                for i, values in parts.items():
                    if is_map:
                        store.write_land_cover(year, boxes[i], values)
                    else:
                        store.write_field(item.name, year, boxes[i], values if item.samples > 1 else values[0])

    def _writers(self, boxes: Sequence[Box]) -> list[int]:
        """The rank that writes each shard: the one that owns most of its cells."""
        if self._shard_writers is None:
            plan, owner = self._setup.plan, self._setup.owner
            self._shard_writers = []
            for box in boxes:
                cells = np.zeros(self._comm.size, np.int64)
                for block, part in plan.touching(box):
                    cells[owner[block.id]] += part.size
                self._shard_writers.append(int(cells.argmax()))
        return self._shard_writers

    def _host_fields(
        self, host: str, stored: Mapping[str, tuple[str, ...]], run_state: RunState
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """The fields of a host grid and the global ids of its cells, on rank 0; NaN for fields that are not made.

        ``stored``: the fields of the store, and the types of those that have types of their own.
        """
        mesh = self._hosts[host].mesh
        ids = self._comm.gather(mesh.cell_ids)
        gathered: dict[str, NDArray[np.float64]] = {}
        for name, own_types in stored.items():
            types = self._exports[name].types if name in self._exports else own_types
            blank = np.full((len(types), mesh.size) if types else mesh.size, np.nan)
            parts = self._comm.gather(run_state.fields.get((host, name), blank))
            if parts is not None:
                gathered[name] = np.concatenate(parts, axis=-1)
        return (np.empty(0, np.int64) if ids is None else np.concatenate(ids)), gathered

    def _class_area(self, cover: Mapping[int, NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Area of each class on the land grid (m2)."""
        plan, legend = self._setup.plan, self._setup.legend
        own = {i: {"area": class_area(plan, legend, plan.blocks[i], codes)} for i, codes in cover.items()}
        return self._comm.sum_by_block(own)["area"]

    def _host_layouts(self) -> dict[str, HostLayout]:
        hosts = {}
        for name, host in self._hosts.items():
            mesh_hash = grid_hash(host.mesh, self._comm.mpi)
            parts = self._comm.gather((host.mesh.cell_ids, *host.mesh.centres(), host.area))
            if parts is not None:
                ids, lon, lat, area = (np.concatenate(column) for column in zip(*parts, strict=True))
                order = np.argsort(ids)
                hosts[name] = HostLayout(ids.size, lon[order], lat[order], area[order], mesh_hash=mesh_hash)
        return hosts

    def _diagnostics(self) -> tuple[Diagnostic, ...]:
        legend, groups = self._setup.legend, self._setup.map_maker.crosswalk.groups
        pairs = tuple(f"{a} to {b}" for a in legend.classes for b in legend.classes)
        return (
            Diagnostic("land_cells", "1", attrs={"long_name": "cells that may change"}),
            Diagnostic("changed_cells", "1", attrs={"long_name": "cells that changed in the step"}),
            Diagnostic("unpaired_cells", "1", attrs={"long_name": "cells of gross change that found no partner"}),
            Diagnostic("unmet_area", "m2", "group", groups, {"long_name": "scenario's net change that was not met"}),
            Diagnostic("unmet_change", "m2", "group", groups, {"long_name": "the same, losses negative"}),
            Diagnostic("transition_area", "m2", "transition", pairs, {"long_name": "area that changed class"}),
        )


def _file(config: Config, text: str) -> Path | None:
    """The file that a text of the configuration names; ``None`` if the text names no file."""
    try:
        path = config.resolve(Path(text))
        return path if path.is_file() else None
    except (OSError, ValueError):  # the text is too long or has a character that paths cannot have
        return None


def _host_field(info: ExportInfo) -> HostField:
    """How an export is stored on host grids: land cover by class of the legend, other fields by their own types."""
    attrs = {key: value for key in ("standard_name", "long_name") if (value := getattr(info, key))}
    if info.name == "land_cover_fraction":
        return HostField(info.name, info.units, by_class=True, attrs=attrs)
    return HostField(info.name, info.units, attrs=attrs, types=info.types)

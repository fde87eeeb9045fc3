"""The adapters of a training, and the source that they make: whole maps in memory, or windows of a prepared store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataAdapter, Request
from ai4land_coupler.config.legends import find_legend
from ai4land_coupler.config.sections import PluginChoice
from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import ConfigError, GridError
from ai4land_coupler.experiments.training.config import Region, TrainConfig
from ai4land_coupler.experiments.training.sources import COVER, MapSource, MemorySource, StoredField, StoreSource
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.inputs.luh2 import LUH2_LATTICE
from ai4land_coupler.inputs.readers import ForcingReader
from ai4land_coupler.registry.loading import Plugins


@dataclass(frozen=True)
class TrainingInputs:
    """The adapters of a training, its legend and its grids.

    Parameters
    ----------
    fine, grid:
        The land grid of the training, and the forcing cells that contain the centres of its cells.
    """

    config: TrainConfig
    legend: Legend
    cover: DataAdapter
    forcing: Catalogue
    static: Catalogue
    fine: LatLonGrid
    grid: LatLonGrid

    @classmethod
    def of(cls, config: TrainConfig, plugins: Plugins) -> TrainingInputs:
        """Make the adapters.

        Raises
        ------
        Ai4LandError
            As the adapters raise; ``ConfigError`` if the maps have no grid or another legend.
        """
        legend = find_legend(config.legend, config.base)
        cover = _adapter(config, plugins, config.cover, "cover")
        whole = cover.grid()
        if whole is None:
            raise ConfigError(
                "the adapter of the maps has no grid of its own", found=config.cover.name, where=config.where
            )
        fine = whole if config.region is None else whole.sub(_box(whole, config.region))
        forcing, static = _catalogue(config, plugins, "forcing"), _catalogue(config, plugins, "static")
        lattice = forcing.lattice if units_of(config, "forcing") else LUH2_LATTICE
        inputs = cls(config, legend, cover, forcing, static, fine, forcing_lattice(fine, lattice))
        inputs.codes(config.pairs()[0][0], Box(0, 1, 0, 1))
        return inputs

    def codes(self, year: int, box: Box) -> NDArray[np.uint8]:
        """Native codes of the map of a year in a box; ``ConfigError`` if the map has another legend."""
        field = self.cover.read(Request((COVER,), self.fine.sub(box), (year,)))[COVER]
        if field.attrs.get("legend") != self.legend.name:
            raise ConfigError(
                "the maps have another legend than the training",
                expected=self.legend.name,
                found=field.attrs.get("legend"),
                where=f"{self.config.where}: cover",
                remedy="choose the same legend in `legend` and in the options of `cover`",
            )
        codes: NDArray[np.uint8] = field.values[0]
        return codes

    @property
    def prepared(self) -> bool:
        """Whether all inputs are prepared stores, which windows can be read from."""
        adapters = [entry.adapter for entry in (*self.forcing.adapters, *self.static.adapters)]
        return all(adapter.prepared for adapter in (self.cover, *adapters))

    def source(self) -> MapSource:
        """The maps and fields of all pairs.

        Raises
        ------
        Ai4LandError
            As the adapters raise; ``DataError`` if no adapter has an input.
        """
        in_memory = not self.prepared if self.config.in_memory is None else self.config.in_memory
        if not in_memory and not self.prepared:
            raise ConfigError(
                "windows can only be read from prepared stores",
                expected="the adapter prepared in cover, forcing and static",
                where=f"{self.config.where}: in_memory",
                remedy="make a store with `ai4land prepare`, or leave out `in_memory: false`",
            )
        return self._in_memory() if in_memory else self._by_window()

    def years(self) -> tuple[int, ...]:
        """The years of all maps."""
        pairs = {*self.config.pairs_of("train"), *self.config.pairs_of("test")}
        return tuple(sorted({year for pair in pairs for year in pair}))

    def forcing_years(self) -> tuple[int, ...]:
        """The years of the maps whose forcing is an input."""
        offsets = {o for group in self.config.channels if group.source == "forcing" for o in group.offsets}
        pairs = {*self.config.pairs_of("train"), *self.config.pairs_of("test")}
        return tuple(sorted({pair[offset + 1] for pair in pairs for offset in offsets}))

    def _in_memory(self) -> MemorySource:
        covers = {year: self.legend.to_view(self.codes(year, self.fine.box)) for year in self.years()}
        units, fixed = units_of(self.config, "forcing"), self.config.fixed_forcing_year
        reader = ForcingReader(self.forcing, self.grid)
        coarse: dict[tuple[str, int], NDArray[np.float32]] = {}
        for year in self.forcing_years():
            values = reader.read(units, year if fixed is None else fixed)
            coarse |= {(name, year): values[name] for name in units}
        fields = units_of(self.config, "static")
        return MemorySource(self.fine, covers, self.static.read(fields, self.fine) if fields else {}, coarse)

    def _by_window(self) -> StoreSource:
        fixed = self.config.fixed_forcing_year
        coarse = {
            (name, year): self._stored(self.forcing, name, units, year if fixed is None else fixed)
            for name, units in units_of(self.config, "forcing").items()
            for year in self.forcing_years()
        }
        static = {
            name: self._stored(self.static, name, units, None)
            for name, units in units_of(self.config, "static").items()
        }
        return StoreSource(self.fine, self.grid, self.cover, self.legend, static, coarse, fixed)

    def _stored(self, catalogue: Catalogue, name: str, units: str, year: int | None) -> StoredField:
        entry, info = catalogue.offer(name, year)
        scale = factor(info.units, units, where=f"{catalogue.kind} {entry}, variable {name}")
        return StoredField(entry.adapter, scale)


def units_of(config: TrainConfig, kind: Literal["forcing", "static"]) -> dict[str, str]:
    """The channels of a kind, and their units in the configuration."""
    return {name: group.units for group in config.channels if group.source == kind for name in group.names}


def _adapter(config: TrainConfig, plugins: Plugins, choice: PluginChoice, key: str) -> DataAdapter:
    made: DataAdapter = plugins.create(
        "adapter", choice.name, choice.options, f"{config.where}: {key}", base=config.base
    )
    return made


def _catalogue(config: TrainConfig, plugins: Plugins, kind: Literal["forcing", "static"]) -> Catalogue:
    choices: tuple[PluginChoice, ...] = getattr(config, kind)
    return Catalogue(
        kind, [NamedAdapter(c.name, _adapter(config, plugins, c, f"{kind}[{i}]")) for i, c in enumerate(choices)]
    )


def _box(grid: LatLonGrid, region: Region) -> Box:
    """The cells with centres in a region."""
    rows = np.flatnonzero((grid.lat >= region.south) & (grid.lat <= region.north))
    cols = np.flatnonzero((grid.lon >= region.west) & (grid.lon <= region.east))
    if not rows.size or not cols.size:
        raise GridError("the region holds no cell of the maps", expected=str(grid), found=str(region), where="region")
    return Box(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)

"""Reads a training set through adapters into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataAdapter, Request, TrainingChannel
from ai4land_coupler.config.legends import find_legend
from ai4land_coupler.config.sections import PluginChoice
from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.errors import ConfigError, FieldError, GridError
from ai4land_coupler.experiments.training.config import ChannelSection, Region, TrainConfig
from ai4land_coupler.experiments.training.data import MapPairs, held_out_blocks
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.inputs.luh2 import LUH2_LATTICE
from ai4land_coupler.inputs.readers import ForcingReader
from ai4land_coupler.registry.loading import Plugins

_COVER = "land_cover"
#: Replacement for a missing aspect (degrees): its cosine is zero.
_NO_ASPECT = 90.0


def read_training_data(config: TrainConfig, plugins: Plugins) -> MapPairs:
    """Read maps, forcing and static fields.

    Raises
    ------
    Ai4LandError
        As the adapters raise; ``DataError`` if no adapter has an input; ``ConfigError`` if the maps have another
        legend.
    """
    pairs = config.pairs()
    cover = _adapter(config, plugins, config.cover, "cover")
    whole = cover.grid()
    if whole is None:
        raise ConfigError("the adapter of the maps has no grid of its own", found=config.cover.name, where=config.where)
    fine = whole if config.region is None else whole.sub(_box(whole, config.region))
    covers = _read_maps(config, cover, fine, pairs)
    held_out = np.zeros(fine.shape, bool)
    if config.validation.fold is not None:
        held_out = held_out_blocks(fine, config.validation.block, config.validation.folds, config.validation.fold)
    forcing, statics = _catalogue(config, plugins, "forcing"), _catalogue(config, plugins, "static")
    lattice, coarse = _read_forcing(config, forcing, fine, pairs)
    units = _units(config, "static")
    static = statics.read(units, fine) if units else {}
    land = np.zeros(fine.shape, bool)
    for year in covers:
        land |= covers[year] != OUTSIDE
    shown = land & ~held_out
    seen = {name: values[shown] for name, values in static.items()}
    for name in {name for name, _ in coarse}:
        seen[name] = np.concatenate([values.ravel() for (key, _), values in coarse.items() if key == name])
    channels = [TrainingChannel(_COVER, "1", "cover", -1)]
    for group in config.channels:
        for name in group.names:
            channels += _channels(group, name, seen[name], coarse, pairs)
    return MapPairs(
        legend=find_legend(config.legend, config.base),
        step=config.step,
        direction=config.sign,
        fine=fine,
        forcing=lattice,
        channels=tuple(channels),
        covers=covers,
        pairs=pairs,
        coarse=coarse,
        static=static,
        held_out=held_out,
        scored_pairs=config.validation.pairs,
        record=_record(config, plugins, fine, pairs) | {"mended": dict(forcing.mended_counts + statics.mended_counts)},
    )


def _adapter(config: TrainConfig, plugins: Plugins, choice: PluginChoice, key: str) -> DataAdapter:
    made: DataAdapter = plugins.create(
        "adapter", choice.name, choice.options, f"{config.where}: {key}", base=config.base
    )
    return made


def _box(grid: LatLonGrid, region: Region) -> Box:
    """The cells with centres in a region."""
    rows = np.flatnonzero((grid.lat >= region.south) & (grid.lat <= region.north))
    cols = np.flatnonzero((grid.lon >= region.west) & (grid.lon <= region.east))
    if not rows.size or not cols.size:
        raise GridError("the region holds no cell of the maps", expected=str(grid), found=str(region), where="region")
    return Box(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)


def _read_maps(
    config: TrainConfig, cover: DataAdapter, fine: LatLonGrid, pairs: Sequence[tuple[int, int]]
) -> dict[int, NDArray[np.int8]]:
    legend = find_legend(config.legend, config.base)
    maps: dict[int, NDArray[np.int8]] = {}
    for year in sorted({year for pair in pairs for year in pair}):
        field = cover.read(Request((_COVER,), fine, (year,)))[_COVER]
        if field.attrs.get("legend") != legend.name:
            raise ConfigError(
                "the maps have another legend than the training",
                expected=legend.name,
                found=field.attrs.get("legend"),
                where=f"{config.where}: cover",
                remedy="choose the same legend in `legend` and in the options of `cover`",
            )
        maps[year] = legend.to_view(field.values[0])
    return maps


def _catalogue(config: TrainConfig, plugins: Plugins, kind: Literal["forcing", "static"]) -> Catalogue:
    choices: tuple[PluginChoice, ...] = getattr(config, kind)
    return Catalogue(
        kind, [NamedAdapter(c.name, _adapter(config, plugins, c, f"{kind}[{i}]")) for i, c in enumerate(choices)]
    )


def _units(config: TrainConfig, kind: Literal["forcing", "static"]) -> dict[str, str]:
    """The channels of a kind, and their units in the configuration."""
    return {name: group.units for group in config.channels if group.source == kind for name in group.names}


def _read_forcing(
    config: TrainConfig, catalogue: Catalogue, fine: LatLonGrid, pairs: Iterable[tuple[int, int]]
) -> tuple[LatLonGrid, dict[tuple[str, int], NDArray[np.float32]]]:
    """Grid of the forcing cells that cover the land grid, and their values by (name, year of the map)."""
    units = _units(config, "forcing")
    if not units:
        return forcing_lattice(fine, LUH2_LATTICE), {}
    reader = ForcingReader(catalogue, forcing_lattice(fine, catalogue.lattice))
    coarse: dict[tuple[str, int], NDArray[np.float32]] = {}
    offsets = {offset for group in config.channels if group.source == "forcing" for offset in group.offsets}
    for year in sorted({pair[offset + 1] for pair in pairs for offset in offsets}):
        values = reader.read(units, year if config.fixed_forcing_year is None else config.fixed_forcing_year)
        coarse |= {(name, year): values[name] for name in units}
    return reader.grid, coarse


def _channels(
    group: ChannelSection,
    name: str,
    seen: NDArray[np.float32],
    coarse: Mapping[tuple[str, int], NDArray[np.float32]],
    pairs: Iterable[tuple[int, int]],
) -> list[TrainingChannel]:
    """A channel for each offset, with statistics of the training land."""
    finite = seen[np.isfinite(seen)].astype(np.float64)
    if not finite.size:
        raise FieldError(f"channel {name!r} has no value in the training cells", remedy="check region and grid")
    mean, scale = 0.0, 1.0
    if group.scaling in ("standard", "log1p"):
        scaled = np.log1p(np.maximum(finite, 0)) if group.scaling == "log1p" else finite
        mean, scale = float(scaled.mean()), float(scaled.std()) or 1.0
    fill = group.fill
    if fill is None:
        default = {"standard": mean, "log1p": float(np.expm1(mean)), "cos": _NO_ASPECT}.get(group.scaling, 0.0)
        fill = default if group.source == "static" else 0.0
    directional = group.directional or "aspect" in name
    channel = TrainingChannel(
        name, group.units, group.source, 0, group.scaling, mean, scale, fill, group.missing, directional
    )
    channels = [replace(channel, offset=offset) for offset in group.offsets]
    if not group.change:
        return channels
    changes = np.concatenate([(coarse[name, after] - coarse[name, before]).ravel() for before, after in pairs])
    # Zero must mean no change, so do not subtract the mean change of the training years.
    spread = float(np.sqrt(np.nanmean(np.square(changes, dtype=np.float64)))) or 1.0
    return [replace(c, scaling="standard", mean=0.0, scale=spread, minus=-1) if c.offset == 0 else c for c in channels]


def _record(
    config: TrainConfig, plugins: Plugins, fine: LatLonGrid, pairs: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """Provenance of the training data: files with their hashes, years and region."""
    years = sorted({year for pair in pairs for year in pair})
    files: list[dict[str, str]] = []
    for choice in (config.cover, *config.forcing, *config.static):
        options = plugins.find("adapter", choice.name).options.model_validate(
            choice.options, context={"base": config.base}
        )
        paths = [value for _, value in options if isinstance(value, Path)]
        expanded = dict.fromkeys(Path(str(path).replace("{year}", str(year))) for path in paths for year in years)
        for path in expanded:
            if path.is_file():
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                files.append({"adapter": choice.name, "file": path.name, "sha256": digest})
    return {
        "files": files,
        "pairs": [list(pair) for pair in pairs],
        "region": str(fine),
        "fixed_forcing_year": config.fixed_forcing_year,
        "validation": config.validation.model_dump(mode="json"),
    }

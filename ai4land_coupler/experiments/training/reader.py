"""Makes a training set from its configuration: inputs, split, statistics, provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.training import hold_out
from ai4land_coupler.experiments.training.channels import make_channels, static_scalings
from ai4land_coupler.experiments.training.config import TrainConfig
from ai4land_coupler.experiments.training.data import MapPairs
from ai4land_coupler.experiments.training.inputs import TrainingInputs
from ai4land_coupler.experiments.training.kept import Found, found_key, load_found, save_found
from ai4land_coupler.experiments.training.land import boxes_of, survey
from ai4land_coupler.experiments.training.sources import MapSource
from ai4land_coupler.experiments.training.split import Split
from ai4land_coupler.registry.loading import Plugins

#: Side of the boxes in which the land of a map is counted (cells).
_BOX = 1024


def read_training_data(
    config: TrainConfig, plugins: Plugins, kept: Path | None = None, *, keep: bool = True
) -> MapPairs:
    """Open the inputs, and count and describe the training land.

    Prepared stores are read by window, other inputs into memory.

    Parameters
    ----------
    kept:
        File of the counts and statistics of prepared stores. If it belongs to this training, it is used; else it is
        replaced (with ``keep``).

    Raises
    ------
    Ai4LandError
        As the adapters raise; ``DataError`` if no adapter has an input; ``ConfigError`` if the maps have another
        legend, or if there is no training land or no held-out land.
    """
    train_pairs, test_pairs = config.pairs_of("train"), config.pairs_of("test")
    inputs = TrainingInputs.of(config, plugins)
    source, count = inputs.source(), config.validation.pairs
    split = make_split(config, inputs, source)
    record = _record(config, plugins, inputs)
    if source.in_memory:
        kept = None
    key = found_key(config, record, split)
    found = None if kept is None else load_found(kept, key, inputs.fine)
    if found is None:
        found = _describe(config, inputs, source, split)
        if kept is not None and keep:
            save_found(kept, key, found)
    channels, land = found
    mended = dict(inputs.forcing.mended_counts + inputs.static.mended_counts)
    return MapPairs(
        legend=inputs.legend,
        step=config.step,
        direction=config.sign,
        fine=inputs.fine,
        forcing=inputs.grid,
        channels=channels,
        source=source,
        pairs=train_pairs,
        validation_pairs=train_pairs[-count:],
        scored_pairs=test_pairs[-count:],
        split=split,
        land=land,
        record=record | {"mended": mended},
    )


def _describe(config: TrainConfig, inputs: TrainingInputs, source: MapSource, split: Split) -> Found:
    """The channels with their statistics, and where the land lies; goes through all maps."""
    pairs = config.pairs_of("train")
    found = survey(
        source,
        inputs.fine,
        inputs.grid,
        split,
        pairs,
        pairs[-config.validation.pairs :],
        len(inputs.legend.view),
        static_scalings(config),
    )
    _check_land(config, split, int(found.training.sum()), int(found.held_out.sum()))
    return make_channels(config, source, found, pairs), found.land()


def make_split(config: TrainConfig, inputs: TrainingInputs, source: MapSource) -> Split:
    """The land that is held out, with the buffer around it."""
    chosen, fine = config.validation, inputs.fine
    if chosen.method == "file":
        assert chosen.file is not None  # the section requires it
        split = Split.read(config.base / chosen.file, fine)
        return split.with_buffer(max(split.buffer, chosen.buffer))
    if chosen.method == "region":
        assert chosen.region is not None
        r = chosen.region
        split = hold_out.region(fine, r.west, r.south, r.east, r.north)
    elif chosen.method == "zones":
        split = hold_out.climate_zones(fine, chosen.zones)
    elif chosen.method == "farthest":
        land = _land_of_blocks(source, inputs, config.pairs_of("train")[0][0], chosen.block)
        split = hold_out.farthest_blocks(fine, chosen.block, land, chosen.share, chosen.seed)
    elif chosen.fold is None:
        return Split.nothing(fine)
    else:
        split = hold_out.fold_of_blocks(fine, chosen.block, chosen.folds, chosen.fold)
    return split.with_buffer(chosen.buffer)


def _land_of_blocks(source: MapSource, inputs: TrainingInputs, year: int, degrees: float) -> NDArray[np.int64]:
    """Number of land cells of each block in the map of one year."""
    fine, grid = inputs.fine, hold_out.block_grid(inputs.fine, degrees)
    land = np.zeros(grid.shape, np.int64)
    for part in boxes_of(fine, _BOX):
        rows = grid.rows_of(fine.lat[part.row0 : part.row1])
        cols = grid.cols_of(fine.lon[part.col0 : part.col1])
        np.add.at(land, (rows[:, None], cols), source.covers((year,), part)[year] != OUTSIDE)
    return land


def _check_land(config: TrainConfig, split: Split, training: int, held_out: int) -> None:
    """Check that there is land to train on, and to score if land is held out."""
    chosen = config.validation
    where = f"{config.where}: validation"
    if not training:
        raise ConfigError(
            "no land is left to train on",
            expected="land in both maps of a pair that is neither held out nor in the buffer around held-out land",
            found=f"{chosen.method}, with a buffer of {split.buffer} cells",
            where=where,
            remedy="hold out less land, take larger blocks, or make the buffer smaller",
        )
    if not held_out and not (chosen.method == "blocks" and chosen.fold is None):
        raise ConfigError(
            "the held-out land is empty",
            expected="land in both maps of the last pairs",
            found=f"no cell ({chosen.method})",
            where=where,
            remedy="choose a part of the maps that has land, or `fold: null` to train on all land",
        )


def _record(config: TrainConfig, plugins: Plugins, inputs: TrainingInputs) -> dict[str, Any]:
    """Provenance of the training data: files with their hashes, years and region."""
    years = inputs.years()
    files: list[dict[str, str]] = []
    adapters = [entry.adapter for entry in (*inputs.forcing.adapters, *inputs.static.adapters)]
    choices = (config.cover, *config.forcing, *config.static)
    for choice, adapter in zip(choices, (inputs.cover, *adapters), strict=True):
        options = plugins.find("adapter", choice.name).options.model_validate(
            choice.options, context={"base": config.base}
        )
        named = [value for _, value in options if isinstance(value, Path)]
        paths = [Path(str(path).replace("{year}", str(year))) for path in named for year in years]
        if adapter.prepared:
            paths = list(adapter.files(years).values())
        for path in dict.fromkeys(paths):
            if path.is_file():
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                files.append({"adapter": choice.name, "file": path.name, "sha256": digest})
    return {
        "files": files,
        "pairs": [list(pair) for pair in config.pairs_of("train")],
        "scored_pairs": [list(pair) for pair in config.pairs_of("test")[-config.validation.pairs :]],
        "region": str(inputs.fine),
        "fixed_forcing_year": config.fixed_forcing_year,
        "validation": config.validation.model_dump(mode="json"),
    }

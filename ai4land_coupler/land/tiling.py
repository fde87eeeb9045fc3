"""Prediction tile by tile, so that the memory use does not depend on the size of the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, Predictor
from ai4land_coupler.core.fields import Batch, PredictorSpec, Tile
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import Ai4LandError, PluginError
from ai4land_coupler.land.assemble import TileInputs, assemble


def predict_tiles(
    name: str,
    predictor: Predictor,
    tiles: Sequence[Tile],
    inputs: TileInputs,
    time: tuple[int, int],
    rng: KeyedRng,
) -> Iterator[tuple[Tile, dict[str, NDArray[np.float32]]]]:
    """Predict tiles one after the other, and cut each result to the tile's core.

    Each call predicts one tile, not a batch of tiles. The rounding of convolutions may depend on the batch, and results
    must not depend on how tiles are distributed over ranks.

    Yields
    ------
    The tile and its outputs over the core, float32: ``land_cover_logits`` (class, Y, X), other outputs (T, Y, X),
    memories (Y, X).

    Raises
    ------
    PluginError
        The predictor raises an error or exits, or its result lacks an output, has the wrong shape, or has values that
        are not finite.
    """
    for tile in tiles:
        yield tile, predict_tile(name, predictor, assemble(predictor.spec, [tile], inputs, time), rng)


def predict_tile(name: str, predictor: Predictor, batch: Batch, rng: KeyedRng) -> dict[str, NDArray[np.float32]]:
    """Predict the one tile of a batch: its outputs over the core; shapes and errors as :func:`predict_tiles`."""
    leading = _leading_axes(predictor.spec, f"predictor {name!r}")
    (tile,) = batch.tiles
    where = f"predictor {name!r}, year {batch.time[0]}, tile {tile.id}"
    try:
        answer = predictor.predict(batch, rng)
    # A library that calls exit would end the run as if it had finished.
    except (Exception, SystemExit) as error:
        told = isinstance(error, Ai4LandError)
        raise PluginError(
            "a predictor failed",
            found=f"{type(error).__name__}: {error}",
            where=where,
            remedy=None if told else "report it to the predictor's author; nothing of this year was kept",
        ) from error
    if not isinstance(answer, Mapping):
        raise PluginError(
            "a predictor did not return a mapping of its outputs",
            expected=", ".join(leading),
            found=type(answer).__name__,
            where=where,
        )
    missing = [key for key in leading if key not in answer]
    if missing:
        raise PluginError(
            "a predictor did not return what it promised",
            expected=", ".join(leading),
            found=", ".join(sorted(answer)) or "nothing",
            where=where,
        )
    return {key: _core(key, answer[key], axes, tile, where) for key, axes in leading.items()}


def _leading_axes(spec: PredictorSpec, where: str) -> dict[str, tuple[int | None, ...]]:
    """Lengths of the axes before (Y, X) of each declared output. ``None`` means any length."""
    axes: dict[str, tuple[int | None, ...]] = {}
    for field in spec.outputs:
        if field.name == LOGITS:
            if spec.legend is None:
                raise PluginError(
                    "a predictor of land cover names no legend", expected="PredictorSpec.legend", where=where
                )
            axes[field.name] = (1, len(get_legend(spec.legend).view))
        else:
            axes[field.name] = (1, None)
    return axes | dict.fromkeys(spec.memory, (1,))


def _core(key: str, value: Any, leading: tuple[int | None, ...], tile: Tile, where: str) -> NDArray[np.float32]:
    """Copy one output over the core of a tile. It is a copy because a predictor may reuse its arrays."""
    try:
        values = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a torch tensor that requires grad
        raise _not_numbers(key, error, where) from error
    if values.dtype.kind not in "biuf":
        raise _not_numbers(key, f"dtype {values.dtype}", where)
    wanted = (*leading, *tile.window.shape)
    if values.shape[-2:] == tile.core.shape:  # already cut
        wanted, place = (*leading, *tile.core.shape), (slice(None), slice(None))
    else:
        place = tile.core.slices(tile.window)
    if values.ndim != len(wanted) or any(w not in (None, n) for w, n in zip(wanted, values.shape, strict=True)):
        raise PluginError(
            f"a predictor returned {key!r} in the wrong shape",
            expected=f"({', '.join('any' if n is None else str(n) for n in wanted)})",
            found=values.shape,
            where=where,
        )
    with np.errstate(over="ignore"):  # values too large for float32 become infinite and are refused below
        core = np.array(values[0][..., *place], np.float32, order="C")
    if not np.isfinite(core).all():
        raise PluginError(
            f"a predictor returned values of {key!r} that are not finite",
            found=f"{int((~np.isfinite(core)).sum())} of {core.size}",
            where=where,
        )
    return core


def _not_numbers(key: str, found: object, where: str) -> PluginError:
    return PluginError(
        f"a predictor returned values of {key!r} that are not numbers",
        expected="an array that numpy can read",
        found=found,
        where=where,
    )

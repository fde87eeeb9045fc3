"""Streamed prediction: tile by tile, so that memory does not depend on the size of the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Predictor
from ai4land_coupler.assemble import TileInputs, assemble
from ai4land_coupler.errors import Ai4LandError, PluginError
from ai4land_coupler.fields import Tile
from ai4land_coupler.rng import KeyedRng


def predict_tiles(
    name: str,
    predictor: Predictor,
    tiles: Sequence[Tile],
    inputs: TileInputs,
    time: tuple[int, int],
    rng: KeyedRng,
) -> Iterator[tuple[Tile, Mapping[str, NDArray[np.float32]]]]:
    """Predict tiles one after the other and cut each answer to the tile's core.

    One tile a call, not batches: the rounding of convolutions may depend on the batch, and results must not
    depend on how tiles are spread over ranks.

    Yields
    ------
    The tile and its outputs over the core: ``land_cover_logits`` (class, Y, X), other outputs (T, Y, X),
    memories (Y, X).

    Raises
    ------
    PluginError
        When the predictor raises, or its answer misses an output or has the wrong shape or NaN.
    """
    spec = predictor.spec
    promised = [field.name for field in spec.outputs] + list(spec.memory)
    for tile in tiles:
        batch = assemble(spec, [tile], inputs, time)
        where = f"predictor {name!r}, year {time[0]}, tile {tile.id}"
        try:
            answer = predictor.predict(batch, rng)
        except Ai4LandError as error:
            # plugins speak our language too: keep the kind and the remedy, add the place
            error.where = where if error.where is None else f"{error.where}; {where}"
            raise
        except Exception as error:
            raise PluginError(
                "a predictor failed",
                found=f"{type(error).__name__}: {error}",
                where=where,
                remedy="report it to the predictor's author; nothing of this year was kept",
            ) from error
        rows, cols = tile.core.slices(tile.window)
        outputs = {}
        for key in promised:
            if key not in answer:
                raise PluginError(
                    "a predictor did not return what it promised", expected=promised, found=sorted(answer), where=where
                )
            values = np.asarray(answer[key])
            if values.shape[0] != 1 or values.shape[-2:] != tile.window.shape:
                raise PluginError(
                    f"a predictor returned {key!r} in the wrong shape",
                    expected=f"(1, ..., {tile.window.shape[0]}, {tile.window.shape[1]})",
                    found=values.shape,
                    where=where,
                )
            core = values[0][..., rows, cols]
            if not np.isfinite(core).all():
                raise PluginError(
                    f"a predictor returned values of {key!r} that are not finite",
                    found=f"{int((~np.isfinite(core)).sum())} of {core.size}",
                    where=where,
                )
            outputs[key] = np.ascontiguousarray(core, dtype=np.float32)
        yield tile, outputs

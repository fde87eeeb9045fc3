"""A step of the map maker, against the same rules as loops over cells: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import plain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from test_map_maker import FINE, LEGEND, random_logits, random_shares, world

from ai4land_coupler.allocation import land_cells
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.rng import KeyedRng

FORBIDDEN = (("urban", "cropland"), ("forest", "pasture"), ("cropland", "forest"))
#: One forcing cell; forcing cells that are hardly larger than a cell; cells larger than forcing cells.
GRIDS = (
    FINE,
    LatLonGrid(0.01, 0.03, 7, 10.2, -0.03, 8),
    LatLonGrid(-3.93, 0.2, 9, 57.91, -0.2, 8),
    LatLonGrid(4.0, 0.6, 6, -30.0, 0.6, 5),
)


def tied(rng: np.random.Generator, cover: np.ndarray) -> np.ndarray:
    """Logits of a predictor without opinion, as of ``persistence``: the same for all cells of a class."""
    logits = np.zeros((len(LEGEND.view), *cover.shape), np.float32)
    return np.where(np.arange(len(logits))[:, None, None] == LEGEND.to_view(cover), np.float32(1), logits)


def whole(rng: np.random.Generator, cover: np.ndarray) -> np.ndarray:
    """Logits of few values, so that many cells are tied, also at zero with both signs."""
    return rng.choice(np.array([-1, -0.0, 0.0, 1, 2], np.float32), (len(LEGEND.view), *cover.shape))


@pytest.mark.parametrize("logits_of", [random_logits, tied, whole])
@examples(20)
@given(
    seed=st.integers(0, 2**32 - 1),
    grid=st.sampled_from(GRIDS),
    temperatures=st.sampled_from([(0.0, 0.5), (0.0, 0.0), (0.7, 0.5), (0.3, 0.0)]),
    forbidden=st.sampled_from([(), FORBIDDEN]),
    gross=st.sampled_from(["rates", "none", {"forest": 1.0, "urban": 0.5, "cropland": 0.4}]),
    missing=st.sampled_from([0.0, 0.3]),
    part=st.sampled_from([1, 300, 2**18]),
)
def test_a_step_follows_the_rules_as_loops_do(
    logits_of: Any, seed: int, grid: LatLonGrid, temperatures: tuple[float, float], forbidden: Any, gross: Any,
    missing: float, part: int,
) -> None:  # fmt: skip
    now = world(
        seed, grid, missing, temperature=temperatures[0], gross_temperature=temperatures[1], forbidden=forbidden,
        gross=gross,
    )  # fmt: skip
    rng = np.random.default_rng(seed + 1)
    for year in (2001, 2002):
        logits = logits_of(rng, now.cover)
        # far from the last shares or near to them
        shares = random_shares(rng, now.plan.forcing.shape, missing)
        shares = shares if year == 2002 else 0.95 * now.memory["base_share"] + 0.05 * shares
        keyed = KeyedRng(3, member=1, year=year)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(land_cells, "PART", part)  # cells: one forcing row, some, the whole block at once
            result = now.step(logits, shares, keyed)
        problem = {
            "block": now.plan.blocks[0], "cover": now.cover, "logits": logits, "shares": shares,
            "memory": now.memory, "rng": keyed,
        }  # fmt: skip
        cover, memory, sums = plain.step(now.maker, problem)
        np.testing.assert_array_equal(result.cover, cover)
        for name, values in memory.items():
            np.testing.assert_array_equal(result.memory[name], values, err_msg=name)
        for name, values in sums.items():
            np.testing.assert_array_equal(result.diagnostics[name], values, err_msg=name)
        now = now.then(result)

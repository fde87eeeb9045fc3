"""The size of blocks that ``parallel.block: auto`` chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ai4land_coupler.api import FieldSpec, Predictor, PredictorSpec
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.land.block_size import choose_block, window_bytes

LAND = LatLonGrid(-180.0, 0.009988624327190708, 36041, 90.0, -0.009988346586746064, 18021)
QUARTER = forcing_lattice(LAND, LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720))


class Network(Predictor):
    """Needs 100 bytes a cell, a map and two static fields, and a halo of 96."""

    bytes_per_cell = 100.0
    spec = PredictorSpec(
        inputs=(
            FieldSpec("land_cover", "1", "cover"),
            FieldSpec("elevation", "m", "static"),
            FieldSpec("slope", "1", "static"),
            FieldSpec("urban", "1", "forcing", "coarse"),
        ),
        outputs=(FieldSpec("leaf_area", "1", "output"),),
        legend=None,
        halo=96,
        align=16,
    )

    def predict(self, batch: Any, rng: Any) -> Mapping[str, Any]:
        raise NotImplementedError


def test_without_a_limit_a_block_has_about_a_thousand_cells() -> None:
    assert choose_block(None, LAND, QUARTER, [Network()]) == 42  # 1051 cells


def test_the_windows_of_a_block_fit_the_memory_by_hand() -> None:
    # 30 x 25.03 = 751 cells, with the halo 943, rounded outward at both ends at most 960; 100 + 2 x (1 + 4 + 4) bytes
    assert window_bytes(750.9, [Network()]) == 960**2 * 118
    limit = 960**2 * 118 / 1e9
    assert choose_block(limit, LAND, QUARTER, [Network()]) == 30
    assert choose_block(limit * 0.999, LAND, QUARTER, [Network()]) == 29


def test_a_block_is_never_smaller_than_eight_forcing_cells() -> None:
    assert choose_block(1e-6, LAND, QUARTER, [Network()]) == 8
    assert choose_block(None, LAND, LatLonGrid(-180.0, 5.0, 72, 90.0, -5.0, 36), [Network()]) == 8


def test_the_predictor_with_the_largest_needs_counts() -> None:
    large = Network()
    large.bytes_per_cell = 1000.0
    assert window_bytes(500, [Network(), large]) == window_bytes(500, [large]) > window_bytes(500, [Network()])


@pytest.mark.parametrize("memory", [0.5, 2.0, 8.0])
def test_more_memory_gives_larger_blocks(memory: float) -> None:
    assert choose_block(memory, LAND, QUARTER, [Network()]) >= choose_block(memory / 2, LAND, QUARTER, [Network()])

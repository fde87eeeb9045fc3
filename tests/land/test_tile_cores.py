"""The tiles around the land of blocks, and maps that do not depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coupling import PERSISTENCE
from stopped_runs import run_until

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.api import LOGITS, Batch, FieldSpec, Predictor, PredictorSpec
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.state import LandState
from ai4land_coupler.land import setup as land_setup
from ai4land_coupler.land import tile_cores
from ai4land_coupler.land.predictors import NamedPredictor
from ai4land_coupler.land.tile_cores import cores_with_land, part_with_land
from ai4land_coupler.store.output import open_store

#: A block of 100 x 80 cells that begins at row 40 and column 90.
BLOCK = Box(40, 140, 90, 170)


def land_in(*boxes: Box) -> np.ndarray:
    """Land in boxes of the grid, on the cells of the block."""
    land = np.zeros(BLOCK.shape, bool)
    for box in boxes:
        land[box.slices(BLOCK)] = True
    return land


@pytest.mark.parametrize(
    ("cell", "core"),
    [  # edges: rows 40, 48, 64 ... 128, 140 and columns 90, 96, 112 ... 160, 170
        ((40, 90), Box(40, 48, 90, 96)),
        ((139, 169), Box(128, 140, 160, 170)),
        ((63, 96), Box(48, 64, 96, 112)),
    ],
)
def test_the_core_around_one_cell_by_hand(cell: tuple[int, int], core: Box) -> None:
    row, col = cell
    assert cores_with_land(BLOCK, land_in(Box(row, row + 1, col, col + 1)), 8, 4) == (core,)


def test_edges_are_multiples_of_the_alignment() -> None:
    assert cores_with_land(BLOCK, land_in(Box(70, 71, 100, 101)), 8, 10) == (Box(60, 80, 100, 120),)
    assert cores_with_land(BLOCK, land_in(Box(70, 71, 100, 101)), 8, 64) == (Box(64, 128, 90, 128),)


def test_a_block_is_cut_where_that_saves_a_tenth_by_hand() -> None:
    """Two islands in opposite corners: 100 x 80 cells, or 8 x 6 and 12 x 10, each with its halo on both sides."""
    islands = land_in(Box(40, 42, 90, 92), Box(135, 140, 165, 170))
    assert cores_with_land(BLOCK, islands, 20, 1) == (Box(40, 48, 90, 96), Box(128, 140, 160, 170))
    # halo 150: 400 x 380 = 152,000 cells in one tile, 308 x 306 + 312 x 310 = 190,968 in two
    assert cores_with_land(BLOCK, islands, 150, 1) == (BLOCK,)
    # halo 90: 280 x 260 = 72,800 cells; 188 x 186 + 192 x 190 = 71,448 are more than nine tenths of them
    assert cores_with_land(BLOCK, islands, 90, 1) == (BLOCK,)
    assert cores_with_land(BLOCK, islands, 0, 1) == (BLOCK,)


@pytest.mark.parametrize("seed", range(8))
def test_all_land_is_in_one_core(seed: int) -> None:
    rng = np.random.default_rng(seed)
    land = np.zeros(BLOCK.shape, bool)
    land[tuple(rng.integers(0, BLOCK.shape, (rng.integers(1, 9), 2)).T)] = True
    covered = np.zeros(BLOCK.shape, int)
    for core in cores_with_land(BLOCK, land, 6, 2):
        assert core.intersect(BLOCK) == core
        covered[core.slices(BLOCK)] += 1
    assert covered.max() == 1
    assert covered[land].all()


@pytest.mark.parametrize(
    ("cells", "part"),
    [  # a block of 10 x 8 cells: rows are cut at 0, 2, 5, 7, 10 and columns at 0, 2, 4, 6, 8
        ([(0, 0)], Box(100, 102, 200, 202)),
        ([(9, 7)], Box(107, 110, 206, 208)),
        ([(2, 3), (6, 3)], Box(102, 107, 202, 204)),
        ([(1, 5), (2, 2)], Box(100, 105, 202, 206)),
        ([(0, 7), (9, 0)], Box(100, 110, 200, 208)),
    ],
)
def test_the_part_with_land_by_hand(cells: list[tuple[int, int]], part: Box) -> None:
    land = np.zeros((10, 8), bool)
    for cell in cells:
        land[cell] = True
    assert part_with_land(Box(100, 110, 200, 208), land) == part


def test_tiles_of_land_alone_give_the_same_maps(
    twin_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A predictor without a network predicts the same on the part of a block that has land."""
    monkeypatch.setattr(tile_cores, "UNIT", 1)  # the blocks of the small twin have land nearly everywhere
    months = {"values": [2, 3, 6, 9, 13, 17, 19, 18, 15, 10, 6, 3], "units": "degC"}
    legend = {"legend": "hilda-v1.0-f"}
    every = {
        "predictors": [{"name": name, "options": legend} for name in ("persistence", "phenology")],
        "allocation": {"temperature": 1.0},
        "time": {"start": 2015, "stop": 2017},
        "imports": {"air_temperature": months},
    }
    found = []
    for name, parallel in (("whole", {"block": 8}), ("land", {"block": "auto", "memory": 1e-6})):
        store = tmp_path / f"{name}.zarr"
        raw = {**twin_config, **every, "output": {"store": str(store), "shard": 64}, "parallel": parallel}
        simulation = Simulation(parse_config(raw, tmp_path, name))
        simulation.run()
        setup, model = simulation.component.setup, simulation.component.model
        assert [block.forcing.shape for block in setup.plan.blocks] == [(8, 8), (8, 4)]
        cores = [tile.core.size for tile in model.tiles(model.predictors[0])]
        found.append((sum(cores), open_store(store).load(), simulation.component.state))
    (all_cells, whole, _), (cells, land, state) = found
    assert cells < all_cells
    assert (whole["land_cover"][-1] != whole["land_cover"][0]).any()
    for name in set(whole.data_vars) - {"lai"}:
        np.testing.assert_array_equal(land[name].values, whole[name].values, err_msg=name)
    for name, blocks in state.fields.items():
        on_land = {i: setup.legend.to_view(codes) >= 0 for i, codes in state.cover.items()}
        for block, values in blocks.items():
            assert np.isfinite(values[:, on_land[block]]).all(), name


class Neighbours(Predictor):
    """Prefers the classes of the eight neighbours: whole numbers, so that nothing is rounded."""

    spec = PredictorSpec(
        inputs=(FieldSpec("land_cover", "1", "cover", offsets=(-1,)),),
        outputs=(FieldSpec(LOGITS, "1", "output"),),
        legend="hilda-v1.0-f",
        halo=1,
        align=2,
    )

    def predict(self, batch: Batch, rng: Any) -> Mapping[str, Any]:
        cover = batch.fields["land_cover"][0, 0]
        hot = np.pad((cover == np.arange(7)[:, None, None]).astype(np.float32), ((0, 0), (1, 1), (1, 1)))
        rows, cols = cover.shape
        parts = [hot[:, row : row + rows, col : col + cols] for row in range(3) for col in range(3)]
        count = np.sum(parts, axis=0)
        return {LOGITS: count[None] + 4 * hot[None, :, 1:-1, 1:-1]}


def test_maps_do_not_depend_on_the_tiles_of_blocks(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """Whole blocks, boxes around their land, and quarters of blocks; with random numbers in the allocation."""
    raw = twin_config | {"predictors": [PERSISTENCE], "allocation": {"temperature": 1.0}, "parallel": {"block": 4}}
    component = LandComponent(parse_config(raw, tmp_path, "test"), online=False)
    component.initialize()
    model, legend = component.model, component.setup.legend
    blocks = {i: model.plan.blocks[i].core for i in model.land_blocks}
    land = {i: legend.to_view(component.state.cover[i]) >= 0 for i in blocks}
    around = {i: cores_with_land(core, land[i], 1, 2) for i, core in blocks.items()}
    quarters = {
        i: [
            Box(*rows, *cols)
            for rows in ((core.row0, core.row0 + 7), (core.row0 + 7, core.row1))
            for cols in ((core.col0, core.col0 + 10), (core.col0 + 10, core.col1))
        ]
        for i, core in blocks.items()
    }

    def step(cores: Mapping[int, Any]) -> LandState:
        changed = replace(model, predictors=[NamedPredictor("neighbours", Neighbours())], cores=cores)
        clock = component.clock.next()
        return changed.advance(component.state, *component.read_inputs(clock), clock).state

    whole = step({})
    assert any((whole.cover[i] != codes).any() for i, codes in component.state.cover.items())
    tilings: list[Mapping[int, Any]] = [around, quarters]
    for cores in tilings:
        found = step(cores)
        for one, other in ((found.cover, whole.cover), *((found.memory[n], whole.memory[n]) for n in whole.memory)):
            assert list(one) == list(other)
            for block, values in one.items():
                np.testing.assert_array_equal(values, other[block])


def test_a_run_that_an_older_version_began_keeps_its_tiles(
    twin_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = twin_config | {
        "predictors": [PERSISTENCE],
        "hosts": {},
        "time": {"start": 2015, "stop": 2018},
        "parallel": {"block": "auto", "memory": 1e-6},
    }

    def config(name: str) -> Config:
        return parse_config(raw | {"output": {"store": str(tmp_path / name), "shard": 64}}, tmp_path, name)

    run_until(config("new"), 2016)
    real = land_setup.make_setup

    def old(*given: Any) -> Any:
        return replace(real(*given), cores="quarters")

    with monkeypatch.context() as patch:
        patch.setattr("ai4land_coupler.component.component.make_setup", old)
        run_until(config("old"), 2016)
    for name, cores in (("new", "land"), ("old", "quarters")):
        simulation = Simulation(config(name))
        simulation.run(restart=True)
        assert simulation.component.setup.cores == cores

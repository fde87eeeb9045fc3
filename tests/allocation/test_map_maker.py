"""From logits to maps on one block: areas follow the scenario, the books close, and nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy import stats

from ai4land_coupler.allocation import BlockResult, MapMaker
from ai4land_coupler.allocation.areas import class_area
from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import get_crosswalk, get_legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.parallel import BlockPlan

LEGEND, CROSSWALK = get_legend("hilda-v1.0-f"), get_crosswalk("luh2-hilda")
GROUPS = len(CROSSWALK.groups)
CODES = np.array([0, 11, 22, 33, 40, 41, 44, 45, 55, 66, 77, 99], np.uint8)
RATES = {"urban": 0.02, "cropland": 0.05, "pasture": 0.06, "forest": 0.03, "grass_shrub": 0.2, "other": 0.01}
QUARTER = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)
#: 5.29 cells to a forcing cell; the forcing cells at its edges lie partly outside.
FINE = LatLonGrid(-3.93, 0.0473, 31, 57.91, -0.0473, 26)
RNG = KeyedRng(7, year=2001)
#: Written out: urban, cropland, pasture, forest, open land.
GROUP_OF_CODE = {11: 0, 22: 1, 33: 2, 40: 3, 41: 3, 42: 3, 43: 3, 44: 3, 45: 3, 55: 4, 66: 4}


@dataclass
class World:
    """A domain of one block with a random map; every array read-only, as the component hands them over."""

    maker: MapMaker
    cover: np.ndarray
    shares: np.ndarray
    memory: Mapping[str, np.ndarray]

    @property
    def plan(self) -> BlockPlan:
        return self.maker.plan

    def step(self, logits: np.ndarray, shares: np.ndarray, rng: KeyedRng = RNG) -> BlockResult:
        kept = [array.copy() for array in (self.cover, logits, shares, *self.memory.values())]
        frozen(logits, shares)
        result = self.maker.step(self.plan.blocks[0], self.cover, logits, shares, self.memory, rng)
        for array, before in zip((self.cover, logits, shares, *self.memory.values()), kept, strict=True):
            np.testing.assert_array_equal(array, before)
        return result

    def then(self, result: BlockResult) -> World:
        frozen(result.cover, *result.memory.values())
        return replace(self, cover=result.cover, memory=result.memory)


def frozen(*arrays: np.ndarray) -> None:
    for array in arrays:
        array.flags.writeable = False


def maker_of(
    fine: LatLonGrid, block: int = 1000, rates: Mapping[str, float] | None = RATES, **options: Any
) -> MapMaker:
    plan = BlockPlan(fine, forcing_lattice(fine, QUARTER), block)
    return MapMaker(plan, LEGEND, CROSSWALK, AllocationOptions(**options), rates)


def random_cover(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Codes in a random mixture, so that some classes are rare or absent."""
    return rng.choice(CODES, shape, p=rng.dirichlet(np.full(CODES.size, 0.5)))


def random_logits(rng: np.random.Generator, cover: np.ndarray, stay: float = 3) -> np.ndarray:
    """Logits that favour the class that is there."""
    logits = rng.normal(size=(7, *cover.shape)).astype(np.float32)
    logits += stay * (np.arange(7)[:, None, None] == LEGEND.to_view(cover))
    return logits


def random_shares(rng: np.random.Generator, shape: tuple[int, int], missing: float = 0.0) -> np.ndarray:
    shares = rng.dirichlet(np.full(GROUPS, 0.7), size=shape).transpose(2, 0, 1).copy()
    shares[:, rng.random(shape) < missing] = np.nan
    return shares


def world(seed: int, fine: LatLonGrid = FINE, missing: float = 0.0, **options: Any) -> World:
    rng = np.random.default_rng(seed)
    maker = maker_of(fine, **options)
    cover, shares = random_cover(rng, fine.shape), random_shares(rng, maker.plan.forcing.shape, missing)
    frozen(cover, shares)
    memory = maker.begin(maker.plan.blocks[0], cover, shares, RNG)
    frozen(*memory.values())
    return World(maker, cover, shares, memory)


def naive_areas(plan: BlockPlan, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area of each group and number of cells that may change, by forcing cell: a loop over the map (m2)."""
    area, count = np.zeros((GROUPS, *plan.forcing.shape)), np.zeros(plan.forcing.shape, int)
    for i, lat in enumerate(plan.fine.lat):
        row = int(np.floor((lat - plan.forcing.lat0) / plan.forcing.dlat))
        for j, lon in enumerate(plan.fine.lon):
            col = int(np.floor((lon - plan.forcing.lon0) / plan.forcing.dlon))
            group = GROUP_OF_CODE.get(int(cover[i, j]))
            if group is not None:
                area[group, row, col] += plan.fine.row_area[i]
                count[row, col] += 1
    return area, count


# --- net change


def conservation(before: World, result: BlockResult, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is still missing by group and forcing cell, in cells, and the swaps in each forcing cell."""
    base, count = naive_areas(before.plan, before.cover)
    area, _ = naive_areas(before.plan, result.cover)
    land = base.sum(axis=0)
    np.testing.assert_allclose(area.sum(axis=0), land, rtol=1e-12)
    change = np.nan_to_num(shares - before.memory["base_share"])
    target = before.memory["base_area"] + change * before.memory["base_area"].sum(axis=0)
    cell = land / np.maximum(count, 1)
    missing = np.divide(target - area - result.memory["unmet"], cell, out=np.zeros_like(area), where=cell > 0)
    return missing, count


#: Cells of one forcing cell differ in area by up to tan(58 deg) x 0.25 deg = 0.7 %: a swap between its rows shifts as
#: much of a cell between two groups, and the next step mends it.
ROW = np.tan(np.radians(58)) * np.radians(0.25)


@examples(120)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["none", "rates"]),
)
def test_the_scenario_is_met_to_one_cell_but_for_what_is_recorded(
    seed: int, change: float, missing: float, temperature: float, gross: str
) -> None:
    before = world(seed, missing=missing, gross=gross, temperature=temperature)
    rng = np.random.default_rng(seed + 1)
    other = random_shares(rng, before.plan.forcing.shape, missing)
    shares = (1 - change) * before.shares + change * other
    result = before.step(random_logits(rng, before.cover), shares)
    left, count = conservation(before, result, shares)
    swaps = count * (max(RATES.values()) if gross == "rates" else 0)
    assert (np.abs(left) <= 1 + 2 * ROW + swaps * ROW).all()
    # without a scenario a forcing cell rests
    rests = np.isnan(shares).any(axis=0) | np.isnan(before.shares).any(axis=0)
    assert (np.abs(result.memory["unmet"])[:, rests] == 0).all()
    base, _ = naive_areas(before.plan, before.cover)
    area, _ = naive_areas(before.plan, result.cover)
    cell = base.sum(axis=0) / np.maximum(count, 1)
    assert (np.abs(area - base)[:, rests] <= (swaps * ROW * cell)[rests]).all()


def test_a_hand_worked_block() -> None:
    """One forcing cell of 4 x 4 cells on the equator: a quarter of the land goes from forest to cropland."""
    fine = LatLonGrid(0.0, 0.0625, 4, 0.125, -0.0625, 4)
    maker = MapMaker(
        BlockPlan(fine, LatLonGrid(0.0, 0.25, 1, 0.125, -0.25, 1), 1), LEGEND, CROSSWALK, AllocationOptions(), None
    )
    cover = np.full((4, 4), 44, np.uint8)
    cover[0] = [0, 77, 11, 11]  # 14 cells may change
    shares = np.array([0.1, 0.3, 0.1, 0.4, 0.1]).reshape(5, 1, 1)
    new = np.array([0.1, 0.55, 0.1, 0.15, 0.1]).reshape(5, 1, 1)
    logits = np.zeros((7, 4, 4), np.float32)
    logits[1] = np.arange(16).reshape(4, 4)  # cropland is likeliest in the last cells
    memory = maker.begin(maker.plan.blocks[0], cover, shares, RNG)
    cell = fine.row_area[0]
    np.testing.assert_allclose(memory["base_area"].ravel() / cell, [2, 0, 0, 12, 0], rtol=1e-6)
    result = maker.step(maker.plan.blocks[0], cover, logits, new, memory, RNG)
    # 0.25 of 14 cells is 3.5: rounded, the tie goes to cropland (3.5 -> 4, -3.5 -> -4)
    expected = cover.copy()
    expected[3] = 22
    np.testing.assert_array_equal(result.cover, expected)
    assert not result.memory["unmet"].any()


def test_a_demand_beyond_the_land_is_recorded_and_asked_again() -> None:
    fine = LatLonGrid(0.0, 0.0625, 4, 0.125, -0.0625, 4)
    plan = BlockPlan(fine, LatLonGrid(0.0, 0.25, 1, 0.125, -0.25, 1), 1)
    maker = MapMaker(plan, LEGEND, CROSSWALK, AllocationOptions(), None)
    cover = np.full((4, 4), 33, np.uint8)
    cover[0] = 44  # the map has 4 cells of forest of 16, the scenario takes 8 of 16 away
    shares = np.array([0, 0.2, 0.1, 0.7, 0.0]).reshape(5, 1, 1)
    new = np.array([0, 0.7, 0.1, 0.2, 0.0]).reshape(5, 1, 1)
    memory = maker.begin(plan.blocks[0], cover, shares, RNG)
    logits = np.zeros((7, 4, 4), np.float32)
    result = maker.step(plan.blocks[0], cover, logits, new, memory, RNG)
    assert (result.cover == 22).sum() == 4
    np.testing.assert_allclose(result.memory["unmet"].ravel() / fine.row_area[0], [0, 4, 0, -4, 0], rtol=1e-6)
    np.testing.assert_allclose(result.diagnostics["unmet_area"] / fine.row_area[0], [0, 4, 0, 4, 0], rtol=1e-6)
    # the scenario turns back by half of what it took: the debt is settled before anything moves
    back = np.array([0, 0.45, 0.1, 0.45, 0.0]).reshape(5, 1, 1)
    after = maker.step(plan.blocks[0], result.cover, logits, back, result.memory, RNG)
    np.testing.assert_array_equal(after.cover, result.cover)
    assert not after.memory["unmet"].any()


@pytest.mark.parametrize("gross", ["none", "rates"])
def test_tiny_changes_add_up_over_fifty_steps(gross: str) -> None:
    """About a twentieth of a cell a year: rounding each year by itself would never change anything."""
    at = world(4, gross=gross)
    rng = np.random.default_rng(4)
    base, count = naive_areas(at.plan, at.cover)
    cell = np.where(count > 0, base.sum(axis=0) / np.maximum(count, 1), 1)
    start, base_cover = at, at.cover
    moving = np.zeros((GROUPS, *at.plan.forcing.shape))
    moving[1] = rng.uniform(0.03, 0.07, at.plan.forcing.shape)  # cells of forest to cropland, a year
    moving[3] = -moving[1]
    moving[:, base[3] < 4 * cell] = 0  # where there is forest enough
    assert np.count_nonzero(moving[1]) > 10
    for year in range(1, 51):
        shares = at.shares + year * moving / np.maximum(count, 1)
        result = at.step(random_logits(rng, at.cover), shares, RNG.at(year=2000 + year))
        area, _ = naive_areas(at.plan, result.cover)
        assert (np.abs((area - base) / cell - year * moving) <= 1 + 2 * ROW + count * 0.2 * ROW).all()
        at = at.then(result)
    area, _ = naive_areas(at.plan, at.cover)
    assert ((area - base)[1] / cell).sum() == pytest.approx(50 * moving[1].sum(), rel=0.1)
    assert (at.cover != base_cover).any()
    assert start.cover is base_cover


@examples(40)
@given(st.integers(0, 2**32 - 1))
def test_a_scenario_at_rest_leaves_the_map_at_rest(seed: int) -> None:
    at = world(seed, gross="none")
    rng = np.random.default_rng(seed)
    shares = 0.9 * at.shares + 0.1 * random_shares(rng, at.plan.forcing.shape)
    at = at.then(at.step(random_logits(rng, at.cover), shares))
    met = ~at.memory["unmet"].any(axis=0)  # what is unmet goes on looking for cells
    met_cells = met[np.ix_(at.plan.forcing_row, at.plan.forcing_col)]
    for year in (2002, 2003):
        result = at.step(random_logits(rng, at.cover), shares, RNG.at(year=year))
        np.testing.assert_array_equal(result.cover[met_cells], at.cover[met_cells])
        at = at.then(result)


# --- gross change


def test_the_gross_rate_is_that_of_the_rates_while_the_net_is_met() -> None:
    fine = LatLonGrid(-3.93, 0.0106, 120, 57.91, -0.0106, 120)
    rng = np.random.default_rng(9)
    maker = maker_of(fine)
    cover = rng.choice(np.array([11, 22, 33, 40, 55, 66, 77, 0], np.uint8), fine.shape)
    shares = random_shares(rng, maker.plan.forcing.shape)
    at = World(maker, cover, shares, maker.begin(maker.plan.blocks[0], cover, shares, RNG))
    other = random_shares(rng, maker.plan.forcing.shape)
    changed = expected = 0.0
    for year in range(1, 31):
        land = at.cover[(at.cover != 77) & (at.cover != 0)]
        expected += sum(
            rate * np.isin(land, LEGEND.view[LEGEND.classes.index(n)].codes).sum() for n, rate in RATES.items()
        )
        mixed = (1 - 0.002 * year) * shares + 0.002 * year * other
        result = at.step(random_logits(rng, at.cover), mixed, RNG.at(year=year))
        changed += (result.cover != at.cover).sum()
        if year % 10 == 0:
            left, _ = conservation(at, result, mixed)
            assert np.abs(left).max() <= 1.5
        at = at.then(result)
    assert changed / expected == pytest.approx(1, abs=0.02)


def test_each_year_has_the_gross_change_of_the_rates_and_so_has_the_first() -> None:
    """400 forcing cells that each lose less than a cell a year: they change in turn, from the first year on."""
    fine = LatLonGrid(0.0, 0.0625, 80, 20.0, -0.0625, 80)
    plan = BlockPlan(fine, LatLonGrid(0.0, 0.25, 20, 20.0, -0.25, 20), 20)
    rates = {"cropland": 1 / 32, "pasture": 1 / 32}
    maker = MapMaker(plan, LEGEND, CROSSWALK, AllocationOptions(gross=rates), None)
    cover = np.where(np.arange(fine.size).reshape(fine.shape) % 2, 22, 33).astype(np.uint8)
    shares = np.full((5, 20, 20), 0.2)
    memory: Mapping[str, np.ndarray] = maker.begin(plan.blocks[0], cover, shares, RNG)
    assert memory["gross_carry"].min() >= 0
    assert memory["gross_carry"].max() < 2
    for year in range(2001, 2011):
        at = RNG.at(year=year)
        result = maker.step(plan.blocks[0], cover, np.zeros((7, *fine.shape), np.float32), shares, memory, at)
        # half a cell a year: a forcing cell has its pair with a probability of 1/4, so the pairs vary by 8.7
        assert (result.cover != cover).sum() / 2 == pytest.approx(100, abs=4 * 8.7)
        cover, memory = result.cover, result.memory


def test_predicted_gross_change_follows_the_probabilities_of_each_forcing_cell() -> None:
    """Two rows of forcing cells of 16 cells: in one, cells change with a probability of 1/8, in the other of 1/64."""
    fine = LatLonGrid(0.0, 0.0625, 400, 20.0, -0.0625, 8)
    plan = BlockPlan(fine, LatLonGrid(0.0, 0.25, 100, 20.0, -0.25, 2), 100)
    options = AllocationOptions(gross="predicted", forbidden=(("cropland", "urban"), ("pasture", "urban")))
    maker = MapMaker(plan, LEGEND, CROSSWALK, options, None)
    cover = np.where(np.arange(fine.size).reshape(fine.shape) % 2, 22, 33).astype(np.uint8)
    chance = np.where(np.arange(8) < 4, 1 / 8, 1 / 64)[:, None]
    logits = np.full((7, *fine.shape), -50, np.float32)
    logits[LEGEND.classes.index("cropland")] = logits[LEGEND.classes.index("pasture")] = np.log(chance)
    logits[LEGEND.to_view(cover), *np.indices(fine.shape)] = np.log(1 - chance)
    logits[LEGEND.classes.index("urban")] = 9  # forbidden: no part of the probability of change
    shares = np.full((5, 2, 100), 0.2)
    memory: Mapping[str, np.ndarray] = maker.begin(plan.blocks[0], cover, shares, RNG)
    changed = np.zeros(2)
    for year in range(2001, 2021):
        result = maker.step(plan.blocks[0], cover, logits, shares, memory, RNG.at(year=year))
        changed += (result.cover != cover).reshape(2, -1).sum(axis=1)
        memory = result.memory
    # 16 / 8 = 2 cells a year and 16 / 64 = 1/4; 100 forcing cells carry remainders that average out to 0
    np.testing.assert_allclose(changed / (20 * 100), [2, 1 / 4], atol=0.02)


def without_remainder(memory: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A memory in which the gross change begins at zero."""
    return {**memory, "gross_carry": np.zeros_like(memory["gross_carry"])}


def test_without_gross_change_only_the_net_moves() -> None:
    at = world(3, gross="none")
    result = at.step(random_logits(np.random.default_rng(3), at.cover), at.shares)
    np.testing.assert_array_equal(result.cover, at.cover)
    rates = world(3)
    moved = rates.step(random_logits(np.random.default_rng(3), rates.cover), rates.shares)
    assert (moved.cover != rates.cover).any()


def test_a_predictor_without_rates_has_no_gross_change() -> None:
    at = world(3, rates=None)
    result = at.step(random_logits(np.random.default_rng(3), at.cover), at.shares)
    np.testing.assert_array_equal(result.cover, at.cover)


def test_fractions_of_a_pair_wait_for_later_steps() -> None:
    """16 cells at a rate of 1/64 are a quarter of a cell a step: a pair every eighth step."""
    fine = LatLonGrid(0.0, 0.0625, 4, 0.125, -0.0625, 4)
    plan = BlockPlan(fine, LatLonGrid(0.0, 0.25, 1, 0.125, -0.25, 1), 1)
    maker = MapMaker(plan, LEGEND, CROSSWALK, AllocationOptions(gross={"cropland": 1 / 64, "pasture": 1 / 64}), RATES)
    cover = np.where(np.arange(16).reshape(4, 4) % 2, 22, 33).astype(np.uint8)
    shares = np.full((5, 1, 1), 0.2)
    memory: Mapping[str, np.ndarray] = without_remainder(maker.begin(plan.blocks[0], cover, shares, RNG))
    changes = []
    for _ in range(40):
        result = maker.step(plan.blocks[0], cover, np.zeros((7, 4, 4), np.float32), shares, memory, RNG)
        changes.append(int((result.cover != cover).sum()))
        cover, memory = result.cover, result.memory
    assert changes == ([0] * 7 + [2]) * 5


def test_what_finds_no_partner_is_counted_and_dropped() -> None:
    fine = LatLonGrid(0.0, 0.0625, 4, 0.125, -0.0625, 4)
    plan = BlockPlan(fine, LatLonGrid(0.0, 0.25, 1, 0.125, -0.25, 1), 1)
    maker = MapMaker(plan, LEGEND, CROSSWALK, AllocationOptions(gross={"pasture": 0.25}), None)
    cover = np.full((4, 4), 33, np.uint8)  # one class only: nobody to exchange with
    shares = np.full((5, 1, 1), 0.2)
    memory: Mapping[str, np.ndarray] = without_remainder(maker.begin(plan.blocks[0], cover, shares, RNG))
    for _ in range(3):
        result = maker.step(plan.blocks[0], cover, np.zeros((7, 4, 4), np.float32), shares, memory, RNG)
        assert result.diagnostics["unpaired_cells"].tolist() == [4]
        assert result.memory["gross_carry"].tolist() == [[0]]
        memory = result.memory


# --- argmax and sample


@pytest.mark.parametrize("method", ["argmax", "sample"])
@pytest.mark.parametrize("block", [1, 2])
def test_drawn_maps_do_not_depend_on_blocks(method: str, block: int) -> None:
    rng = np.random.default_rng(12)
    cover = random_cover(rng, FINE.shape)
    logits = random_logits(rng, cover, stay=1)
    whole, parts = maker_of(FINE, method=method), maker_of(FINE, block, method=method)
    one = step_blocks(whole, cover, logits)
    np.testing.assert_array_equal(step_blocks(parts, cover, logits), one)
    np.testing.assert_array_equal(step_blocks(parts, cover, logits, backwards=True), one)
    if method == "argmax":
        may = LEGEND.to_view(cover) >= 0
        may &= cover != 77
        np.testing.assert_array_equal(LEGEND.to_view(one)[may], logits[:6].argmax(axis=0)[may])


def step_blocks(maker: MapMaker, cover: np.ndarray, logits: np.ndarray, *, backwards: bool = False) -> np.ndarray:
    """The map of all blocks, each made by itself."""
    new = np.full_like(cover, 255)
    for block in maker.plan.blocks[:: -1 if backwards else 1]:
        part = block.core.slices()
        shares = np.full((GROUPS, *block.forcing.shape), np.nan)
        memory = maker.begin(block, cover[part], shares, RNG)
        new[part] = maker.step(block, cover[part], logits[(slice(None), *part)], shares, memory, RNG).cover
    return new


def test_samples_have_the_frequencies_of_the_softmax() -> None:
    fine = LatLonGrid(0.0, 0.01, 200, 10.0, -0.01, 200)
    maker = maker_of(fine, method="sample", forbidden=[("forest", "other")])
    logits = np.array([0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 9.0], np.float32)  # water is fixed, other is forbidden
    cover = np.full(fine.shape, 45, np.uint8)
    new = step_blocks(maker, cover, np.broadcast_to(logits[:, None, None], (7, 200, 200)))
    odds = np.exp(logits[:5].astype(np.float64))
    found = np.bincount(LEGEND.to_view(new).ravel(), minlength=7)
    assert found[5:].tolist() == [0, 0]
    assert stats.chisquare(found[:5], odds / odds.sum() * new.size).pvalue > 1e-3
    # neighbours are drawn independently: half of the map tells nothing of the other half
    left, right = (LEGEND.to_view(new)[:, i::2] == 3 for i in (0, 1))
    assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.03


def test_samples_differ_by_year_and_member_and_repeat_by_key() -> None:
    at = world(5, method="sample")
    logits = random_logits(np.random.default_rng(5), at.cover, stay=0)
    maps = [
        at.step(logits, at.shares, rng).cover
        for rng in (
            KeyedRng(1, 0, 2001),
            KeyedRng(1, 0, 2001),
            KeyedRng(1, 0, 2002),
            KeyedRng(1, 1, 2001),
            KeyedRng(2, 0, 2001),
        )
    ]
    assert (maps[0] == maps[1]).all()
    assert all((maps[0] != other).any() for other in maps[2:])


@pytest.mark.parametrize(("temperature", "gross_temperature"), [(0, 0), (0, 0.5), (0.5, 0), (0.5, 1)])
def test_chance_has_the_part_that_it_is_given(temperature: float, gross_temperature: float) -> None:
    at = world(6, temperature=temperature, gross_temperature=gross_temperature)
    at = World(at.maker, at.cover, at.shares, without_remainder(at.memory))
    rng = np.random.default_rng(6)
    logits = random_logits(rng, at.cover)
    other = random_shares(rng, at.plan.forcing.shape)
    for shares, chance in ((at.shares, gross_temperature), (other, temperature)):  # gross alone; net leaves no gross
        first, again, else_ = (at.step(logits, shares, KeyedRng(seed)).cover for seed in (1, 1, 2))
        assert (first != at.cover).any()
        np.testing.assert_array_equal(first, again)
        assert (first != else_).any() == (chance > 0)


def test_at_temperature_one_equal_cells_have_equal_chances() -> None:
    fine = LatLonGrid(0.0, 0.0025, 100, 0.125, -0.0025, 100)  # 10000 cells in one forcing cell
    plan = BlockPlan(fine, LatLonGrid(0.0, 0.25, 1, 0.125, -0.25, 1), 1)
    cover = np.full(fine.shape, 33, np.uint8)
    base, new = np.full((5, 1, 1), 0.2), np.array([0.2, 0.4, 0.0, 0.2, 0.2]).reshape(5, 1, 1)
    logits = np.zeros((7, 100, 100), np.float32)
    for temperature, spread in ((0.0, False), (1.0, True)):
        maker = MapMaker(plan, LEGEND, CROSSWALK, AllocationOptions(temperature=temperature), None)
        memory = maker.begin(plan.blocks[0], cover, base, RNG)
        made = maker.step(plan.blocks[0], cover, logits, new, memory, RNG).cover == 22
        assert made.sum() == 2000
        quarters = [made[:50, :50].sum(), made[:50, 50:].sum(), made[50:, :50].sum(), made[50:, 50:].sum()]
        assert (stats.chisquare(quarters).pvalue > 1e-3) == spread


# --- what never changes


@pytest.mark.parametrize("method", ["allocate", "argmax", "sample"])
def test_water_ocean_and_the_types_of_forest_that_stays_are_kept(method: str) -> None:
    for seed in range(5):
        at = world(seed, method=method, temperature=1.0)
        rng = np.random.default_rng(seed)
        logits = random_logits(rng, at.cover, stay=0)
        logits[6] += 20  # all would be water
        new = at.step(logits, random_shares(rng, at.plan.forcing.shape)).cover
        assert new.dtype == np.uint8
        still = np.isin(at.cover, [0, 99, 77])
        np.testing.assert_array_equal(new[still], at.cover[still])
        assert not np.isin(new[~still], [0, 99, 77]).any()
        before, after = LEGEND.to_view(at.cover), LEGEND.to_view(new)
        np.testing.assert_array_equal(new[before == after], at.cover[before == after])
        entered = (before != after) & (after == 3)
        assert entered.any()
        assert (new[entered] == 40).all()


@pytest.mark.parametrize("method", ["allocate", "argmax", "sample"])
def test_forbidden_transitions_never_happen(method: str) -> None:
    forbidden = [("urban", name) for name in LEGEND.classes if name not in ("urban", "water")] + [
        ("cropland", "forest")
    ]
    for seed in range(5):
        at = world(seed, method=method, forbidden=forbidden)
        rng = np.random.default_rng(seed)
        shares = random_shares(rng, at.plan.forcing.shape)
        new = at.step(random_logits(rng, at.cover, stay=0), shares).cover
        assert (new[at.cover == 11] == 11).all()
        assert not ((at.cover == 22) & (LEGEND.to_view(new) == 3)).any()
        assert (new != at.cover).any()


def test_a_block_of_sea_passes_through() -> None:
    maker = maker_of(FINE)
    cover = np.full(FINE.shape, 0, np.uint8)
    cover[3:6] = 77
    shares = random_shares(np.random.default_rng(1), maker.plan.forcing.shape)
    memory = maker.begin(maker.plan.blocks[0], cover, shares, RNG)
    result = maker.step(maker.plan.blocks[0], cover, np.zeros((7, *FINE.shape), np.float32), shares[::-1], memory, RNG)
    np.testing.assert_array_equal(result.cover, cover)
    assert result.diagnostics["land_cells"].tolist() == [0]
    area = class_area(maker.plan, LEGEND, maker.plan.blocks[0], result.cover)
    assert area[6] == pytest.approx(FINE.row_area[3:6].sum() * FINE.nlon, rel=1e-12)


# --- the books


@pytest.mark.parametrize("method", ["allocate", "argmax"])
def test_diagnostics_are_the_sums_of_a_loop(method: str) -> None:
    at = world(10, method=method)
    rng = np.random.default_rng(10)
    result = at.step(random_logits(rng, at.cover, stay=1), random_shares(rng, at.plan.forcing.shape))
    classes, transitions, land, changed = np.zeros(7), np.zeros((7, 7)), 0, 0
    for (i, j), code in np.ndenumerate(at.cover):
        old, new = (int(LEGEND.to_view(np.array(c))) for c in (code, result.cover[i, j]))
        area = at.plan.fine.row_area[i]
        if old >= 0:
            classes[new] += area
        if 0 <= old < 6:
            transitions[old, new] += area
            land, changed = land + 1, changed + (old != new)
    told = result.diagnostics
    np.testing.assert_allclose(class_area(at.plan, LEGEND, at.plan.blocks[0], result.cover), classes, rtol=1e-12)
    np.testing.assert_allclose(told["transition_area"].reshape(7, 7), transitions, rtol=1e-12)
    assert (told["land_cells"].tolist(), told["changed_cells"].tolist()) == ([land], [changed])
    assert changed > 20
    np.testing.assert_allclose(told["unmet_area"], np.abs(result.memory["unmet"]).sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(told["unmet_change"], result.memory["unmet"].sum(axis=(1, 2)), rtol=1e-12)


def test_the_base_of_the_demand_stays_that_of_the_base_year() -> None:
    at = world(11)
    base, _ = naive_areas(at.plan, at.cover)
    np.testing.assert_allclose(at.memory["base_area"], base, rtol=1e-12)
    rng = np.random.default_rng(11)
    result = at.step(random_logits(rng, at.cover), random_shares(rng, at.plan.forcing.shape))
    for name in ("base_area", "base_share"):
        np.testing.assert_array_equal(result.memory[name], at.memory[name])
    assert {name: a.shape for name, a in result.memory.items()} == {name: a.shape for name, a in at.memory.items()}


def test_blocks_add_up_to_the_whole() -> None:
    """The allocation of a forcing cell does not see which block it is in."""
    rng = np.random.default_rng(13)
    cover = random_cover(rng, FINE.shape)
    logits = random_logits(rng, cover)
    whole, parts = maker_of(FINE, temperature=0.5), maker_of(FINE, 2, temperature=0.5)
    base, new = (random_shares(rng, whole.plan.forcing.shape) for _ in range(2))

    def allocate(maker: MapMaker) -> np.ndarray:
        made = np.full_like(cover, 255)
        for block in maker.plan.blocks:
            part, coarse = block.core.slices(), (slice(None), *block.forcing.slices())
            memory = maker.begin(block, cover[part], base[coarse], RNG)
            made[part] = maker.step(block, cover[part], logits[(slice(None), *part)], new[coarse], memory, RNG).cover
        return made

    assert len(parts.plan.blocks) > 4
    np.testing.assert_array_equal(allocate(parts), allocate(whole))


# --- options


def test_unknown_classes_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cropland'") as caught:
        maker_of(FINE, gross={"croplan": 0.1})
    assert caught.value.where == "allocation.gross"
    with pytest.raises(ConfigError, match="did you mean 'forest'") as caught:
        maker_of(FINE, forbidden=[("urban", "forrest")])
    assert caught.value.where == "allocation.forbidden"


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1") as caught:
        maker_of(FINE, gross={"forest": rate})
    assert caught.value.where == "allocation.gross, class 'forest'"
    with pytest.raises(ConfigError, match="from 0 to 1"):
        maker_of(FINE, rates={"forest": rate})


def test_no_class_can_be_forbidden_to_stay() -> None:
    with pytest.raises(ConfigError, match="two different classes") as caught:
        maker_of(FINE, forbidden=[("forest", "forest")])
    assert caught.value.found == "forest -> forest"

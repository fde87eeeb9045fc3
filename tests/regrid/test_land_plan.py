"""Sums over blocks of land: by hand, against direct weights of all land cells, and on any number of ranks."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import needs
import numpy as np
import pytest
from ranks import mpirun
from regrid_cases import octahedral_mesh

from ai4land_coupler.api import FieldError, LocalWeights, Mesh, Regridder
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.core.state import LandState
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.host.exchange import HostGrid, LandCells
from ai4land_coupler.parallel import BlockPlan, Communicator
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.yac import YacRegridder
from ai4land_coupler.regrid.cached import CachedRegridder
from ai4land_coupler.regrid.land import weights as making
from ai4land_coupler.regrid.land.cache import cached_land_weights
from ai4land_coupler.regrid.land.plan import LandPlan
from ai4land_coupler.regrid.land.weights import land_weights

needs.yac()

PROGRAM = Path(__file__).with_name("land_program.py")
Runs = Callable[[int], Path]
FIVE = LatLonGrid(-180.0, 5.0, 72, 90.0, -5.0, 36)


def plan_of(grid: LatLonGrid, block: int = 2) -> BlockPlan:
    return BlockPlan(grid, forcing_lattice(grid, FIVE), block)


def blocks_of(plan: BlockPlan, values: np.ndarray) -> dict[int, np.ndarray]:
    return {block.id: values[(..., *block.core.slices())] for block in plan.blocks}


def on_land(plan: BlockPlan, codes: np.ndarray, mesh: Mesh) -> LandPlan:
    land = {block: part >= 0 for block, part in blocks_of(plan, codes).items() if (part >= 0).any()}
    return LandPlan(plan, land_weights(plan, land, mesh, YacRegridder(), None), mesh)


def patchwork(grid: LatLonGrid, n_codes: int, seed: int = 0) -> np.ndarray:
    """Codes in patches of a few cells, with an ocean in the west."""
    rows, cols = np.indices(grid.shape)
    noise = np.random.default_rng(seed).integers(0, n_codes + 1, (grid.nlat // 3 + 1, grid.nlon // 4 + 1))
    return np.where(cols < grid.nlon // 5, -1, noise[rows // 3, cols // 4] - 1).astype(np.int8)


def test_by_hand() -> None:
    """Land of 1 degree at the equator; host cells 2 degrees wide and 1 degree high, shifted by half a degree east."""
    grid = LatLonGrid(0.0, 1.0, 6, 1.0, -1.0, 2)
    codes = np.array([[0, 0, 1, -1, 1, 1], [2, 2, 2, 2, 2, 2]], np.int16)
    host = latlon_mesh(LatLonGrid(0.5, 2.0, 3, 1.0, -1.0, 2), "host")
    plan = on_land(plan_of(grid), codes, host)
    # host row of 0 to 1 N: half of cell 0, cell 1, half of cell 2 of the land, and so on; the last one sticks out
    expected = np.array(
        [
            # 0.5 E to 2.5 E holds half of the first cell, the second, and half of the third
            [0.75, 0.00, 0.00, 0.0, 0.0, 0.00],
            [0.25, 0.50, 0.75, 0.0, 0.0, 0.00],
            [0.00, 0.00, 0.00, 1.0, 1.0, 0.75],
        ]
    )
    found = plan.aggregate(blocks_of(plan_of(grid), codes), 3)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_allclose(plan.destination_fraction, expected.sum(axis=0), atol=1e-14)


CASES = {
    "globe": (octahedral_mesh(3), LatLonGrid(-180.0, 0.9972, 361, 90.0, -0.9972, 180), 4),
    "host finer than land": (octahedral_mesh(5), LatLonGrid(-180.0, 4.0, 90, -90.0, 4.0, 45), 3),
    "one block": (octahedral_mesh(4), LatLonGrid(-12.0, 0.11, 160, 61.0, -0.11, 110), 40),
    "region of host": (octahedral_mesh(4).take(np.arange(300, 700)), LatLonGrid(-180.0, 2.0, 180, 90.0, -2.0, 90), 3),
    "parallels": (
        latlon_mesh(LatLonGrid(-180.0, 6.7, 53, 88.0, -5.3, 33), "host"),
        LatLonGrid(0.0, 2.5, 144, 90.0, -2.5, 72),
        2,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_as_direct_weights_of_all_land(case: str) -> None:
    mesh, grid, block = CASES[case]
    codes = patchwork(grid, 4)
    fields = np.where(codes < 0, np.nan, np.random.default_rng(1).normal(5.0, 2.0, (3, *grid.shape)))
    plan = plan_of(grid, block)
    land = on_land(plan, codes, mesh)
    ids = np.flatnonzero(codes >= 0)
    direct = YacRegridder().build(latlon_mesh(grid, "land", ids), mesh)
    regrid = RegridPlan(direct, ids)
    found = land.aggregate(blocks_of(plan, codes), 4)
    np.testing.assert_allclose(found, regrid.aggregate(codes.ravel()[ids], 4), atol=1e-12)
    np.testing.assert_allclose(
        land.apply(blocks_of(plan, fields), 3), regrid.apply(fields.reshape(3, -1)[:, ids]), atol=1e-11
    )
    np.testing.assert_allclose(land.destination_fraction, direct.destination_fraction, atol=1e-12)
    np.testing.assert_allclose(land.destination_area, direct.destination_area, rtol=1e-12)
    assert found.max() > 0.2


def test_class_areas_are_those_of_the_land() -> None:
    """Of the host cells that cover the globe: to 1e-14, although 65,000 fine cells are added."""
    mesh, grid, block = CASES["globe"]
    codes = patchwork(grid, 4)
    plan = plan_of(grid, block)
    land = on_land(plan, codes, mesh)
    sums = land.aggregate(blocks_of(plan, codes), 4) @ land.destination_area
    exact = [((codes == code).sum(axis=1) * grid.row_area).sum() for code in range(4)]
    np.testing.assert_allclose(sums, exact, rtol=2e-14)


def test_codes_of_any_integer_type_and_many_of_them() -> None:
    mesh, grid, block = CASES["globe"]
    codes = patchwork(grid, 4)
    plan = plan_of(grid, block)
    land = on_land(plan, codes, mesh)
    few = land.aggregate(blocks_of(plan, codes), 4)
    inland = np.maximum(codes, 0)
    for kind in (np.uint8, np.int64, np.uint32):
        np.testing.assert_array_equal(land.aggregate(blocks_of(plan, inland.astype(kind)), 4), few)
    pairs = land.aggregate(blocks_of(plan, inland.astype(np.int16) * 60 + 7), 240)
    np.testing.assert_array_equal(pairs[7::60], few)
    assert pairs.sum() == pytest.approx(few.sum(), rel=1e-14)


def test_codes_may_lack_what_the_land_has() -> None:
    mesh, grid, block = CASES["globe"]
    codes = patchwork(grid, 4)
    plan = plan_of(grid, block)
    land = on_land(plan, codes, mesh)
    without = np.where(codes == 2, -1, codes).astype(np.int8)
    some, every = (land.aggregate(blocks_of(plan, c), 4) for c in (without, codes))
    assert (some[2] == 0).all()
    np.testing.assert_array_equal(some[[0, 1, 3]], every[[0, 1, 3]])


def test_not_a_number_spreads_from_land_alone() -> None:
    mesh, grid, block = CASES["globe"]
    codes = patchwork(grid, 4)
    plan = plan_of(grid, block)
    land = on_land(plan, codes, mesh)
    values = np.where(codes < 0, np.nan, 1.0)[None]
    np.testing.assert_allclose(land.apply(blocks_of(plan, values))[0], land.destination_fraction, rtol=1e-13)
    row, col = np.argwhere(codes >= 0)[5000]
    values[0, row, col] = np.nan
    spread = np.isnan(land.apply(blocks_of(plan, values))[0])
    touched = np.zeros(grid.shape, np.int8) - 1
    touched[row, col] = 0
    np.testing.assert_array_equal(spread, land.aggregate(blocks_of(plan, touched), 1)[0] > 0)
    assert spread.any()


def test_small_bands_and_masked_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, grid, block = CASES["globe"]
    codes = patchwork(grid, 4)
    plan = plan_of(grid, block)
    whole = on_land(plan, codes, mesh).aggregate(blocks_of(plan, codes), 4)
    monkeypatch.setattr(making, "BAND", 1777)
    monkeypatch.setattr(making, "_PIECE", 64)
    np.testing.assert_array_equal(on_land(plan, codes, mesh).aggregate(blocks_of(plan, codes), 4), whole)
    mask = np.arange(mesh.size) % 3 > 0
    masked = Mesh(mesh.name, mesh.cell_ids, mesh.corner_lon, mesh.corner_lat, mesh.edges, mask, mesh.size)
    some = on_land(plan, codes, masked).aggregate(blocks_of(plan, codes), 4)
    assert (some[:, ~mask] == 0).all()
    np.testing.assert_allclose(some[:, mask], whole[:, mask], atol=1e-9)
    lon = np.where(mask[:, None], mesh.corner_lon, np.nan)
    blank = Mesh(mesh.name, mesh.cell_ids, lon, lon * 0 + mesh.corner_lat, mesh.edges, mask, mesh.size)
    cornerless = on_land(plan, codes, blank)
    np.testing.assert_array_equal(cornerless.aggregate(blocks_of(plan, codes), 4), some)
    assert (cornerless.destination_area[~mask] == 0).all()


def test_no_land_and_no_cells() -> None:
    grid = LatLonGrid(0.0, 1.0, 20, 20.0, -1.0, 20)
    mesh = octahedral_mesh(1)
    none = on_land(plan_of(grid), np.full(grid.shape, -1, np.int8), mesh)
    assert (none.aggregate({}, 3) == np.zeros((3, mesh.size))).all()
    assert (none.apply({}, 2) == np.zeros((2, mesh.size))).all()
    far = octahedral_mesh(4)
    far = far.take(np.flatnonzero((far.corner_lat < -30).all(axis=1)))
    codes = np.zeros(grid.shape, np.int8)
    away = on_land(plan_of(grid), codes, far)
    assert (away.aggregate(blocks_of(plan_of(grid), codes), 1) == 0).all()
    assert away.provenance["method"] == "conservative"


def test_bad_fields_are_refused() -> None:
    grid = LatLonGrid(0.0, 1.0, 20, 20.0, -1.0, 20)
    plan = plan_of(grid)
    codes = patchwork(grid, 3)
    land = on_land(plan, codes, octahedral_mesh(1))
    parts = blocks_of(plan, codes)
    with pytest.raises(FieldError, match="outside of its legend"):
        land.aggregate(parts, 2)
    with pytest.raises(FieldError, match="integers"):
        land.aggregate({block: part.astype(float) for block, part in parts.items()}, 3)
    with pytest.raises(FieldError, match="does not fit the land"):
        land.apply({block: part[None, 1:].astype(float) for block, part in parts.items()})


class Counted(Regridder):
    """A backend that counts its calls."""

    single_rank, methods = True, YacRegridder.methods

    def __init__(self) -> None:
        self.calls = 0

    def build(self, *arguments: Any) -> LocalWeights:
        self.calls += 1
        return YacRegridder().build(*arguments)


def test_weights_are_cached_for_a_land_grid_and_a_host(tmp_path: Path) -> None:
    """Found again by any order and share of the host's cells; not for another land or host."""
    mesh, grid, block = CASES["globe"]
    codes = patchwork(grid, 4)
    plan = plan_of(grid, block)
    land = {block: part >= 0 for block, part in blocks_of(plan, codes).items()}
    counted = Counted()
    cached = CachedRegridder(counted, tmp_path / "cache", "backend 1")
    made = cached_land_weights(plan, land, mesh, cached, None)
    assert counted.calls == 1
    shuffled = mesh.take(np.random.default_rng(3).permutation(mesh.size))
    found = cached_land_weights(plan, land, shuffled, cached, None)
    assert counted.calls == 1
    for one, other in zip((*made.runs, *made.cuts), (*found.runs, *found.cuts), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.provenance == made.provenance
    cached_land_weights(plan, land | {0: ~land[0]}, mesh, cached, None)
    cached_land_weights(plan, land, mesh.take(np.arange(mesh.size - 1)), cached, None)
    cached_land_weights(plan_of(grid, block + 1), {}, mesh, cached, None)
    assert counted.calls == 4


def a_land(grid: LatLonGrid, block: int) -> tuple[LandCells, LandState, np.ndarray]:
    """HILDA+ codes of a patchwork with ocean, as the cells of a component, and classes of the view (-1 ocean)."""
    legend = get_legend("hilda-v1.0")
    view = patchwork(grid, len(legend.view), seed=4)
    plan = plan_of(grid, block)
    table = {int(legend.to_view(np.array([code], np.uint8))[0]): code for code in legend.names}
    codes = np.vectorize(lambda k: table.get(int(k), legend.ocean[0]))(view).astype(np.uint8)
    cover = blocks_of(plan, codes)
    rows, cols = np.indices(grid.shape)
    field = np.stack([rows * 1.0, cols * 2.0]).astype(np.float32)
    fields = {"lai": {b: f for b, f in blocks_of(plan, field).items() if (legend.to_view(cover[b]) >= 0).any()}}
    return LandCells(plan, legend, cover), LandState(2000, cover, fields, {}), view


def test_a_backend_that_reads_weights_gives_the_same_host_fields() -> None:
    """A host grid by blocks, and one whose backend hands out weights by the ids of fine cells."""
    mesh, grid, block = CASES["globe"]
    land, state, view = a_land(grid, block)
    comm = Communicator()
    reader = SimpleNamespace(single_rank=False, reads_weights=True, build=YacRegridder().build)
    ours, theirs = HostGrid(mesh, land, YacRegridder(), comm), HostGrid(mesh, land, reader, comm)
    np.testing.assert_allclose(ours.area, theirs.area, rtol=1e-12)
    fractions = ours.land_cover_fraction(state)
    np.testing.assert_allclose(fractions, theirs.land_cover_fraction(state), atol=1e-12)
    exact = [((view == k).sum(axis=1) * grid.row_area).sum() for k in range(len(fractions))]
    np.testing.assert_allclose(fractions @ ours.area, exact, rtol=1e-13)
    # every second row becomes what its first cell of land is
    after = {}
    for number, cover in state.cover.items():
        inland = land.legend.to_view(cover) >= 0
        inland[::2] = False
        after[number] = np.where(inland, cover[inland][0] if inland.any() else 0, cover).astype(np.uint8)
    moved = LandState(2001, after, {}, {})
    changes = ours.transitions(state, moved)
    np.testing.assert_allclose(changes, theirs.transitions(state, moved), atol=1e-12)
    np.testing.assert_allclose(changes.sum(axis=1), fractions, atol=1e-14)
    np.testing.assert_allclose(changes.sum(axis=0), ours.land_cover_fraction(moved), atol=1e-14)
    means = ours.continuous(state, "lai", 2)
    np.testing.assert_allclose(means, theirs.continuous(state, "lai", 2), rtol=1e-11)
    np.testing.assert_array_equal(np.isnan(means[0]), fractions.sum(axis=0) == 0)


#: `make test` has three ranks, of which each has two others to exchange with.
CASES = {1: ["evenly"], 2: ["evenly", "dealt", "together"], 3: ["evenly", "dealt", "apart", "together", "faults"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The folder of answers of a number of ranks, which run when the first test asks for them."""

    @cache
    def run(ranks: int) -> Path:
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        done = mpirun(ranks, "-m", "mpi4py", PROGRAM, folder, *CASES[ranks])
        assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return run


def answers(folder: Path, case: str) -> dict[str, np.ndarray]:
    """The answers of all ranks, put together by global id."""
    parts = [dict(np.load(path)) for path in sorted(folder.glob(f"{case}.*.npz"))]
    order = np.argsort(np.concatenate([part["cells"] for part in parts]))
    names = ("aggregate", "fields", "fraction", "area")
    together = {name: np.concatenate([part[name] for part in parts], axis=-1)[..., order] for name in names}
    return together | {"cuts": np.array(sum(int(part["cuts"]) for part in parts))}


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("ranks", "case"),
    [
        *((3, case) for case in ("evenly", "dealt", "apart")),
        *(pytest.param(2, case, marks=pytest.mark.soak) for case in ("evenly", "dealt")),
    ],
)
def test_the_same_bits_on_any_number_of_ranks(runs: Runs, ranks: int, case: str) -> None:
    one, other = answers(runs(1), "evenly"), answers(runs(ranks), case)
    assert one["cuts"] > 1000
    assert one["fields"].std() > 1
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [3, pytest.param(2, marks=pytest.mark.soak)])
def test_a_backend_that_all_ranks_call_together(runs: Runs, ranks: int) -> None:
    """It also finds overlaps with the land of others; they count once."""
    one, other = answers(runs(1), "evenly"), answers(runs(ranks), "together")
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-13, atol=1e-14, err_msg=name)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "FieldError: a field does not fit the land"),
        ("shape", "FieldError: a field does not fit the land"),
        ("code", "FieldError: a code is outside of its legend"),
        ("type", "FieldError: codes cannot be aggregated"),
        ("other host", "GridError: regrid weights of the land are those of another host grid"),
        ("mesh", "GridError: a cell has more than one owner"),
    ],
)
def test_every_rank_raises_the_error_of_one_rank(runs: Runs, case: str, message: str) -> None:
    told = [json.loads((runs(3) / f"faults.{rank}.json").read_text()).get(case, "nothing") for rank in range(3)]
    assert [text.startswith(message) for text in told] == [True] * 3, told


@pytest.mark.mpi
def test_a_backend_that_fails_on_one_rank(runs: Runs) -> None:
    told = json.loads((runs(3) / "faults.0.json").read_text())["backend"]
    assert "another rank failed" in told
    assert "no weights today" in told

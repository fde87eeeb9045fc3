"""The block plan against a cell-by-cell search, on grids in which nothing divides evenly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.errors import GridError
from ai4land_coupler.land.assemble import TileInputs
from ai4land_coupler.parallel import BlockPlan

#: A centre this near to an edge lies on it, but for rounding (cells).
ON_EDGE = 1e-9
QUARTER = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)
QUARTER_UP = LatLonGrid(-180.0, 0.25, 1440, -90.0, 0.25, 720)
#: 77 x 131 cells of HILDA+ within 5 x 6 cells of LUH2: 25.03 fine cells to a forcing cell.
NORTHUP = LatLonGrid(-4.003, 0.00998837, 131, 55.51, -0.00998837, 77)
SOUTHUP = LatLonGrid(-4.003, 0.00998837, 131, 54.74, 0.00998837, 77)
#: As the globe of HILDA+ (36041 columns that span 359.991 degrees), a hundred times coarser.
GLOBE = LatLonGrid(-180.0, 0.9972, 361, 90.0, -0.9972, 180)
FIVE = LatLonGrid(-180.0, 5.0, 72, 90.0, -5.0, 36)


def plan_of(fine: LatLonGrid, coarse: LatLonGrid, block: int) -> BlockPlan:
    return BlockPlan(fine, forcing_lattice(fine, coarse), block)


def holder(plan: BlockPlan) -> tuple[list[int], list[int]]:
    """Forcing row and column of each fine row and column, where it is checked that the centre lies in that cell.

    A centre on an edge may belong to either cell.
    """
    fine, forcing = plan.fine, plan.forcing
    rows, cols = plan.forcing_row.tolist(), plan.forcing_col.tolist()
    for centres, at, first, step in (
        (fine.lat, rows, forcing.lat0, forcing.dlat),
        (fine.lon, cols, forcing.lon0, forcing.dlon),
    ):
        assert (np.abs((centres - first) / step - np.array(at) - 0.5) <= 0.5 + ON_EDGE).all()
    assert 0 <= min(rows) <= max(rows) < forcing.nlat
    assert 0 <= min(cols) <= max(cols) < forcing.nlon
    return rows, cols


def a_plan(fine: LatLonGrid, ratio: float, block: int, *, northward: bool) -> BlockPlan:
    """Forcing cells ``ratio`` times as large, registered at the date line and a pole."""
    dlon, dlat = fine.dlon * ratio, abs(fine.dlat) * ratio
    first, step = (-90.0, dlat) if northward else (90.0, -dlat)
    return plan_of(fine, LatLonGrid(-180.0, dlon, int(360 / dlon), first, step, int(180 / dlat)), block)


fine_grids = st.builds(
    LatLonGrid,
    st.floats(-170, 100),
    st.floats(0.02, 0.9),
    st.integers(1, 60),
    st.floats(-20, 20),
    st.floats(0.02, 0.9) | st.floats(-0.9, -0.02),
    st.integers(1, 60),
)
domains = st.builds(a_plan, fine_grids, st.floats(1.0, 26.0), st.integers(1, 5), northward=st.booleans())


def check_cover(plan: BlockPlan) -> None:
    """Every fine cell in one block, every forcing cell in one block, and the two agree cell by cell."""
    fine_owner = np.full(plan.fine.shape, -1)
    forcing_owner = np.full(plan.forcing.shape, -1)
    for place, block in enumerate(plan.blocks):
        assert block.id == place
        assert (fine_owner[block.core.slices()] == -1).all()
        assert (forcing_owner[block.forcing.slices()] == -1).all()
        fine_owner[block.core.slices()] = block.id
        forcing_owner[block.forcing.slices()] = block.id
    assert (fine_owner >= 0).all()
    rows, cols = holder(plan)
    np.testing.assert_array_equal(fine_owner, forcing_owner[np.ix_(rows, cols)])
    for block in plan.blocks:
        used_rows = {rows[i] for i in range(block.core.row0, block.core.row1)}
        used_cols = {cols[j] for j in range(block.core.col0, block.core.col1)}
        # a forcing cell inside of a block may hold no centre, if centres lie on edges of cells of their own size
        assert (min(used_rows), max(used_rows)) == (block.forcing.row0, block.forcing.row1 - 1)
        assert (min(used_cols), max(used_cols)) == (block.forcing.col0, block.forcing.col1 - 1)
        assert max(block.forcing.shape) <= plan.block


@pytest.mark.parametrize("fine", [NORTHUP, SOUTHUP], ids=["north to south", "south to north"])
@pytest.mark.parametrize("coarse", [QUARTER, QUARTER_UP], ids=["forcing north to south", "forcing south to north"])
@pytest.mark.parametrize("block", [1, 2, 5, 100])
def test_each_fine_cell_belongs_to_the_block_of_the_forcing_cell_that_holds_its_centre(
    fine: LatLonGrid, coarse: LatLonGrid, block: int
) -> None:
    check_cover(plan_of(fine, coarse, block))


def test_sizes_of_blocks_differ_if_cells_do_not_divide_evenly() -> None:
    widths = {b.core.shape[1] for b in plan_of(LatLonGrid(-4.0, 0.00998837, 1500, 55.5, -0.01, 60), QUARTER, 1).blocks}
    assert widths == {25, 26} | {min(widths)}  # 25.03 cells, and what is left at the edge of the domain


@examples(60)
@given(domains)
def test_any_domain_is_covered_once(plan: BlockPlan) -> None:
    check_cover(plan)


# --- centres on edges


def test_a_grid_with_centres_on_edges_of_1_35_degrees_has_a_plan() -> None:
    # 1.8 N is edge 68 from the South Pole (68 * 1.35 = 91.8). The lattice put this centre into row 68, and the forcing
    # grid of that row alone put it into the row before: the plan was refused.
    lattice = LatLonGrid(-180.0, 1.35, 266, -90.0, 1.35, 133)
    plan = plan_of(LatLonGrid(15.075, 0.45, 1, 2.025, -0.45, 1), lattice, 1)
    check_cover(plan)
    assert plan.forcing.size <= 4
    # 3 x 3 cells of 0.45 degrees with centres on edges at 0.9 E and 0.9 N
    plan = plan_of(LatLonGrid(0.225, 0.45, 3, 1.575, -0.45, 3), LatLonGrid(-180.0, 1.35, 266, 90.0, -1.35, 133), 1)
    check_cover(plan)
    assert plan.forcing.shape == (2, 2)


@st.composite
def centres_on_edges(draw: st.DrawFn) -> tuple[LatLonGrid, LatLonGrid, tuple[int, int], tuple[int, int]]:
    """A fine and a coarse grid, and a fine row and column whose centres lie on an edge of the coarse, with the edge.

    All numbers are decimals, as people give them, and every edge and centre is rounded in its own way.
    """
    step = draw(st.integers(2, 300)) / 100
    parts = draw(st.sampled_from([1, 3, 5, 7, 9]))  # an odd number: centres fall on edges
    size = step / parts
    nlat, nlon = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    row, col = draw(st.integers(0, nlat - 1)), draw(st.integers(0, nlon - 1))
    northward, fine_northward = draw(st.booleans()), draw(st.booleans())
    sign, fine_sign = (1 if northward else -1), (1 if fine_northward else -1)
    coarse = LatLonGrid(-180.0, step, int(360 / step), -90.0 * sign, sign * step, int(180 / step))
    edge_row = draw(st.integers(int(40 / step), int(140 / step)))  # 12 cells of 3 degrees stay on the globe
    edge_col = draw(st.integers(0, coarse.nlon - 1))
    lat, lon = coarse.lat0 + edge_row * coarse.dlat, -180.0 + edge_col * step
    fine = LatLonGrid(
        lon - (col + 0.5) * size, size, nlon, lat - (row + 0.5) * fine_sign * size, fine_sign * size, nlat
    )
    return fine, coarse, (row, edge_row), (col, edge_col)


@examples(300)
@given(centres_on_edges(), st.integers(1, 4))
def test_a_centre_on_an_edge_has_one_forcing_cell_everywhere(
    case: tuple[LatLonGrid, LatLonGrid, tuple[int, int], tuple[int, int]], block: int
) -> None:
    fine, coarse, (row, edge_row), (col, edge_col) = case
    plan = plan_of(fine, coarse, block)
    check_cover(plan)
    # the centre on the edge belongs to one of the two cells at the edge
    row0 = round((plan.forcing.lat0 - coarse.lat0) / coarse.dlat)
    col0 = round((plan.forcing.lon0 - coarse.lon0) / coarse.dlon)
    assert plan.forcing_row[row] + row0 in (edge_row - 1, edge_row)
    assert plan.forcing_col[col] + col0 in (edge_col - 1, edge_col)
    # a tile's inputs agree with the plan
    values = np.arange(plan.forcing.size, dtype=np.float32).reshape(plan.forcing.shape)
    spread = TileInputs(fine, plan.forcing, lambda *_: values, {}).spread(values, fine.box)
    np.testing.assert_array_equal(spread, values[np.ix_(plan.forcing_row, plan.forcing_col)])


@pytest.mark.parametrize("block", [1, 7, 20])
def test_the_globe_is_covered_once_up_to_the_seam(block: int) -> None:
    plan = plan_of(GLOBE, FIVE, block)
    assert plan.fine.periodic
    check_cover(plan)
    assert plan.blocks[-1].core.col1 == 361
    assert plan.blocks[-1].forcing.col1 == 72


def test_cells_are_numbered_row_by_row_and_columns_wrap() -> None:
    plan = plan_of(GLOBE, FIVE, 8)
    ids = plan.cell_ids(Box(3, 5, -2, 3))
    expected = [[3 * 361 + 359, 3 * 361 + 360, 3 * 361, 3 * 361 + 1, 3 * 361 + 2]]
    np.testing.assert_array_equal(ids, [expected[0], [i + 361 for i in expected[0]]])
    assert ids.dtype == np.int64


def test_a_land_grid_beyond_its_forcing_is_refused() -> None:
    short = LatLonGrid(-4.0, 0.25, 3, 55.75, -0.25, 4)
    with pytest.raises(GridError, match=r"beyond the forcing grid \(by column\)"):
        BlockPlan(LatLonGrid(-4.0, 0.01, 76, 55.7, -0.01, 50), short, 1)
    with pytest.raises(GridError, match=r"beyond the forcing grid \(by row\)"):
        BlockPlan(LatLonGrid(-4.0, 0.01, 75, 55.76, -0.01, 50), short, 1)
    with pytest.raises(GridError, match="at least one forcing cell"):
        BlockPlan(LatLonGrid(-4.0, 0.01, 75, 55.7, -0.01, 50), short, 0)


# --- windows


def test_a_window_is_the_core_plus_the_halo_rounded_outward_to_global_multiples() -> None:
    # blocks of 2 x 2 forcing cells, 10 fine cells each way; halo 3, align 8
    plan = BlockPlan(LatLonGrid(0.0, 0.1, 70, 10.0, -0.1, 60), LatLonGrid(0.0, 0.5, 14, 10.0, -0.5, 12), 2)
    block = next(b for b in plan.blocks if b.core == Box(20, 30, 30, 40))
    # rows 17..33 -> 16..40, columns 27..43 -> 24..48
    assert plan.tile(block, halo=3, align=8).window == Box(16, 40, 24, 48)
    assert plan.tile(block, halo=0, align=1).window == block.core
    first, last = plan.blocks[0], plan.blocks[-1]
    assert plan.tile(first, halo=3, align=8).window == Box(0, 16, 0, 16)
    # 60 x 70 end with 64 x 72: whole multiples that hold the domain
    assert last.core == Box(50, 60, 60, 70)
    assert plan.tile(last, halo=3, align=8).window == Box(40, 64, 56, 72)


def test_a_window_of_the_globe_wraps_and_stays_on_global_multiples() -> None:
    plan = plan_of(GLOBE, FIVE, 12)
    first = plan.tile(plan.blocks[0], halo=5, align=4)
    assert first.window.col0 == -8
    last = plan.tile(plan.blocks[-1], halo=5, align=4)
    assert last.window.col1 == 368  # 361 + 5, rounded up
    assert (first.window.row0, last.window.row1) == (0, 180)


@examples(60)
@given(domains, st.integers(0, 40), st.integers(1, 16))
def test_every_window_holds_its_core_and_the_halo_within_the_domain(plan: BlockPlan, halo: int, align: int) -> None:
    for block in plan.blocks:
        tile = plan.tile(block, halo, align)
        core, window = block.core, tile.window
        assert tile.core == core
        assert all(edge % align == 0 for edge in window)
        wanted = Box(
            max(core.row0 - halo, 0),
            min(core.row1 + halo, plan.fine.nlat),
            max(core.col0 - halo, 0),
            min(core.col1 + halo, plan.fine.nlon),
        )
        assert window.intersect(wanted) == wanted
        # never more than the rounding adds
        assert window.row0 > core.row0 - halo - align
        assert window.col1 < core.col1 + halo + align


@examples(60)
@given(domains, st.data())
def test_the_blocks_that_touch_a_box_are_those_a_search_finds(plan: BlockPlan, data: st.DataObject) -> None:
    row0, col0 = data.draw(st.integers(-3, plan.fine.nlat + 2)), data.draw(st.integers(-3, plan.fine.nlon + 2))
    box = Box(row0, row0 + data.draw(st.integers(0, 40)), col0, col0 + data.draw(st.integers(0, 40)))
    found = {block.id: part for block, part in plan.touching(box)}
    expected = {b.id: b.core.intersect(box) for b in plan.blocks}
    assert found == {i: part for i, part in expected.items() if min(part.shape) > 0}


# --- owners


def test_owners_are_contiguous_shares_for_every_number_of_workers() -> None:
    plan = plan_of(NORTHUP, QUARTER, 1)
    count = len(plan.blocks)
    assert count == 30
    sizes = np.array([b.core.size for b in plan.blocks])
    for workers in range(1, count + 12):
        owner = plan.owners(workers)
        assert owner.shape == (count,)
        assert (np.diff(owner) >= 0).all()
        assert owner.min() >= 0
        assert owner.max() < workers
        load = np.bincount(owner, weights=sizes, minlength=workers)
        # nobody carries more than its even share and one block
        assert load.max() <= sizes.sum() / workers + sizes.max()
        if workers <= count // 2:
            assert load.min() > 0


def test_workers_without_blocks_are_allowed() -> None:
    plan = plan_of(NORTHUP, QUARTER, 100)
    assert len(plan.blocks) == 1
    for workers in (1, 2, 5):
        assert 0 <= plan.owners(workers)[0] < workers


def test_the_plan_and_its_hash_do_not_depend_on_workers() -> None:
    plan = plan_of(NORTHUP, QUARTER, 2)
    blocks, name = plan.blocks, plan.hash
    for workers in (1, 2, 7, 50):
        plan.owners(workers)
        assert (plan.blocks, plan.hash) == (blocks, name)
    again = plan_of(NORTHUP, QUARTER, 2)
    assert (again.blocks, again.hash) == (blocks, name)
    assert len({name, plan_of(NORTHUP, QUARTER, 3).hash, plan_of(SOUTHUP, QUARTER, 2).hash}) == 3

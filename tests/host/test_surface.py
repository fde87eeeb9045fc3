"""A host's own surface: cells computed by hand, the nearest cell over ranks, and whole components."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE, Raw, config_of, realized
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from ranks import mpirun

from ai4land_coupler import LandComponent
from ai4land_coupler.errors import FieldError, GridError, StateError
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.delta import add_change
from ai4land_coupler.host.surface import HostSurface, nearest_cells
from ai4land_coupler.parallel import Communicator

COVER, LAND, CHANGE = "land_cover_fraction", "land_area_fraction", "land_cover_transition"
ALONE = Communicator()


def row_of_cells(count: int, ids: NDArray[np.int64] | None = None) -> Mesh:
    """Cells of 1 x 1 degree along the equator."""
    west = np.arange(count, dtype=np.float64)
    lon = west[:, None] + [0, 1, 1, 0]
    lat = np.broadcast_to([-0.5, -0.5, 0.5, 0.5], lon.shape).copy()
    ids = np.arange(count, dtype=np.int64) if ids is None else ids
    return Mesh("row", ids, lon, lat, "latlon", np.ones(count, bool), 100)


class TestChange:
    def test_hand_worked(self) -> None:
        """Change that fits; change that exceeds the host's fraction; no change; no land."""
        base = np.array([[0.5, 0.02, 0.3, 0.0], [0.3, 0.58, 0.7, 0.0], [0.1, 0.2, 0.0, 0.0]])
        start = np.array([[0.4, 0.40, 0.1, 0.0], [0.4, 0.30, 0.9, 0.0], [0.1, 0.1, 0.0, 0.0]])
        now = np.array([[0.3, 0.30, 0.1, 0.0], [0.5, 0.35, 0.9, 0.0], [0.1, 0.15, 0.0, 0.0]])
        values, cut = add_change(base, now - start)
        np.testing.assert_allclose(values[:, 0], [0.4, 0.4, 0.1], rtol=1e-15)
        # 0.02 - 0.1 = -0.08 is cut off; 0.63 + 0.25 = 0.88 is scaled to 0.8
        np.testing.assert_allclose(values[:, 1], [0, 0.63 * 0.8 / 0.88, 0.25 * 0.8 / 0.88], rtol=1e-14)
        np.testing.assert_array_equal(values[:, 2:], base[:, 2:])
        np.testing.assert_allclose(cut, [0, 0.08, 0, 0], atol=1e-16)

    @given(
        shares=arrays(np.float64, (3, 5, 4), elements=st.floats(0, 1)),
        land=arrays(np.float64, 4, elements=st.floats(0, 1)),
    )
    def test_bounds_and_sums_for_any_shares(self, shares: NDArray[np.float64], land: NDArray[np.float64]) -> None:
        total = shares.sum(axis=1, keepdims=True)
        base, start, now = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0) * land
        base, start, now = (x if (x.sum(axis=0) > 0).all() else np.full((5, 4), land / 5) for x in (base, start, now))
        values, cut = add_change(base, now - start)
        assert values.min() >= 0
        assert values.max(initial=0) <= 1 + 1e-12
        np.testing.assert_allclose(values.sum(axis=0), base.sum(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(add_change(base, start - start)[0], base)
        whole = cut == 0
        np.testing.assert_allclose((values - base)[:, whole], (now - start)[:, whole], atol=1e-15)


class TestNearest:
    def test_the_lower_id_of_two_equally_near_cells(self) -> None:
        mesh = row_of_cells(7, np.array([60, 50, 40, 30, 20, 10, 5]))
        has = np.array([True, False, False, False, True, False, True])
        plan, distance = nearest_cells(mesh, has, ~has, ALONE)
        # cell 1 has 60; 2 lies between 60 and 20: the lower id; 3 has 20; 5 lies between 20 and 5
        np.testing.assert_array_equal(plan.apply(mesh.cell_ids.astype(float)), [60, 20, 20, 5])
        np.testing.assert_allclose(distance, np.array([1, 2, 1, 1]) * np.pi / 180 * 6371.0072, rtol=1e-6)

    def test_over_the_date_line(self) -> None:
        mesh = row_of_cells(3)
        mesh.corner_lon[:] = np.array([[179, 180, 180, 179], [-180, -179, -179, -180], [170, 171, 171, 170]])
        plan, _ = nearest_cells(mesh, np.array([False, True, True]), np.array([True, False, False]), ALONE)
        np.testing.assert_array_equal(plan.apply(np.array([0.0, 1, 2])), [1])

    def test_no_cell_has_land(self) -> None:
        mesh = row_of_cells(3)
        with pytest.raises(GridError, match="in no cell"):
            nearest_cells(mesh, np.zeros(3, bool), np.ones(3, bool), ALONE)


class TestLand:
    def test_the_hosts_mask_replaces_that_of_the_map(self) -> None:
        """Land in both; in the host only (two cells); on the map only; in none."""
        mesh, area = row_of_cells(5), np.arange(1.0, 6.0)
        classes = np.array([[0.2, 0, 0, 0.3, 0], [0.6, 0, 0, 0.1, 0]])
        mapped = classes.sum(axis=0)
        surface = HostSurface()
        surface.land = np.array([0.4, 0.9, 0.5, 0, 0])
        surface.check(mesh, ("a", "b"))
        surface.prepare(mesh, mapped, area, ALONE, 112.0)
        values = surface.on_land(classes, mapped)
        # cell 1 is nearest to cell 0 (1/4 and 3/4), cell 2 to cell 3 (3/4 and 1/4)
        expected = [[0.1, 0.225, 0.375, 0, 0], [0.3, 0.675, 0.125, 0, 0]]
        np.testing.assert_allclose(values, expected, rtol=1e-14)
        assert surface.counts["filled_cells"] == 2
        assert surface.counts["filled_area"] == pytest.approx(0.9 * 2 + 0.5 * 3)
        assert surface.counts["sea_cells"] == 1
        assert surface.counts["sea_area"] == pytest.approx(0.4 * 4)
        assert surface.counts["farthest_fill"] == pytest.approx(111.19, rel=1e-3)

    def test_land_far_from_the_map_is_refused(self) -> None:
        """Land in cells 2 and 4, and mapped land in cell 0 only: 222.4 and 444.8 km."""
        mesh, area, mapped = row_of_cells(5), np.ones(5), np.array([0.5, 0, 0, 0, 0])
        surface = HostSurface()
        surface.land = np.array([0.5, 0, 0.7, 0, 0.9])
        surface.check(mesh, ("a",))
        with pytest.raises(GridError, match="far from all land on the map") as caught:
            surface.prepare(mesh, mapped, area, ALONE, 222.0)
        assert "2 of 2 land cells" in str(caught.value)
        assert "the farthest, at 0.00 N 4.50 E, by 445 km" in str(caught.value)
        assert "exports.max_fill_distance" in str(caught.value)
        with pytest.raises(GridError) as caught:
            surface.prepare(mesh, mapped, area, ALONE, 223.0)
        assert "1 of 2 land cells" in str(caught.value)
        surface.prepare(mesh, mapped, area, ALONE, 445.0)
        assert surface.counts["filled_cells"] == 2

    @pytest.mark.parametrize(
        ("land", "base", "text"),
        [
            ([0.5, 0.5], None, "wrong shape"),
            ([0.5, np.nan, 0.5], None, "no numbers"),
            ([0.5, 1.5, 0.5], None, "0.5 to 1.5"),
            ([0.5, -0.5, 0.5], None, "no share"),
            (None, [[0.5, 0.5, 0.5]], "wrong shape"),
            ([0.5, 0.5, 0.5], [[0.5, 0.2, 0.5], [0, 0.2, 0]], "do not sum"),
        ],
    )
    def test_faults(self, land: Any, base: Any, text: str) -> None:
        surface = HostSurface()
        surface.land = None if land is None else np.array(land)
        surface.base = None if base is None else np.array(base)
        with pytest.raises(FieldError, match=text):
            surface.check(row_of_cells(3), ("a", "b"))


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    quiet = {"gross": "none"}  # a predictor without rates of gross change warns
    return {**twin_config, "predictors": [PERSISTENCE], "exports": {"transitions": True}, "allocation": quiet}


def with_surface(raw: Raw, base: NDArray[np.float64] | None, land: NDArray[np.float64] | None = None) -> LandComponent:
    component = LandComponent(config_of(raw))
    component.initialize()
    component.set_named_grid("host")
    if base is not None:
        component.set_surface(COVER, base)
    if land is not None:
        component.set_land_fraction(land)
    component.realize()
    return component


def own_surface(plain: LandComponent) -> NDArray[np.float64]:
    """Random fractions near those of the map, with land in some cells outside of it and none in some cells inside."""
    fractions, land = plain.export(COVER), plain.export(LAND).copy()
    land[::7] = 0
    land[3::11] = 0.6
    mapped = plain.export(LAND)
    shares = np.divide(fractions, mapped, out=np.full_like(fractions, 1 / 7), where=mapped > 1e-9)
    shares = 0.8 * shares + 0.2 / 7
    return shares / shares.sum(axis=0) * land


class TestComponent:
    def test_first_year_equals_the_host_then_change_is_added(self, raw: Raw) -> None:
        plain = realized(raw)
        base = own_surface(plain)
        component = with_surface(raw, base)
        np.testing.assert_array_equal(component.export(COVER), base)
        start, mapped, land = plain.export(COVER).copy(), plain.export(LAND), base.sum(axis=0)
        for year in range(2016, 2020):
            plain.run(year)
            component.run(year)
            fractions = component.export(COVER)
            np.testing.assert_allclose(fractions.sum(axis=0), land, rtol=1e-12, atol=1e-15)
            assert fractions.min() >= 0
            both = (mapped > 1e-9) & (land > 0)
            change = np.divide(plain.export(COVER) - start, mapped, out=np.zeros_like(start), where=both) * land
            free = both & ((base + change).min(axis=0) >= 0)
            assert free.sum() > 10
            np.testing.assert_allclose((fractions - base)[:, free], change[:, free], atol=1e-14)
            assert (fractions[:, land == 0] == 0).all()
        assert np.abs(change).max() > 1e-3
        counts = component.surface_counts()
        assert counts["filled_cells"] == ((mapped <= 1e-9) & (land > 0)).sum() > 0
        assert counts["sea_cells"] == ((mapped > 1e-9) & (land == 0)).sum() > 0
        np.testing.assert_array_equal(component.export(LAND), land)

    def test_the_mask_only(self, raw: Raw) -> None:
        plain = realized(raw)
        land = own_surface(plain).sum(axis=0)
        component = with_surface(raw, None, land)
        component.run(2017)
        plain.run(2017)
        np.testing.assert_allclose(component.export(COVER).sum(axis=0), land, rtol=1e-14, atol=1e-15)
        both = (plain.export(LAND) > 1e-9) & (land > 0)
        shares = component.export(COVER)[:, both] / land[both]
        np.testing.assert_allclose(shares, plain.export(COVER)[:, both] / plain.export(LAND)[both], atol=1e-13)
        moved = component.export(CHANGE).reshape(7, 7, -1)
        np.testing.assert_allclose(moved.sum(axis=0), component.export(COVER), atol=1e-14)

    def test_far_land_is_told_or_refused(self, raw: Raw) -> None:
        """The host has land in all cells, up to some hundred kilometres from the map."""
        land = np.ones(120)
        component = with_surface(raw, None, land)
        counts = component.surface_counts()
        assert counts["filled_cells"] > 50
        assert 100 < counts["farthest_fill"] < 500
        number, far = int(counts["filled_cells"]), counts["farthest_fill"]
        note = f"{number} land cells were filled with the nearest mapped land, up to {far:.0f} km away"
        assert component.warnings == {f"host grid 'host': {note}": number}
        assert realized(raw).warnings == {}
        with pytest.raises(GridError, match="far from all land on the map"):
            with_surface({**raw, "exports": {"max_fill_distance": counts["farthest_fill"] - 0.1}}, None, land)
        more = with_surface({**raw, "exports": {"max_fill_distance": counts["farthest_fill"] + 0.1}}, None, land)
        np.testing.assert_array_equal(more.export(COVER), component.export(COVER))

    def test_a_grid_of_another_region_is_told(self, raw: Raw) -> None:
        component = LandComponent(config_of(raw))
        component.initialize()
        component.set_grid(replace(row_of_cells(3), global_size=3))
        component.realize()
        assert (component.export(COVER) == 0).all()
        (warning,) = component.warnings
        assert "no cell has land of the map" in warning

    def test_arrays_of_any_kind(self, raw: Raw) -> None:
        """The same bits from single precision, integers, other orders of bytes and axes, and masked arrays."""
        plain = realized(raw)
        land = np.ones(120, np.float32)
        land[::7] = 0
        base = np.repeat(land[None] / 8, 7, axis=0)
        base[3] += land / 8
        expected = with_surface(raw, base.astype(np.float64), land.astype(np.float64)).export(COVER)
        assert not np.array_equal(expected, plain.export(COVER))
        for own, mask in (
            (base, land.astype(np.int8)),
            (np.asfortranarray(base), land.astype(bool)),
            (base.astype(">f4"), land.astype(">i2")),
            (np.repeat(base, 2, axis=1)[:, ::2], land[::-1][::-1]),
            (list(np.ma.masked_array(base)), land.tolist()),
        ):
            np.testing.assert_array_equal(with_surface(raw, own, mask).export(COVER), expected)
        hidden = np.ma.masked_array(land, np.arange(120) == 50)
        with pytest.raises(FieldError, match="no share of its cells") as caught:
            with_surface(raw, None, hidden)
        assert "no numbers" in str(caught.value)
        with pytest.raises(FieldError, match="has no numbers"):
            with_surface(raw, None, land.astype(complex))

    def test_a_continued_run_has_the_same_first_year(self, raw: Raw, tmp_path: Path) -> None:
        base = own_surface(realized(raw))
        component = with_surface(raw, base)
        component.run("2017-03-01")
        component.write_restart(tmp_path)
        component.run(2019)
        again = LandComponent(config_of(raw))
        again.initialize(tmp_path)
        again.set_named_grid("host")
        with pytest.raises(StateError, match="one part of a run only"):
            again.realize()
        again = LandComponent(config_of(raw))
        again.initialize(tmp_path)
        again.set_named_grid("host")
        again.set_surface(COVER, base)
        again.realize()
        assert not np.array_equal(again.export(COVER), base)
        again.run(2019)
        for name in (COVER, LAND, CHANGE):
            np.testing.assert_array_equal(again.export(name), component.export(name))

    def test_wrong_names_and_grids(self, raw: Raw) -> None:
        component = LandComponent(config_of(raw))
        component.initialize()
        with pytest.raises(FieldError, match="cannot set this field"):
            component.set_surface("lai", np.zeros(3))
        with pytest.raises(FieldError, match=r"set exports\.profile"):
            component.set_surface("surface_type_fraction", np.zeros(3))
        component.set_named_grid("host")
        component.set_land_fraction(np.zeros(3), grid="ocean")
        with pytest.raises(GridError, match="was not set"):
            component.realize()


class TestTransitions:
    def test_sums_are_the_fractions_before_and_after(self, raw: Raw) -> None:
        component = realized(raw)
        with pytest.raises(StateError, match="not there yet"):
            component.export(CHANGE)
        before = component.export(COVER)
        for year in (2016, 2017):
            component.run(year)
            after = component.export(COVER)
            moved = component.export(CHANGE).reshape(7, 7, -1)
            np.testing.assert_allclose(moved.sum(axis=1), before, atol=1e-14)
            np.testing.assert_allclose(moved.sum(axis=0), after, atol=1e-14)
            net = moved.sum(axis=0) - moved.sum(axis=1)
            np.testing.assert_allclose(net, after - before, atol=1e-14)
            off = moved.copy()
            off[range(7), range(7)] = 0
            assert off.min() >= 0
            assert off.sum() >= np.abs(net).sum() / 2 * (1 - 1e-12)  # gross change is no less than net change
            before = after
        types = component.exports()[CHANGE].types
        assert types[:2] == ("urban to urban", "urban to cropland")
        assert (len(types), types[7]) == (49, "cropland to urban")

    def test_against_the_maps(self, raw: Raw) -> None:
        """Transition areas equal those counted on the maps, and the diagnostics."""
        component = realized(raw)
        component.run(2016)
        inside = component.export(CHANGE) @ component.hosts["host"].area
        pairs = component.diagnostics["transition_area"].reshape(7, 7)
        off = ~np.eye(7, dtype=bool)
        np.testing.assert_allclose(inside.reshape(7, 7)[off], pairs[off], rtol=1e-9)
        assert pairs[off].max() > 0


@pytest.mark.mpi
def test_results_do_not_depend_on_the_number_of_ranks(raw: Raw, tmp_path: Path) -> None:
    """Land far from the map is filled from cells of other ranks; fields are equal bit for bit."""
    base = own_surface(realized(raw))
    np.save(tmp_path / "base.npy", base)
    path, program = tmp_path / "run.yaml", tmp_path / "host.py"
    path.write_text(yaml.safe_dump(raw))
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "comm = MPI.COMM_WORLD\n"
        "base = np.load(sys.argv[2])\n"
        "land = LandComponent(sys.argv[1], comm)\n"
        "land.initialize()\n"
        "land.set_named_grid('host')\n"
        "bounds = [base.shape[1] * r // comm.size for r in (comm.rank, comm.rank + 1)]\n"
        "land.set_surface('land_cover_fraction', base[:, slice(*bounds)])\n"
        "land.realize()\n"
        "land.run((2017, 5, 1))\n"
        "names = ('land_cover_fraction', 'land_cover_transition')\n"
        "fields = comm.gather({name: land.export(name) for name in names})\n"
        "if comm.rank == 0:\n"
        "    np.savez(sys.argv[3], **{n: np.concatenate([f[n] for f in fields], axis=-1) for n in names})\n"
        "    print('counts', land.surface_counts()['filled_cells'], flush=True)\n"
    )
    said = set()
    for ranks in (1, 3):
        done = mpirun(ranks, program, path, tmp_path / "base.npy", tmp_path / f"{ranks}.npz")
        assert done.returncode == 0, done.stdout + done.stderr
        said.add(next(line for line in done.stdout.splitlines() if line.startswith("counts")))
    assert len(said) == 1
    one, three = (np.load(tmp_path / f"{ranks}.npz") for ranks in (1, 3))
    for name in one.files:
        np.testing.assert_array_equal(one[name], three[name])

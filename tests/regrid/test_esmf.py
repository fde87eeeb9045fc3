"""ESMF's weights against YAC, closed forms, ESMF's own files, and themselves on other numbers of ranks.

ESMF lives in processes of its own here (``esmf_program.py``): its netCDF and the wheels' do not mix well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import needs
import netCDF4
import numpy as np
import pytest
import scipy.sparse as sp
from esmf_cases import CASES, FEW_POINTS, FILES, REAL, Case
from hypothesis import given
from hypothesis import strategies as st
from ranks import environment, launcher
from regrid_cases import matrix, octahedral_mesh

from ai4land_coupler.api import LatLonGrid, Mesh
from ai4land_coupler.errors import PluginError
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import unit_vectors
from ai4land_coupler.regrid.backends import esmf_mesh, esmf_runtime
from ai4land_coupler.regrid.backends.esmf import EsmfRegridder, EsmfRegridOptions, ai4land_register
from ai4land_coupler.regrid.backends.esmf_mesh import DenseIds, great_circle_polygons, name_nodes, shared_longitudes
from ai4land_coupler.regrid.backends.yac import YacRegridder

PROGRAM = Path(__file__).with_name("esmf_program.py")
MADE = sorted(set(CASES) - set(REAL))
needs_yac = pytest.mark.skipif(not needs.HAS_YAC, reason=needs.YAC)


def start(ranks: int, folder: Path, *cases: str) -> subprocess.CompletedProcess[str]:
    """Run cases of the program in its folder; a hang is a failure."""
    reason = esmf_runtime.missing(ranks)
    if reason is not None:
        needs.missing(f"ESMF on {ranks} ranks", reason)
    program = [sys.executable, "-m", "mpi4py", str(PROGRAM), str(folder), *cases]
    done = subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), *program],
        env=environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, Path]:
    """The folder of answers by number of ranks. One start for all cases: starting costs more than running."""
    folders = {ranks: tmp_path_factory.mktemp(f"esmf{ranks}") for ranks in (1, 2, 3)}
    for ranks, folder in folders.items():
        start(ranks, folder, *MADE, *(["faults"] if ranks == 2 else []))
    return folders


@pytest.fixture(scope="module")
def real_runs(tmp_path_factory, sample_data) -> dict[int, Path]:
    os.environ["AI4LAND_SAMPLE_DATA"] = str(sample_data)
    folders = {ranks: tmp_path_factory.mktemp(f"real{ranks}") for ranks in (1, 2, 3)}
    for ranks, folder in folders.items():
        start(ranks, folder, *REAL)
    return folders


class Answer:
    """The weights of all ranks together, and the areas that they used."""

    def __init__(self, folder: Path, name: str, case: Case | None = None) -> None:
        source, destination = (case or CASES[name]).grids()
        parts = [dict(np.load(path)) for path in sorted(folder.glob(f"{name}.*.npz"))]
        row, column, values = (np.concatenate([part[key] for part in parts]) for key in ("row", "column", "values"))
        assert all(np.all(np.diff(part["column"])[np.diff(part["row"]) == 0] > 0) for part in parts)
        self.matrix = sp.csr_matrix((values, (row, column)), (destination.size, source.size))
        assert self.matrix.nnz == values.size, "a pair comes twice"
        self.destination_area, self.source_area = np.empty(destination.size), np.empty(source.size)
        self.fraction = np.empty(destination.size)
        for part in parts:
            self.destination_area[part["cells"]] = part["destination_area"]
            self.fraction[part["cells"]] = part["fraction"]
            self.source_area[part["source_cells"]] = part["source_area"]

    @property
    def covered_area(self) -> np.ndarray:
        """Area of each source cell that the destination got."""
        return np.asarray(self.destination_area @ self.matrix).ravel()


def largest(difference: sp.csr_matrix) -> float:
    return float(abs(difference).max())


def yac(case: Case) -> sp.csr_matrix:
    source, destination = case.grids()
    weights = matrix(YacRegridder().build(source, destination), source.size)
    if case.norm == "fraction":
        covered = np.maximum(weights.sum(axis=1), 1e-300)
        weights = weights.multiply(1 / covered).tocsr()
    return weights


# ---- against others ------------------------------------------------------------------------------------------------


@needs_yac
@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", ["octahedron", "last", "masked"])
def test_esmf_and_yac_agree(runs, name, ranks):
    found = Answer(runs[ranks], name)
    assert found.matrix.nnz > 1000
    assert largest(found.matrix - yac(CASES[name])) < 1e-9


@needs_yac
@pytest.mark.mpi
@pytest.mark.real_data
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", ["T42", "ne30pg2", "ICON"])
def test_esmf_and_yac_agree_on_real_grids(real_runs, name, ranks):
    assert largest(Answer(real_runs[ranks], name).matrix - yac(CASES[name])) < 1e-9


def weights_of_esmf(sample_data: Path, name: str) -> tuple[sp.csr_matrix, np.ndarray]:
    """Weights of a file, and which destination cells to compare.

    The vertices of the ICON file are float32 radians, and those at the poles lie 2.5e-6 degrees beyond them: we move
    them to the pole, ESMF_RegridWeightGen took them as they are, which is 1.5e-6 of the ten cells there.
    """
    source, destination = CASES[name].grids()
    with netCDF4.Dataset(sample_data / "esmf_weights" / FILES[name]) as file:
        place = file["row"][:] - 1, file["col"][:] - 1
        weights = sp.csr_matrix((file["S"][:], place), (destination.size, source.size))
    ends = np.nanmax(np.abs(destination.corner_lat), axis=1) > 90 - 1e-5
    assert ends.sum() == (10 if name == "ICON" else ends.sum())
    return weights, np.flatnonzero(~ends) if name == "ICON" else np.arange(destination.size)


@needs_yac
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["T42", "ne30pg2", "ICON"])
def test_yac_makes_the_weights_of_esmf_files(sample_data, monkeypatch, name):
    monkeypatch.setenv("AI4LAND_SAMPLE_DATA", str(sample_data))
    expected, rows = weights_of_esmf(sample_data, name)
    assert largest((yac(CASES[name]) - expected)[rows]) < 1e-9


@pytest.mark.mpi
@pytest.mark.real_data
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(REAL))
def test_weights_equal_those_of_esmf_files(real_runs, sample_data, name, ranks):
    expected, rows = weights_of_esmf(sample_data, name)
    assert largest((Answer(real_runs[ranks], name).matrix - expected)[rows]) < 1e-9


def boxes(mesh: Mesh) -> tuple[np.ndarray, ...]:
    """West, east, sine of the southern and of the northern latitude of each cell."""
    lon, lat = mesh.corner_lon, np.sin(np.deg2rad(mesh.corner_lat))
    return np.nanmin(lon, axis=1), np.nanmax(lon, axis=1), np.nanmin(lat, axis=1), np.nanmax(lat, axis=1)


def closed_form(source: Mesh, destination: Mesh) -> np.ndarray:
    """Overlap in longitude times overlap in sin(latitude), over the destination's own product."""
    west, east, south, north = (values[None, :] for values in boxes(source))
    west2, east2, south2, north2 = (values[:, None] for values in boxes(destination))
    width = sum(
        np.clip(np.minimum(east + turn, east2) - np.maximum(west + turn, west2), 0, None) for turn in (-360, 0, 360)
    )
    height = np.clip(np.minimum(north, north2) - np.maximum(south, south2), 0, None)
    return width * height / ((east2 - west2) * (north2 - south2))


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", ["boxes", "boxes back"])
def test_parallels_agree_with_the_closed_form(runs, name, ranks):
    expected = closed_form(*CASES[name].grids())
    found = Answer(runs[ranks], name).matrix.toarray()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    assert expected.max() > 0.5


@needs_yac
@pytest.mark.mpi
def test_parallels_cut_by_great_circles_agree_with_yac(runs):
    found = Answer(runs[1], "parallels").matrix - yac(CASES["parallels"])
    assert largest(found) < 1e-7  # 4 degrees, cut into 16


# ---- what weights must be ------------------------------------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", ["octahedron", "parallels", "last", "boxes back", "second order"])
def test_area_is_conserved_and_constants_stay(runs, name, ranks):
    found = Answer(runs[ranks], name)
    if name != "boxes back":
        np.testing.assert_allclose(
            found.covered_area, found.source_area, rtol=1e-9 if name == "second order" else 1e-12
        )
        np.testing.assert_allclose(found.matrix.sum(axis=1), 1.0, rtol=1e-12)
    destination = CASES[name].grids()[1]
    np.testing.assert_allclose(found.destination_area, cell_area(destination), rtol=1e-8)
    np.testing.assert_allclose(np.asarray(found.matrix.sum(axis=1)).ravel(), found.fraction, rtol=1e-12)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", MADE)
def test_any_number_of_ranks_makes_the_same_weights(runs, name, ranks):
    one, other = Answer(runs[1], name), Answer(runs[ranks], name)
    np.testing.assert_array_equal(one.matrix.indices, other.matrix.indices)
    np.testing.assert_allclose(one.matrix.data, other.matrix.data, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(one.destination_area, other.destination_area, rtol=1e-14)


@pytest.mark.mpi
def test_masked_cells_have_no_weights(runs):
    for name in ("masked", "bilinear masked", "nearest"):
        found, (source, destination) = Answer(runs[3], name), CASES[name].grids()
        assert not np.any(found.matrix.sum(axis=0)[:, ~source.mask])
        assert not np.any(found.matrix.sum(axis=1)[~destination.mask])
        sums = np.asarray(found.matrix.sum(axis=1)).ravel()
        np.testing.assert_allclose(sums[found.matrix.getnnz(axis=1) > 0], 1.0, rtol=1e-12)
        np.testing.assert_array_equal(found.fraction > 0, sums > 0)


@pytest.mark.mpi
def test_a_linear_function_is_interpolated_between_centres(runs):
    found, (source, destination) = Answer(runs[2], "bilinear"), CASES["bilinear"].grids()
    x, y, z = unit_vectors(*source.centres()).T
    expected = unit_vectors(*destination.centres()) @ [0.3, -0.5, 0.8]
    assert np.abs(found.matrix @ (0.3 * x - 0.5 * y + 0.8 * z) - expected).max() < 0.004  # triangles of 5.6 degrees
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.mpi
def test_second_order_is_nearer_to_a_smooth_field(runs):
    found, (source, destination) = Answer(runs[1], "second order"), CASES["second order"].grids()
    field = unit_vectors(*source.centres())[:, 0]
    expected = unit_vectors(*destination.centres())[:, 0]
    first = yac(Case(CASES["second order"].grids)) @ field if needs.HAS_YAC else None
    inner = np.abs(destination.centres()[1]) < 60  # centres of polar cells are not their means
    error = np.abs(found.matrix @ field - expected)[inner].max()
    assert error < 0.004
    if first is not None:
        assert error < 0.5 * np.abs(first - expected)[inner].max()


@pytest.mark.mpi
def test_the_nearest_centre_is_taken(runs):
    found, (source, destination) = Answer(runs[3], "nearest"), CASES["nearest"].grids()
    distance = np.linalg.norm(unit_vectors(*destination.centres())[:, None] - unit_vectors(*source.centres()), axis=2)
    distance[:, ~source.mask] = np.inf
    assert found.matrix.getnnz(axis=1).tolist() == [1] * destination.size
    taken = distance[np.arange(destination.size), found.matrix.indices]
    np.testing.assert_allclose(taken, distance.min(axis=1), rtol=1e-14)


# ---- life and faults -----------------------------------------------------------------------------------------------


@pytest.mark.mpi
def test_on_a_part_of_the_ranks(tmp_path, runs):
    start(3, tmp_path, "sub-communicator")
    Answer(tmp_path, "sub-communicator", FEW_POINTS)
    assert [path.name for path in tmp_path.iterdir() if "PET" in path.name] == []


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_host_that_runs_esmf_keeps_it(tmp_path, ranks):
    start(ranks, tmp_path, "with a host")
    Answer(tmp_path, "with a host", FEW_POINTS)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("clockwise", "GridError: cells are clockwise"),
        ("missing", "GridError: a mask does not fit its cells"),
        ("nan", "GridError: corners are missing"),
        ("pole", "GridError: second-order weights are not possible from cells that meet at a pole"),
        ("method", "ConfigError: the ESMF backend does not make such weights"),
        ("other ranks", "PluginError: ESMF runs on other ranks than the land"),
        ("other order", "PluginError: ESMF runs on other ranks than the land"),
    ],
)
def test_every_rank_raises_the_error_of_one_rank(runs, case, message):
    told = [json.loads((runs[2] / f"faults.{rank}.json").read_text()).get(case, "nothing") for rank in range(2)]
    assert [text.startswith(message) for text in told] == [True, True], told


@pytest.mark.mpi
def test_no_log_files_are_left(runs):
    assert [path.name for folder in runs.values() for path in folder.iterdir() if "PET" in path.name] == []


@pytest.mark.soak
@pytest.mark.mpi
def test_a_thousand_builds_do_not_grow(tmp_path):
    used = json.loads(start(1, tmp_path, "1000").stdout.splitlines()[-1])
    # what ESMF keeps of each mesh: two heads of 2.5 kB
    assert used[-1] - used[1] < 8, used


def test_without_esmf_the_remedy_is_named(monkeypatch):
    monkeypatch.setenv("ESMFMKFILE", "/nowhere/esmf.mk")
    mesh = latlon_mesh(LatLonGrid(0, 10, 4, 0, 10, 4), "region")
    with pytest.raises(PluginError, match=r"needs ESMF and esmpy(.|\n)*(not installed|not found)(.|\n)*conda-forge"):
        EsmfRegridder(EsmfRegridOptions(closed_form=False)).build(mesh, octahedral_mesh(0))


@pytest.mark.parametrize(
    ("ranks", "lines", "reason"),
    [
        (1, ["# ESMF_COMPILER: gfortran", "# ESMF_COMM: mpiuni"], None),
        (2, ["# ESMF_COMPILER: gfortran", "# ESMF_COMM: mpiuni"], "ESMF was built without MPI"),
        (2, ["# ESMF_COMPILER: gfortran", "# ESMF_COMM: openmpi"], None),
        (1, ["# ESMF_COMPILER: intel", "# ESMF_COMM: intelmpi"], "gives no weights to Python"),
    ],
)
def test_builds_of_esmf_that_cannot_be_used(monkeypatch, tmp_path, ranks, lines, reason):
    makefile = tmp_path / "esmf.mk"
    makefile.write_text("\n".join(lines))
    monkeypatch.setenv("ESMFMKFILE", str(makefile))
    monkeypatch.setattr(esmf_runtime.importlib.util, "find_spec", lambda name: object())
    found = esmf_runtime.missing(ranks)
    assert found is None if reason is None else reason in str(found)


def test_the_plugin_registers_the_backend():
    offered: dict[str, Any] = {}

    class Offers:
        def regridder(self, name, factory, options):
            offered[name] = factory, options

    ai4land_register(Offers())
    factory, options = offered["esmf"]
    assert options is EsmfRegridOptions
    assert factory(options(subdivide=0)).options.subdivide == 0


# ---- meshes as ESMF takes them: no ESMF needed -----------------------------------------------------------------------


def cell(lon: list[float], lat: list[float], edges: str) -> Mesh:
    corners = np.array([lon], float), np.array([lat], float)
    return Mesh("one", np.zeros(1, np.int64), *corners, edges, np.ones(1, bool), 1)


@given(
    west=st.floats(-180, 180),
    south=st.floats(-90, 89),
    width=st.floats(0.01, 60),
    height=st.floats(0.5, 40),
    pieces=st.integers(1, 6),
)
def test_cells_keep_their_area_when_parallels_become_arcs(west, south, width, height, pieces):
    north = min(south + height, 90.0)
    box = cell([west, west + width, west + width, west], [south, south, north, north], "latlon")
    lon, lat, count = great_circle_polygons(box, pieces, None)
    assert count.tolist() == [lon.size]
    assert cell_area(cell(list(lon), list(lat), "great_circle"))[0] == pytest.approx(cell_area(box)[0], rel=1e-10)


def test_cells_are_cut_at_the_longitudes_of_both_grids():
    source = latlon_mesh(LatLonGrid(350, 10, 2, 40, 5, 1), "source")
    destination = latlon_mesh(LatLonGrid(-4, 8, 1, 40, 5, 1), "destination")
    breaks = shared_longitudes(source, destination, None)
    np.testing.assert_allclose(breaks, [0, 4, 10, 350, 356])
    for mesh, wanted in ((source, [350, 356, 360, 366 - 6, 364, 370]), (destination, [356, 360, 364])):
        lon, lat, count = great_circle_polygons(mesh, 1, breaks)
        on_parallel = np.isin(np.round(lat, 12), [40, 45])
        assert set(np.round(lon[on_parallel] % 360, 9)) == set(np.array(wanted) % 360)
        assert count.sum() == lon.size == 2 * on_parallel.sum() - 2 * mesh.size
    assert shared_longitudes(source, octahedral_mesh(1), None) is None


def test_narrow_cells_are_bent_but_not_cut():
    narrow, wide = (latlon_mesh(LatLonGrid(0, size, 1, 40, size, 1), "one") for size in (0.25, 0.75))
    assert great_circle_polygons(narrow, 4, None).corners.tolist() == [6]
    assert great_circle_polygons(wide, 4, None).corners.tolist() == [14]


def test_great_circles_and_meridians_are_left_alone():
    mesh = octahedral_mesh(2)
    lon, _, count = great_circle_polygons(mesh, 4, None)
    np.testing.assert_array_equal(lon, mesh.corner_lon.ravel())
    assert count.tolist() == [3] * mesh.size
    box = latlon_mesh(LatLonGrid(0, 90, 4, -90, 90, 2), "octants")
    assert great_circle_polygons(box, 0, None).corners.tolist() == [3] * 8


def test_corners_that_differ_by_rounding_are_one_node():
    lon = np.array([10.0, 10 + 1e-13, 370.0, 10.0, 77.0, 13.0, 360 - 1e-13, 0.0])
    lat = np.array([5.0, 5 - 1e-13, 5.0, 5.1, 90.0, 90.0, 0.0, 0.0])
    nodes = name_nodes(esmf_mesh.EsmfPolygons(lon, lat, np.array([8])), None)
    assert [len(set(nodes.place[part])) for part in ([0, 1, 2], [4, 5], [6, 7])] == [1, 1, 1]
    assert len(set(nodes.place)) == 4
    assert sorted(nodes.ids) == [1, 2, 3, 4]
    assert nodes.owner.tolist() == [0] * 4
    np.testing.assert_allclose(nodes.lat[nodes.place], lat, atol=1e-12)


def test_ids_beyond_32_bits_become_dense_numbers():
    ids = np.array([2**40, 7, 2**35, 2**31])
    dense = DenseIds(ids, 2**41, None)
    assert dense.numbers.tolist() == [4, 1, 3, 2]
    assert dense.ids(np.array([1, 2, 3, 4, 4])).tolist() == [7, 2**31, 2**35, 2**40, 2**40]
    few = DenseIds(np.array([5, 0]), 6, None)
    assert few.numbers.tolist() == [6, 1]
    assert few.ids(few.numbers).tolist() == [5, 0]

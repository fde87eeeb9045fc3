"""Time of making and applying conservative weights: ours, YAC alone, and ESMF alone (if esmpy is installed).

    python benchmarks/apply.py [1-degree|icosahedron] ...

From 0.25 degrees (1440 x 720) to 1 degree, and to an icosahedron of 81,920 triangles. Each side makes its weights in
its own process, to measure time and memory, with the most suitable grid type. Then it applies them to 1 and to 20
fields in double precision; the best of 15 times counts. All sides run one after the other, in several rounds.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from runner import Pairs, Report, arguments, at_most, seconds

FIELDS = 20
Apply = Callable[[np.ndarray], Any]


def icosahedron(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) on the unit sphere and counter-clockwise triangles (20 x 4**level, 3), slightly rotated."""
    golden = (1 + 5**0.5) / 2
    signs = np.array([[-1, golden], [1, golden], [-1, -golden], [1, -golden]])
    zero = np.zeros((4, 1))
    sides = [np.hstack([signs, zero]), np.hstack([zero, signs]), np.hstack([signs[:, 1:], zero, signs[:, :1]])]
    points = np.concatenate(sides)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    points = points / np.linalg.norm(points, axis=1, keepdims=True) @ turn
    from scipy.spatial import ConvexHull

    faces = ConvexHull(points).simplices.astype(np.int64)
    for _ in range(level):
        sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        ends, number = np.unique(sides, axis=0, return_inverse=True)
        middle = points[ends].sum(axis=1)
        a, b, c = faces.T
        ab, bc, ca = (number.reshape(-1, 3) + len(points)).T
        points = np.concatenate([points, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        parts = [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        faces = np.stack(parts, axis=1).reshape(-1, 3)  # neighbours follow each other, as in the grids of models
    clockwise = np.einsum("ij,ij->i", points[faces[:, 0]], np.cross(points[faces[:, 1]], points[faces[:, 2]])) < 0
    faces[clockwise] = faces[clockwise][:, ::-1]
    return points, faces


def lon_lat(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.rad2deg(np.arctan2(points[..., 1], points[..., 0])), np.rad2deg(np.arcsin(np.clip(points[..., 2], -1, 1)))


def ours(target: str) -> dict[str, Apply]:
    from ai4land_coupler.api import LatLonGrid, Mesh
    from ai4land_coupler.grids import latlon_mesh
    from ai4land_coupler.regrid.apply import RegridPlan
    from ai4land_coupler.regrid.backends.yac import YacRegridder

    source = latlon_mesh(LatLonGrid(0, 0.25, 1440, -90, 0.25, 720), "source")
    if target == "1-degree":
        host = latlon_mesh(LatLonGrid(0, 1, 360, -90, 1, 180), "host")
    else:
        points, faces = icosahedron(6)
        n = len(faces)
        host = Mesh("host", np.arange(n), *lon_lat(points[faces]), "great_circle", np.ones(n, bool), n)
    plan = RegridPlan(YacRegridder().build(source, host), source.cell_ids)
    return {"": plan.apply}


def yac_alone(target: str) -> dict[str, Apply]:
    from mpi4py import MPI

    from ai4land_coupler.regrid.backends.yac_library import import_yac

    core = import_yac().core

    def regular(name: str, n: int, m: int) -> Any:
        lon, lat = np.deg2rad(np.linspace(0, 360, n + 1)), np.deg2rad(np.linspace(-90, 90, m + 1))
        return numbered(core.BasicGrid.reg_2d_new(name, lon[:-1], lat, cyclic=[True, False]), n * m, n * (m + 1))

    def numbered(grid: Any, cells: int, corners: int) -> Any:
        grid.set_global_index(core.yac_location.YAC_LOC_CELL, np.arange(cells))
        grid.set_global_index(core.yac_location.YAC_LOC_CORNER, np.arange(corners))
        return grid

    source = regular("source", 1440, 720)
    if target == "1-degree":
        host = regular("host", 360, 180)
    else:
        points, faces = icosahedron(6)
        lon, lat = (np.deg2rad(part) for part in lon_lat(points))
        count, corners = np.full(len(faces), 3, np.int32), faces.ravel().astype(np.int32)
        host = numbered(core.BasicGrid.unstruct_new("host", count, lon, lat, corners), len(faces), len(points))
    stack = core.InterpolationStack()
    stack.add_conservative(order=1, enforced_conserv=False, partial_coverage=True)
    pair = core.DistGridPair(source, host, MPI.COMM_SELF)
    fields = [core.InterpField(grid.add_coordinates(core.yac_location.YAC_LOC_CELL)) for grid in (source, host)]
    weights = core.do_search(stack, core.InterpGrid(pair, *fields))
    one, many = weights.get_interpolation(collection_size=1), weights.get_interpolation(collection_size=FIELDS)
    return {"": lambda values: (one if len(values) == 1 else many)(values)}


def esmf_alone(target: str) -> dict[str, Apply]:
    import esmpy

    esmpy.Manager(endFlag=esmpy.EndAction.KEEP_MPI)

    def regular(n: int, m: int) -> Any:
        grid = esmpy.Grid(
            np.array([n, m]), num_peri_dims=1, staggerloc=[esmpy.StaggerLoc.CENTER, esmpy.StaggerLoc.CORNER]
        )
        for place, shift in ((esmpy.StaggerLoc.CENTER, 0.5), (esmpy.StaggerLoc.CORNER, 0.0)):
            grid.get_coords(0, place)[...] = ((np.arange(n) + shift) * 360 / n)[:, None]
            rows = grid.get_coords(1, place)
            rows[...] = (np.arange(rows.shape[1]) + shift) * 180 / m - 90
        return grid

    source = regular(1440, 720)
    if target == "1-degree":
        host, place = regular(360, 180), {"staggerloc": esmpy.StaggerLoc.CENTER}
    else:
        points, faces = icosahedron(6)
        host, place = esmpy.Mesh(2, 2, coord_sys=esmpy.CoordSys.SPH_DEG), {"meshloc": esmpy.MeshLoc.ELEMENT}
        owners = np.zeros(len(points), np.int32)
        host.add_nodes(len(points), np.arange(1, len(points) + 1), np.stack(lon_lat(points), 1).ravel(), owners)
        host.add_elements(len(faces), np.arange(1, len(faces) + 1), np.full(len(faces), 3), faces.ravel())
    fields = {
        count: (esmpy.Field(source, ndbounds=[count]), esmpy.Field(host, ndbounds=[count], **place))
        for count in (1, FIELDS)
    }
    regrid = esmpy.Regrid(
        *fields[FIELDS], regrid_method=esmpy.RegridMethod.CONSERVE, unmapped_action=esmpy.UnmappedAction.IGNORE
    )

    def run(values: np.ndarray) -> Any:  # the values are in its fields already, as a model would have them
        return regrid(*fields[len(values)])

    return {"": run}


SIDES = {"ours": ours, "YAC": yac_alone, "ESMF": esmf_alone}


def side(name: str, target: str, pipe: Connection) -> None:
    """One side in its own process: make the weights, then apply them on request."""
    begin, used = time.perf_counter(), time.process_time()
    apply = SIDES[name](target)[""]
    made = time.perf_counter() - begin, time.process_time() - used
    pipe.send((*made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    values = np.random.default_rng(0).random((FIELDS, 1440 * 720))
    cases: dict[str, Callable[[], object]] = {"1 field": lambda: apply(values[:1]), "20 fields": lambda: apply(values)}
    if name == "ours":
        interleaved, single = np.asfortranarray(values), np.asfortranarray(values.astype(np.float32))
        cases["20 fields, side by side in memory"] = lambda: apply(interleaved)
        cases["20 fields of float32, side by side"] = lambda: apply(single)
    while pipe.recv():
        pipe.send({case: min(seconds(function) for _ in range(15)) for case, function in cases.items()})


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("targets", nargs="*", default=["1-degree", "icosahedron"], metavar="TARGET")
    options = parser.parse_args()
    report = Report("apply.py", options)
    spawn = multiprocessing.get_context("spawn")
    names = [name for name, module in (("ours", "yac"), ("YAC", "yac"), ("ESMF", "esmpy")) if find_spec(module)]
    for target in options.targets:
        pipes: dict[str, Connection] = {}
        times: dict[tuple[str, str], list[float]] = {}
        for name in names:
            here, there = spawn.Pipe()
            spawn.Process(target=side, args=(name, target, there), daemon=True).start()
            pipes[name] = here
            wall, cpu, memory = here.recv()
            report.value(f"weights to {target}, {name}, wall time", wall, "s")
            report.value(f"weights to {target}, {name}, processor time", cpu, "s")
            report.value(f"weights to {target}, {name}, peak memory", memory, "MB")
        for _ in range(3):
            for name, pipe in pipes.items():
                pipe.send(True)
                for case, found in pipe.recv().items():
                    times.setdefault((name, case), []).append(found)
        for pipe in pipes.values():
            pipe.send(False)
        for (name, case), ours_found in times.items():
            other = "1 field" if case == "1 field" else "20 fields"
            for library in (lib for lib in names if name == "ours" and lib != "ours"):
                both = Pairs(ours_found, times[library, other])
                goal = at_most(0.6) if library == "YAC" and case == "20 fields" else None
                report.ratio(f"{target}, {case}: ours / {library}", both, names=("ours", library), goal=goal)
    report.end()


if __name__ == "__main__":
    main()

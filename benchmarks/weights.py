"""Time of making conservative weights: 0.25 degree to an icosahedron of 81,920 triangles, on one rank.

    python benchmarks/weights.py [CELLS_ALONG_THE_EQUATOR] [LEVEL]

Each side runs in its own process: our weights and plain YAC on its own regular grid in turns, then our weights with
ESMF, and CDO's `gencon`, if they are installed. The program prints processor seconds, wall seconds and the peak
resident memory of the whole process (including start and reading).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from runner import Pairs, ProcessCost, Report, arguments, at_most, process_cost

from ai4land_coupler.api import LatLonGrid, Mesh
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.backends import esmf_runtime


def icosahedron(level: int) -> np.ndarray:
    """Corners (20 x 4**level, 3, 3) of triangles on the unit sphere, rotated so that no edge is on a meridian."""
    golden = (1 + 5**0.5) / 2
    corners = np.array([[0, y, z * golden] for y in (-1, 1) for z in (-1, 1)], float)
    corners = np.concatenate([np.roll(corners, shift, axis=1) for shift in range(3)])
    corners /= np.linalg.norm(corners[0])
    near = np.linalg.norm(corners[:, None] - corners, axis=2)
    edge = near[near > 0].min() * 1.001
    faces = [(i, j, k) for i in range(12) for j in range(i) for k in range(j) if max(near[[i, j, k], [j, k, i]]) < edge]
    triangles = corners[np.array(faces)]
    inward = np.linalg.det(triangles) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    for _ in range(level):
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        ab, bc, ca = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a + b, b + c, c + a))
        triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    return np.asarray(triangles @ (turn * np.sign(np.linalg.det(turn))))


def grids(nlon: int, level: int) -> tuple[Mesh, Mesh]:
    source = latlon_mesh(LatLonGrid(0, 360 / nlon, nlon, -90, 360 / nlon, nlon // 2), "regular")
    points = icosahedron(level)
    lon = np.rad2deg(np.arctan2(points[..., 1], points[..., 0]))
    lat = np.rad2deg(np.arcsin(np.clip(points[..., 2], -1, 1)))
    n = len(points)
    return source, Mesh("icosahedron", np.arange(n), lon, lat, "great_circle", np.ones(n, bool), n)


def ours(backend: str, nlon: int, level: int, **options: object) -> None:
    from ai4land_coupler.registry.loading import load_plugins

    regridder = load_plugins().create("regridder", backend, options, "benchmark")
    weights = regridder.build(*grids(nlon, level), "conservative", "destination", None)
    print(f"{len(weights.values)} weights", end="")


def plain_yac(nlon: int, level: int, folder: Path) -> None:
    """YAC's own regular grid. Its weights must be written to a file and read again."""
    from mpi4py import MPI
    from scipy.io import netcdf_file

    from ai4land_coupler.regrid.backends.yac_library import import_yac

    core = import_yac().core

    points = icosahedron(level)
    distinct, corners = np.unique(points.reshape(-1, 3).round(12), axis=0, return_inverse=True)
    lon, lat = np.linspace(0, 2 * np.pi, nlon + 1), np.linspace(-np.pi / 2, np.pi / 2, nlon // 2 + 1)
    sides = [
        core.BasicGrid.reg_2d_new("regular", lon[:-1], lat, cyclic=[True, False]),
        core.BasicGrid.unstruct_new(
            "icosahedron",
            np.full(len(points), 3, np.int32),
            np.arctan2(distinct[:, 1], distinct[:, 0]),
            np.arcsin(np.clip(distinct[:, 2], -1, 1)),
            corners.ravel().astype(np.int32),
        ),
    ]
    for grid, cells, count in zip(
        sides, (nlon * nlon // 2, len(points)), (nlon * lat.size, len(distinct)), strict=True
    ):
        grid.set_global_index(core.yac_location.YAC_LOC_CELL, np.arange(cells, dtype=np.int32))
        grid.set_global_index(core.yac_location.YAC_LOC_CORNER, np.arange(count, dtype=np.int32))
    stack = core.InterpolationStack()
    stack.add_conservative(order=1, enforced_conserv=False, partial_coverage=True)
    pair = core.DistGridPair(*sides, MPI.COMM_SELF)
    fields = [core.InterpField(grid.add_coordinates(core.yac_location.YAC_LOC_CELL)) for grid in sides]
    core.do_search(stack, core.InterpGrid(pair, *fields)).write_to_file(str(folder / "plain.nc"))
    with netcdf_file(folder / "plain.nc", mmap=False) as file:
        print(f"{len(file.variables['remap_matrix'][:])} weights", end="")


def write_for_cdo(nlon: int, level: int, folder: Path) -> None:
    from netCDF4 import Dataset

    size = 360 / nlon
    (folder / "source.txt").write_text(
        f"gridtype = lonlat\nxsize = {nlon}\nysize = {nlon // 2}\nxfirst = {size / 2}\nxinc = {size}\n"
        f"yfirst = {-90 + size / 2}\nyinc = {size}\n"
    )
    destination = grids(4, level)[1]
    lon, lat = destination.centres()
    with Dataset(folder / "destination.nc", "w") as file:
        for name, length in (("grid_size", lon.size), ("grid_corners", 3), ("grid_rank", 1)):
            file.createDimension(name, length)
        file.createVariable("grid_dims", "i4", ("grid_rank",))[:] = lon.size
        file.createVariable("grid_imask", "i4", ("grid_size",))[:] = 1
        for name, centre, corner in (("lon", lon, destination.corner_lon), ("lat", lat, destination.corner_lat)):
            variables = [
                file.createVariable(f"grid_center_{name}", "f8", ("grid_size",)),
                file.createVariable(f"grid_corner_{name}", "f8", ("grid_size", "grid_corners")),
            ]
            for variable, values in zip(variables, (centre, corner), strict=True):
                variable.units = "degrees"
                variable[:] = values


def run_side(nlon: int, level: int, side: str, folder: Path) -> None:
    """One side, in its own process."""
    if side == "plain YAC":
        plain_yac(nlon, level, folder)
    elif side == "grids alone":
        grids(nlon, level)
    else:
        backend, _, pieces = side.partition(" ")
        ours(backend, nlon, level, **({"subdivide": int(pieces)} if pieces else {}))


def main() -> None:
    if sys.argv[1:2] == ["side"]:
        run_side(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
        return
    parser = arguments(__doc__)
    parser.add_argument("cells", type=int, nargs="?", default=1440, help="along the equator")
    parser.add_argument("level", type=int, nargs="?", default=6, help="of the icosahedron")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of ours and YAC")
    options = parser.parse_args()
    report = Report("weights.py", options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def cost(side: str) -> ProcessCost:
            return process_cost([sys.executable, __file__, "side", str(options.cells), str(options.level), side, name])

        report.process("grids alone", cost("grids alone"))
        if find_spec("yac"):
            turns = [(cost("yac"), cost("plain YAC")) for _ in range(options.repeat)]
            for side, found in zip(("yac", "plain YAC"), turns[-1], strict=True):
                report.process(side, found)
            cpu = Pairs([mine.cpu for mine, _ in turns], [yours.cpu for _, yours in turns])
            report.ratio("ours / YAC, processor time", cpu, names=("ours", "plain YAC"), goal=at_most(1))
        else:
            report.note("yac is not installed: not measured")
        if esmf_runtime.missing(1) is None:
            for side in ("esmf 0", "esmf 1", "esmf 4"):
                report.process(side, cost(side))
        cdo = shutil.which("cdo")
        if cdo:
            write_for_cdo(options.cells, options.level, folder)
            grid_files = [f"gencon,{folder / 'destination.nc'}", f"-const,1,{folder / 'source.txt'}"]
            report.process("cdo gencon", process_cost([cdo, "-s", "-P", "1", *grid_files, folder / "cdo.nc"]))
    report.end()


if __name__ == "__main__":
    main()

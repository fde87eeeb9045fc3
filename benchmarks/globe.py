"""Regridding from the globe at 1 km to two host grids: ICON R2B4, and a 10 km icosahedral grid over Europe.

    python benchmarks/globe.py [icon|europe] [--ranks RANKS]

The land mask is from the package global-land-mask, on the grid of HILDA+ v1.0 (36041 x 18021). The classes are
synthetic. The program prints wall time and peak memory of all ranks together, the time of one sum of classes, the error
of conservation, and the largest difference from weights that YAC makes directly for all fine cells of three regions.
ICON needs the sample data (AI4LAND_SAMPLE_DATA).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from runner import Report, arguments

from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.grids import latlon_mesh, partition, read_mesh
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.yac import YacRegridder
from ai4land_coupler.regrid.land.plan import LandPlan
from ai4land_coupler.regrid.land.weights import land_weights

LAND = LatLonGrid(-180.0, 0.009988624327190708, 36041, 90.0, -0.009988346586746064, 18021)
PLAN = BlockPlan(LAND, forcing_lattice(LAND, LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)), 16)
CLASSES = 7
ICON = "grids/icon_extpar_0010_R02B04_G.nc"
#: Centres of the regions that are compared with direct weights (degrees east, degrees north).
REGIONS = {"icon": ((-3.0, 54.0), (100.0, 0.5), (-65.0, 81.0)), "europe": ((-3.0, 54.0), (12.0, 44.0), (25.0, 68.0))}
#: Size of these regions in fine cells.
SIZE = {"icon": 900, "europe": 300}


def main() -> None:
    if sys.argv[1:2] == ["rank"]:
        run(sys.argv[2], Path(sys.argv[3]))
        return
    parser = arguments(__doc__)
    parser.add_argument("grids", nargs="*", default=["icon", "europe"], metavar="icon|europe")
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    report = Report("globe.py", options)
    mpiexec = Path(sys.executable).with_name("mpiexec")
    environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "mask.npy"
        # In a separate process, so that its memory is freed.
        subprocess.run([sys.executable, "-c", f"import globe; globe.write_mask({str(mask)!r})"], check=True, cwd=HERE)
        for name in options.grids:
            if name == "icon" and "AI4LAND_SAMPLE_DATA" not in os.environ:
                report.note("ICON R2B4 not measured: AI4LAND_SAMPLE_DATA is not set to the folder of the sample data")
                continue
            command = [mpiexec, "--oversubscribe", "-n", str(options.ranks), sys.executable, "-m", "mpi4py"]
            subprocess.run([*command, HERE / "globe.py", "rank", name, mask], check=True, env=os.environ | environment)
            for row in json.loads((mask.parent / f"{name}.json").read_text()):
                report.value(*row)
    report.end()


HERE = Path(__file__).parent


def write_mask(path: str) -> None:
    """Land of the whole grid, one bit per cell, (rows, columns / 8)."""
    from ai4land_coupler.experiments.twin.earth import land_at

    np.save(path, np.packbits(land_at(LAND.lon, LAND.lat), axis=1))


def codes_of(mask: NDArray[np.uint8], box: Box) -> NDArray[np.int8]:
    """Classes of a box, -1 in the ocean."""
    bits = np.unpackbits(np.asarray(mask[box.row0 : box.row1, box.col0 // 8 : -(-box.col1 // 8)]), axis=1)
    skip = box.col0 % 8
    land = bits[:, skip : skip + box.shape[1]]
    rows, cols = np.arange(box.row0, box.row1)[:, None] // 37, np.arange(box.col0, box.col1) // 53
    return np.where(land, (rows * 5 + cols * 3) % CLASSES, -1).astype(np.int8)


def europe() -> Mesh:
    """Triangles of 97 km2 (20 x 4**9 on the globe) with centres at 25 W to 45 E, 34 to 72 N."""
    golden = (1 + 5**0.5) / 2
    corners = np.array([[0, s, t * golden] for s in (1, -1) for t in (1, -1)], float)
    corners = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    near = np.linalg.norm(corners[:, None] - corners, axis=2) < 1.1
    faces = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]
    ]
    triangles = corners[np.array(faces)]
    inward = np.linalg.det(triangles) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    # Rotated, so that no edge is on a meridian.
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    triangles = triangles @ (turn * np.sign(np.linalg.det(turn)))
    lon, lat = np.deg2rad([10.0, 55.0])
    middle = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    for level in range(10):
        centre = triangles.mean(axis=1)
        centre /= np.linalg.norm(centre, axis=1, keepdims=True)
        reach = np.linalg.norm(triangles - centre[:, None], axis=2).max(axis=1)
        triangles = triangles[np.linalg.norm(centre - middle, axis=1) < 0.7 + reach]
        if level == 9:
            break
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        ab, bc, ca = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a + b, b + c, c + a))
        triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    x, y, z = triangles.mean(axis=1).T
    lon, lat = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    x, y, z = np.moveaxis(triangles[(lon > -25) & (lon < 45) & (lat > 34) & (lat < 72)], 2, 0)
    n = len(x)
    lon, lat = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    return Mesh("europe 10 km", np.arange(n), lon, lat, "great_circle", np.ones(n, bool), n)


def run(name: str, path: Path) -> None:
    """The measurement on one rank."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    mask = np.load(path, mmap_mode="r")
    whole = europe() if name == "europe" else read_mesh(Path(os.environ["AI4LAND_SAMPLE_DATA"]) / ICON)
    mesh = partition(whole, comm.rank, comm.size)
    owner = PLAN.owners(comm.size)
    mine = (codes_of(mask, block.core) for block in PLAN.blocks if owner[block.id] == comm.rank)
    ids = [block.id for block in PLAN.blocks if owner[block.id] == comm.rank]
    codes = {block: values for block, values in zip(ids, mine, strict=True) if (values >= 0).any()}
    land = {block: values >= 0 for block, values in codes.items()}
    before = total(comm, memory())

    comm.Barrier()
    begin, busy = time.perf_counter(), time.process_time()
    weights = land_weights(PLAN, land, mesh, YacRegridder(), comm)
    comm.Barrier()
    made = time.perf_counter() - begin
    busy = comm.allgather(time.process_time() - busy)
    plan = LandPlan(PLAN, weights, mesh, comm)
    comm.Barrier()
    ready = time.perf_counter() - begin
    fractions = plan.aggregate(codes, CLASSES)
    comm.Barrier()
    begin = time.perf_counter()
    fractions = plan.aggregate(codes, CLASSES)
    comm.Barrier()
    summed = time.perf_counter() - begin
    peak = total(comm, memory())

    on_host = total(comm, fractions @ plan.destination_area)
    on_land = total(comm, class_area(codes))
    counts = [
        total(comm, n) for n in (len(weights.runs.start), len(weights.cuts.place), sum(map(np.sum, land.values())))
    ]
    parts = comm.gather((mesh.cell_ids, fractions * plan.destination_area))
    if comm.rank == 0:
        host = f"{whole.name}, {whole.size} cells, {counts[2]} land cells, {comm.size} ranks"
        print(f"{host}: {counts[0]} runs, {counts[1]} overlaps of cut cells")
        rows = [
            (f"{host}: weights", made, "s"),
            ("  weights with plan", ready, "s"),
            ("  processor time of all ranks", sum(busy), "s"),
            ("  peak memory of all ranks", peak / 1024**3, "GiB"),
            ("  memory of all ranks before", before / 1024**3, "GiB"),
            ("  one sum of classes", summed, "s"),
        ]
        if name == "icon":
            rows.append(("  class areas against the land grid", np.abs(on_host / on_land - 1).max(), ""))
        for place in REGIONS[name]:
            off, facts = compare(mask, place, SIZE[name], whole, parts)
            print(f"  {place}: {facts}", flush=True)
            rows.append((f"  {place}: difference from direct weights", off, "of a cell"))
        path.with_name(f"{name}.json").write_text(json.dumps(rows, default=float))


def class_area(codes: dict[int, NDArray[np.int8]]) -> NDArray[np.float64]:
    area = np.zeros(CLASSES)
    for block, values in codes.items():
        core = PLAN.blocks[block].core
        rows = np.stack([np.bincount(row[row >= 0], minlength=CLASSES) for row in values])
        area += rows.T @ LAND.row_area[core.row0 : core.row1]
    return area


def compare(mask: Any, place: tuple[float, float], size: int, whole: Mesh, parts: Any) -> tuple[float, str]:
    """Largest difference of class areas in host cells completely inside a region from direct weights, and facts."""
    row, col = int(LAND.rows_of(np.array(place[1]))), int(LAND.cols_of(np.array(place[0])))
    box = Box(row - size, row + size, col - size, col + size)
    codes = codes_of(mask, box)
    # Include the ocean: YAC treats a host cell with nearly complete land as complete, and scales all its weights.
    rows, cols = np.indices(codes.shape).reshape(2, -1)
    ids = (box.row0 + rows) * LAND.nlon + box.col0 + cols
    north, south = LAND.lat_edges[box.row0], LAND.lat_edges[box.row1]
    west, east = LAND.lon_edges[box.col0], LAND.lon_edges[box.col1]
    lat, lon = whole.corner_lat, (whole.corner_lon - west + 180) % 360 - 180 + west
    # A great circle is curved, so it leaves the box of its corners.
    bend = 1.0 if size > 500 else 0.02
    inside = ((lat < north - bend) & (lat > south + bend) & (lon > west) & (lon < east)).all(axis=1)
    # Include the neighbours: otherwise YAC's rounding is not corrected on the land that they share.
    near = ((lat < north) & (lat > south) & (lon > west - bend) & (lon < east + bend)).any(axis=1)
    chosen = whole.take(np.flatnonzero(near))
    begin = time.perf_counter()
    direct = YacRegridder().build(latlon_mesh(LAND, "land", ids), chosen)
    area = RegridPlan(direct, ids).aggregate(codes[rows, cols], CLASSES) * direct.destination_area
    seconds = time.perf_counter() - begin
    everywhere = np.zeros((CLASSES, whole.size))
    for cells, values in parts:
        everywhere[:, cells] = values
    off = (np.abs(everywhere[:, chosen.cell_ids] - area) / direct.destination_area)[:, inside[near]]
    facts = f"{off.shape[1]} cells, {len(ids)} fine cells, direct in {seconds:.1f} s"
    return float(off.max()), facts


def memory() -> int:
    """Peak memory of this process (bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def total(comm: Any, value: Any) -> Any:
    return comm.allreduce(value)


if __name__ == "__main__":
    main()

"""Speed of ``ai4land prepare``, compared with copying and decompressing the same files in one run.

    python benchmarks/prepare.py                  # 300 MB of raw files, in a temporary folder
    python benchmarks/prepare.py --megabytes 3000 --folder /scratch/prepare

The raw files have the formats of LUH2 (0.25 degree, global, zlib), of HILDA+ (GeoTIFF, LZW) and of static fields. Their
values are synthetic: smooth fields with noise in the last digits, so that they compress as badly as real data. A speed
of 0.5 means that preparing takes twice as long as copying and reading. The program also prints processor times, which
vary less on a shared machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import psutil
import rasterio
import yaml
from global_land_mask import globe
from runner import Pairs, Report, arguments

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.prepare import inspect_prepared
from ai4land_coupler.experiments.twin.states import FRACTIONS, STATES
from ai4land_coupler.experiments.twin.writers import hilda_name, write_map

FORCING = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)
LAND = LatLonGrid(-180.0, 0.0625, 5760, 90.0, -0.0625, 2880)
STATIC = LatLonGrid(-180.0, 0.125, 2880, 90.0, -0.125, 1440)
CODES = np.array([11, 22, 33, 44, 55, 66], np.uint8)
FIRST = 1900


def land_of(grid: LatLonGrid) -> np.ndarray:
    lat, lon = np.meshgrid(np.clip(grid.lat, -89.9, 89.9), np.clip(grid.lon, -179.9, 179.9), indexing="ij")
    return np.asarray(globe.is_land(lat, lon))


def waves(grid: LatLonGrid, number: int, year: int) -> np.ndarray:
    """A smooth field from 0 to 1 with noise of a thousandth, different for each number and year."""
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)[None, :]
    smooth = np.sin((3 + number) * lat + 0.01 * (year - FIRST)) * np.cos((2 + number) * lon)
    noise = np.random.default_rng([number, year]).random(grid.shape, dtype=np.float32)
    return np.asarray(0.5 + 0.49 * smooth + 1e-3 * (noise - 0.5), np.float32)


def create(path: Path, grid: LatLonGrid) -> netCDF4.Dataset:
    file = netCDF4.Dataset(path, "w")
    for name, values in (("lat", grid.lat), ("lon", grid.lon)):
        file.createDimension(name, values.size)
        file.createVariable(name, "f8", (name,))[:] = values
    return file


def write_year(folder: Path, year: int, states: netCDF4.Dataset, land: dict[str, np.ndarray]) -> None:
    """One time step of the states, and one map."""
    step = year - FIRST
    states["time"][step] = year - 850
    fractions = np.stack([waves(FORCING, n, year) for n in range(len(FRACTIONS))])
    fractions *= np.float32(0.98) / fractions.sum(axis=0)
    fields = dict(zip(FRACTIONS, fractions, strict=True))
    fields |= {"secma": 100 * fractions[0], "secmb": 10 * fractions[1]}
    for name in STATES:
        states[name][step] = np.where(land["forcing"], fields[name], np.float32(1e20))
    index = np.clip(waves(LAND, 0, year) * CODES.size, 0, CODES.size - 1).astype(np.int8)
    write_map(folder / hilda_name(year), LAND, np.where(land["land"], CODES[index], np.uint8(0)))


def make_raw(folder: Path, megabytes: float) -> None:
    """Write raw files of at least this size, year by year."""
    land = {"forcing": land_of(FORCING), "land": land_of(LAND)}
    kinds = {"elevation": ("m", 3000.0), "clay": ("1", 0.4), "sand": ("1", 0.4), "organic_carbon": ("g kg-1", 60.0)}
    with create(folder / "static.nc", STATIC) as file:
        for number, (name, (units, scale)) in enumerate(kinds.items()):
            variable = file.createVariable(name, "f4", ("lat", "lon"), zlib=True, complevel=1)
            variable.units = units
            variable[:] = np.float32(scale) * waves(STATIC, number, FIRST)
    year = FIRST
    with create(folder / "states.nc", FORCING) as file:
        file.createDimension("time", None)
        time_ = file.createVariable("time", "f8", ("time",))
        time_.units, time_.calendar = "years since 850-01-01 0:0:0", "noleap"
        for name in STATES:
            variable = file.createVariable(
                name, "f4", ("time", "lat", "lon"), zlib=True, complevel=1, chunksizes=(1, *FORCING.shape)
            )
            variable.units = {"secma": "years", "secmb": "kg m-2"}.get(name, "1")
        while year < FIRST + 2 or sum(p.stat().st_size for p in folder.iterdir()) < 1e6 * megabytes:
            write_year(folder, year, file, land)
            file.sync()
            year += 1


def copy_and_read(files: list[Path], target: Path) -> tuple[float, float]:
    """Wall and processor seconds of copying and decompressing all files in one process."""
    target.mkdir()
    begin, busy = time.perf_counter(), time.process_time()
    for path in files:
        shutil.copyfile(path, target / path.name)
        if path.suffix == ".tif":
            with rasterio.open(target / path.name) as file:
                file.read(1)
            continue
        with netCDF4.Dataset(target / path.name) as file:
            file.set_auto_mask(False)
            for variable in file.variables.values():
                for step in range(variable.shape[0]) if variable.ndim == 3 else [slice(None)]:
                    variable[step]
    seconds = time.perf_counter() - begin, time.process_time() - busy
    shutil.rmtree(target)
    return seconds


def configuration(raw: Path, last: int, path: Path) -> Path:
    content = {
        "title": "benchmark",
        "legend": "hilda-v1.0-f",
        "time": {"start": FIRST, "stop": last},
        "initial": {
            "name": "hilda",
            "options": {"path": str(raw / hilda_name(FIRST)).replace(str(FIRST), "{year}"), "legend": "hilda-v1.0-f"},
        },
        "forcing": [{"name": "luh2", "options": {"states": str(raw / "states.nc")}}],
        "static": [{"name": "static", "options": {"path": str(raw / "static.nc")}}],
        "predictors": [{"name": "unet", "options": {"bundle": "twin"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def processes(root: psutil.Process) -> Iterator[psutil.Process]:
    yield root
    try:
        yield from root.children(recursive=True)
    except psutil.Error:
        return


def run_prepare(config: Path, store: Path, last: int, jobs: int) -> tuple[float, float, float]:
    """Wall and processor seconds, and the largest memory of a process (bytes)."""
    command = ["prepare", str(config), "-o", str(store), "--maps", str(FIRST), str(last), "--jobs", str(jobs)]
    begin, busy = time.perf_counter(), children_busy()
    child = subprocess.Popen(
        [sys.executable, "-m", "ai4land_coupler.cli", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    largest = 0.0
    while child.poll() is None:
        for process in processes(psutil.Process(child.pid)):
            try:
                largest = max(largest, process.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(0.05)
    if child.returncode:
        raise SystemExit("ai4land prepare failed; run it by hand: ai4land " + " ".join(command))
    return time.perf_counter() - begin, children_busy() - busy, largest


def children_busy() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--raw", type=Path, help="folder of raw files that make_raw made, instead of new ones")
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary folder")
    options = parser.parse_args()
    report = Report("prepare.py", options)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        raw = options.raw or folder / "raw"
        if options.raw is None:
            raw.mkdir()
            make_raw(raw, options.megabytes)
        files = sorted(raw.iterdir())
        last = FIRST + sum(path.suffix == ".tif" for path in files) - 1
        size = sum(p.stat().st_size for p in files) / 1e6
        report.note(f"raw: {size:.0f} MB in {len(files)} files, {FIRST} to {last}")
        config = configuration(raw, last, folder / "run.yaml")
        for jobs in options.jobs:
            os.sync()  # what was written before must not be brought to disk at the cost of what is measured
            plain, busy = copy_and_read(files, folder / "copy")
            store = folder / f"{jobs}.zarr"
            os.sync()
            wall, used, memory = run_prepare(config, store, last, jobs)
            names = (f"prepare, processes: {jobs}", "copy and decompress, one process")
            both = Pairs([wall], [plain])
            report.ratio(f"{names[0]}: speed", both, names=names, speed=True, work=size, unit="MB/s")
            report.ratio(f"{names[0]}: processor time", Pairs([used], [busy]), names=names)
            report.value("  largest process", memory / 2**20, "MiB")
            report.value("  stored", inspect_prepared(store)["bytes"] / 1e6, "MB")
            shutil.rmtree(store)
    report.end()


if __name__ == "__main__":
    main()

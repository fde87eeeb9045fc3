"""Cost of the C and Fortran interfaces for a host: copies, idle calls, repeated starts, memory.

    python benchmarks/c_interface.py [CYCLES]

Builds c_hosts/*.c and c_hosts/*.f90 with the compilers of this machine, and runs them with the real component:

- a4l_get_field of 1e5 and 1e7 doubles, compared with memcpy in alternating calls (aim: at most 1.5 times);
- a run call without a step that is due, from Fortran (aim: below 5 microseconds);
- CYCLES (2000) times init and finalize: growth of the resident memory (aim: none);
- the additional memory of a rank, with the network and without (aim for the latter: below 150 MB).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import yaml
from runner import Report, arguments, at_most

from ai4land_coupler.capi.build import build, find_compiler, flags

HERE = Path(__file__).parent / "c_hosts"
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


def run(*command: str | Path) -> str:
    """Run a program and print its output. Returns the output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, check=True, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers that the group of a pattern finds in the output of a program."""
    found = [float(item) for item in re.findall(pattern, text)]
    if not found:
        raise RuntimeError(f"the output of a program has nothing like {pattern!r}:\n{text}")
    return found


def constant_land(folder: Path) -> Path:
    """A configuration with few land cells of one degree that never change, to measure the interface only."""
    import rasterio

    codes = np.random.default_rng(5).choice(np.array([11, 22, 33, 40, 55, 66, 77], np.uint8), size=(10, 10))
    with rasterio.open(
        folder / "map.tif", "w", driver="GTiff", height=10, width=10, count=1, dtype="uint8", crs="EPSG:4326",
        transform=rasterio.Affine(0.1, 0, 0, 0, -0.1, 51),
    ) as target:  # fmt: skip
        target.write(codes, 1)
    content = {
        "title": "nothing changes",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2000, "stop": 2004},
        "initial": {"name": "hilda", "options": {"path": "map.tif", "legend": "hilda-v1.0-f", "year": 2000}},
        "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}],
        "allocation": {"method": "argmax", "gross": "none"},
    }
    path = folder / "still.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def network(folder: Path) -> Path:
    """A small twin Earth with the shipped network, predicted by one rank."""
    from ai4land_coupler.experiments.twin import TwinOptions, generate

    options = TwinOptions(
        lon0=-1.5, lon1=1.5, lat0=50.5, lat1=52.5, resolution=0.03, first_year=2010, last_year=2018, seed=3
    )
    paths = {name: str(path) for name, path in generate(options, folder / "twin").paths.items()}
    content = {
        "title": "small twin",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2015, "stop": 2018},
        "initial": {"name": "hilda", "options": {"path": paths["maps"], "legend": "hilda-v1.0-f"}},
        "forcing": [
            {"name": "ssp", "options": {"states": paths["scenario"]}},
            {"name": "luh2", "options": {"states": paths["states"]}},
        ],
        "static": [{"name": "static", "options": {"path": paths[name]}} for name in ("elevation", "soil")],
        "predictors": [{"name": "unet", "options": {"bundle": "twin"}}],
        "hosts": {"host": {"grid": "host.nc"}},
        "parallel": {"block": 3, "workers": 1},
    }
    host_grid(folder / "host.nc")
    path = folder / "network.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def host_grid(path: Path) -> None:
    """64 x 128 cells of 2.8 degrees in SCRIP format."""
    import netCDF4

    step = 360 / 128
    lon, lat = (a.reshape(-1, 1) for a in np.meshgrid(step * np.arange(128), -90 + step * np.arange(64)))
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("grid_size", lon.size)
        file.createDimension("grid_corners", 4)
        for name, values in (
            ("lon", lon + step * np.array([0, 1, 1, 0])),
            ("lat", lat + step * np.array([0, 0, 1, 1])),
        ):
            corners = file.createVariable(f"grid_corner_{name}", "f8", ("grid_size", "grid_corners"))
            corners[:] = values
            corners.units = "degrees"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("cycles", type=int, nargs="?", default=2000, help="number of starts")
    options = parser.parse_args()
    report = Report("c_interface.py", options)
    fortran, mpicc = shutil.which("gfortran"), shutil.which("mpicc")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, fortran=fortran)
        still = constant_land(folder)
        run(*find_compiler(), "-O2", HERE / "cost.c", *flags(folder).split(), "-o", folder / "cost")
        for nlon, nlat, stop in ((170, 84, 2001), (1700, 841, 21)):
            found = run(folder / "cost", still, nlon, nlat, "copy", stop)
            doubles = numbers(r"(\d+) doubles", found)[0]
            ratio = numbers(r"ratio +([\d.]+)", found)[0]
            report.value(f"a4l_get_field of {doubles:.0f} doubles / memcpy, time", ratio, goal=at_most(1.5))
        if fortran:
            linked = flags(folder, fortran=True).split()
            run(fortran, "-O2", HERE / "idle.f90", *linked, "-o", folder / "idle")
            for what, idle in zip(
                ("a new date", "the same date"),
                numbers(r"median +([\d.]+) us", run(folder / "idle", still)),
                strict=True,
            ):
                report.value(f"run without a step that is due, {what}", idle, "us", at_most(5))
        else:
            report.note("no gfortran: idle runs not measured")
        if mpicc:
            run(mpicc, "-O2", HERE / "memory.c", *flags(folder).split(), "-o", folder / "memory")
            launcher = Path(mpicc).parent / "mpiexec"
            found = run(launcher, "--oversubscribe", "-n", 2, folder / "memory", network(folder), "host", 2016)
            for torch, goal in (("yes", None), ("no", at_most(150))):
                memory = max(numbers(rf"torch {torch} .*at most +(\d+) MB", found))
                report.value(f"memory that a rank adds, with torch: {torch}", memory, "MB", goal)
        else:
            report.note("no mpicc: memory of ranks not measured")
        found = run(folder / "cost", still, 10, 10, "cycles", options.cycles)
        growth = numbers(r"([+-]\d+) KiB", found)[0]
        report.value(f"growth in {options.cycles} starts", growth, "KiB", at_most(1024))
    report.end()


if __name__ == "__main__":
    main()

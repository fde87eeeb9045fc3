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
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

from ai4land_coupler.capi.build import build, find_compiler, flags

HERE = Path(__file__).parent / "c_hosts"
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, env=ENVIRONMENT)


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
    cycles = sys.argv[1] if len(sys.argv) > 1 else "2000"
    fortran, mpicc = shutil.which("gfortran"), shutil.which("mpicc")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, fortran=fortran)
        still = constant_land(folder)
        run(*find_compiler(), "-O2", HERE / "cost.c", *flags(folder).split(), "-o", folder / "cost")
        run(folder / "cost", still, 170, 84, "copy", 2001)
        run(folder / "cost", still, 1700, 841, "copy", 21)
        if fortran:
            linked = flags(folder, fortran=True).split()
            run(fortran, "-O2", HERE / "idle.f90", *linked, "-o", folder / "idle")
            run(folder / "idle", still)
        else:
            print("no gfortran: no idle runs")
        if mpicc:
            run(mpicc, "-O2", HERE / "memory.c", *flags(folder).split(), "-o", folder / "memory")
            launcher = Path(mpicc).parent / "mpiexec"
            run(launcher, "--oversubscribe", "-n", 2, folder / "memory", network(folder), "host", 2016)
        else:
            print("no mpicc: no memory of ranks")
        run(folder / "cost", still, 10, 10, "cycles", cycles)


if __name__ == "__main__":
    main()

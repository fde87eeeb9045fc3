"""A small climate model in Python that runs AI4Land in its own time loop.

    mpiexec -n 3 python model.py CONFIG.yaml --start 2015-01-01 --stop 2018-01-01 --calendar noleap

The last of three or more ranks is the "ocean" and never calls the land; the others are the "atmosphere", on a grid of
5 x 4 degrees of their own, or on a named grid of the configuration. The time step is one day. Each day the atmosphere
gives the imports of the land (an air temperature with seasons) and runs the land to the new date. When fields have
changed, it reads them. With ``--restart-at`` it writes a restart on that day; ``--restart`` continues from a restart.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from typing import Any

import cftime
import numpy as np
from mpi4py import MPI

from ai4land_coupler import LandComponent
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.grids.mesh import Mesh

NLON, NLAT = 72, 45


def own_grid(rank: int, size: int) -> Mesh:
    """Each rank owns the cells whose number modulo ``size`` is ``rank``."""
    ids = np.arange(rank, NLON * NLAT, size, dtype=np.int64)
    west, south = 5.0 * (ids % NLON), -90.0 + 4.0 * (ids // NLON)
    lon, lat = west[:, None] + [0, 5, 5, 0], south[:, None] + [0, 0, 4, 4]
    return Mesh("model", ids, lon, lat, "latlon", np.ones(ids.size, bool), NLON * NLAT)


def days(start: str, stop: str, calendar: str) -> Iterator[Any]:
    """The ends of the model's steps, after ``start`` up to ``stop``."""
    moment, last = (cftime.datetime.strptime(text, "%Y-%m-%d", calendar=calendar) for text in (start, stop))
    while moment < last:
        moment += datetime.timedelta(days=1)
        yield moment


def temperature(lat: np.ndarray, date: Any) -> np.ndarray:
    """Air temperature (K) that depends on latitude and season."""
    season = np.cos(2 * np.pi * (date.dayofyr - 200) / 365)
    return np.asarray(300.0 - 0.4 * np.abs(lat) + 0.15 * lat * season)


def atmosphere(comm: Any, options: argparse.Namespace) -> None:
    land = LandComponent(options.config, comm)
    land.set_calendar(options.calendar)
    land.initialize(options.restart)
    if options.grid is None:
        land.set_grid(own_grid(comm.rank, comm.size))
    else:
        land.set_named_grid(options.grid)
    land.realize()
    host = land.hosts["host"]
    lat = host.mesh.centres()[1]

    seen, years = 0, {}
    for date in days(options.start, options.stop, options.calendar):
        if "air_temperature" in land.imports():
            land.import_("air_temperature", temperature(lat, date), at=date, units="K")
        land.run(date)
        if land.step_count != seen:
            seen = land.step_count
            cover = land.export("land_cover_fraction")
            years[land.year] = cover
            area = comm.reduce(cover @ host.area) if comm.size > 1 else cover @ host.area
            if comm.rank == 0:
                types = land.exports()["land_cover_fraction"].types
                print(land.year, *(f"{name} {km2 * 1e-6:.0f} km2" for name, km2 in zip(types, area, strict=True)))
        if options.restart_at == f"{date.year:04d}-{date.month:02d}-{date.day:02d}":
            land.write_restart("restarts" if options.folder is None else options.folder)

    # An error does not end the model: the land cannot go back in time, and the model continues.
    try:
        land.run(options.start)
    except Ai4LandError as error:
        if comm.rank == 0:
            print(f"error {error.host_code}: {error.what}")

    parts = comm.gather((host.mesh.cell_ids, years))
    if comm.rank == 0 and options.output is not None:
        order = np.argsort(np.concatenate([ids for ids, _ in parts]))
        whole = {str(y): np.concatenate([part[y] for _, part in parts], axis=1)[:, order] for y in years}
        np.savez(options.output, **whole)
    land.finalize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--start", required=True, help="first day of the model, as 2015-01-01")
    parser.add_argument("--stop", required=True, help="day on which it ends")
    parser.add_argument("--calendar", default="standard", help="any calendar of cftime")
    parser.add_argument("--grid", help="a grid of the configuration's `hosts`; default: the model's own")
    parser.add_argument("--restart", help="folder of restarts to continue from")
    parser.add_argument("--restart-at", help="day on which a restart is written")
    parser.add_argument("--folder", help="folder of that restart; default: restarts")
    parser.add_argument("-o", "--output", help="fractions of each year, as .npz")
    options = parser.parse_args()

    world = MPI.COMM_WORLD
    ocean = world.size > 2 and world.rank == world.size - 1
    comm = world.Split(int(ocean), world.rank)
    if ocean:
        print("ocean: nothing to do with land")
    else:
        atmosphere(comm, options)


if __name__ == "__main__":
    main()

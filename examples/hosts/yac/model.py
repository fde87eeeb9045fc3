"""A toy atmosphere on its own ranks and grid that gets the evolving land through YAC.

    mpiexec -n 2 ai4land couple run.yaml : -n 2 python model.py --start 2015 --stop 2018 -o received.npz

Its grid is a band of 3 x 2 degree cells, divided over its ranks; its time step is one day. Each day it puts the air
temperature (the land gets monthly means) and tries to get the land cover, which YAC delivers on 1 January.
"""

from __future__ import annotations

import argparse

import numpy as np
from mpi4py import MPI  # before yac, which then uses the MPI library that mpi4py found

# isort: split
import yac
from yac import Action, Calendar, Field, InterpolationStack, Location, Reduction, TimeUnit, UnstructuredGrid

CALENDARS = {
    "proleptic_gregorian": Calendar.PROLEPTIC_GREGORIAN,
    "noleap": Calendar.YEAR_OF_365_DAYS,
    "360_day": Calendar.YEAR_OF_360_DAYS,
}
ISO = TimeUnit.ISO_FORMAT


def cells(rank: int, size: int, west: float, south: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Global ids, and corner longitudes and latitudes (n, 4) in degrees, of this rank's columns: 6 x 4 cells."""
    columns = np.array_split(np.arange(6), size)[rank]
    col, row = (a.ravel() for a in np.meshgrid(columns, np.arange(4)))
    lon, lat = west + 3.0 * col[:, None], south + 2.0 * row[:, None]
    return row * 6 + col, lon + np.array([0, 3, 3, 0]), lat + np.array([0, 0, 2, 2])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--start", type=int, required=True)
    parser.add_argument("--stop", type=int, required=True)
    parser.add_argument("--calendar", choices=CALENDARS, default="proleptic_gregorian")
    parser.add_argument("--land-grid", default="host", help="grid of the land component")
    parser.add_argument("--types", type=int, default=7, help="types of land_cover_fraction")
    parser.add_argument("--put-temperature", action="store_true")
    parser.add_argument("--couples-in-file", action="store_true", help="the land reads them: ai4land couple --coupling")
    parser.add_argument("--corner", type=float, nargs=2, default=(-9.0, 48.0), metavar=("WEST", "SOUTH"))
    parser.add_argument("-o", "--output", required=True)
    return parser.parse_args()


class Atmosphere:
    """The component, its grid and its fields in YAC, and the couples with the land."""

    def __init__(self, options: argparse.Namespace) -> None:
        yac.def_calendar(CALENDARS[options.calendar])
        self.coupler = yac.YAC()
        self.coupler.def_datetime(f"{options.start:04d}-01-01T00:00:00", f"{options.stop:04d}-01-01T00:00:00")
        component = self.coupler.def_comp("atmosphere")
        self.comm = component.comp_comm

        self.ids, lon, lat = cells(self.comm.rank, self.comm.size, *options.corner)
        self.area = np.deg2rad(3.0) * np.diff(np.sin(np.deg2rad(lat[:, [0, 2]])), axis=1)[:, 0]
        corners, index = np.unique((lon + 1j * lat).ravel(), return_inverse=True)
        where = np.deg2rad(corners.real), np.deg2rad(corners.imag)
        grid = UnstructuredGrid("band", np.full(self.ids.size, 4), *where, index.ravel(), use_ll_edges=True)
        grid.set_global_index(self.ids.astype(np.int32), Location.CELL)
        points = grid.def_points(Location.CELL, np.deg2rad(lon.mean(axis=1)), np.deg2rad(lat.mean(axis=1)))

        self._couples_in_file = options.couples_in_file
        here, there = ("atmosphere", "band"), ("ai4land", options.land_grid)
        self.land = Field.create("land_cover_fraction", component, points, options.types, "P1D", ISO)
        self._couple(*there, *here, "land_cover_fraction", "P1Y", Reduction.TIME_NONE)
        self.temperature = None
        if options.put_temperature:
            self.temperature = Field.create("air_temperature", component, points, 1, "P1D", ISO)
            self._couple(*here, *there, "air_temperature", "P1M", Reduction.TIME_AVERAGE)
        # the land reads the couples of docs/yac.md, which has this field too
        self.leaves = Field.create("lai", component, points, 12, "P1D", ISO) if options.couples_in_file else None
        self.coupler.enddef()

    def _couple(
        self, source: str, grid: str, target: str, target_grid: str, field: str, period: str, mean: Reduction
    ) -> None:
        if self._couples_in_file:
            return
        conservative = InterpolationStack()
        conservative.add_conservative(order=1, enforced_conserv=False, partial_coverage=True)
        conservative.add_fixed(0.0)
        self.coupler.def_couple(source, grid, field, target, target_grid, field, period, ISO, mean, conservative)

    def step(self) -> np.ndarray | None:
        """One day: put the temperature, and get the land if it arrives today; else return ``None``."""
        if self.temperature is not None:
            season = -np.cos(2 * np.pi * (int(self.land.datetime.split("-")[1]) - 1) / 12)
            self.temperature.put(np.full((1, self.ids.size), 283.0 + 8.0 * season))
        if self.leaves is not None:
            self.leaves.get()
        values, action = self.land.get()
        return np.array(values) if action in (Action.COUPLING, Action.GET_FOR_RESTART) else None


def main() -> None:
    options = arguments()
    model = Atmosphere(options)
    years, received = [], []
    while model.land.datetime < model.coupler.end_datetime:
        today = model.land.datetime
        values = model.step()
        if values is not None:
            years.append(int(today.split("-")[0]))
            received.append(values)

    parts = model.comm.gather((model.ids, np.array(received), model.area), root=0)
    if parts is not None:
        order = np.argsort(np.concatenate([part[0] for part in parts]))
        fractions = np.concatenate([part[1] for part in parts], axis=-1)[..., order]
        area = np.concatenate([part[2] for part in parts])[order]
        np.savez(options.output, years=years, land_cover_fraction=fractions, area=area)
        for year, values in zip(years, fractions, strict=True):
            print(year, " ".join(f"{share:.4f}" for share in (values * area).sum(axis=1) / area.sum()), flush=True)
    model.coupler.cleanup()
    if not MPI.Is_finalized():
        MPI.Finalize()


if __name__ == "__main__":
    main()

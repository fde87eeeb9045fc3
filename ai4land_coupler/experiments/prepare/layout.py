"""Layout of a prepared store: groups, arrays, shards and CF attributes.

There are three groups, and xarray can open each as a data set, as each has its own coordinates: ``maps`` (native codes
of the legend, uint8), ``forcing`` (on the forcing cells that the land grid needs), ``static`` (on the land grid).
Conventions: CF 1.11 (https://cfconventions.org).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.experiments.prepare.shard import CHECKSUM, LEVEL
from ai4land_coupler.store.format import flat_attribute
from ai4land_coupler.store.layout import UNWRITTEN

FORMAT = 1
#: Attribute of the root group: marks a prepared store and describes it as JSON text.
ATTRIBUTE = "ai4land_prepared"
#: File with the checksums of the store. It lies in the folder of a coordinate, because Zarr readers warn about unknown
#: files at the root.
MARKER = "maps/year/prepared.json"
LAND_COVER = "land_cover"
#: Arrays that are not variables.
COORDINATES = ("lat", "lon", "year", "time")

Part = Literal["maps", "forcing", "static"]
PARTS: tuple[Part, ...] = get_args(Part)

#: Rows and columns of the chunks inside a shard. A reader decompresses whole chunks, so large chunks make the small
#: windows of a training slow (256 land cells, 11 forcing cells).
CHUNK: Mapping[Part, int] = {"maps": 256, "forcing": 128, "static": 256}
#: Largest number of cells of a shard (at least one row of chunks). For forcing, of all variables of a piece together.
#: Making a piece needs about 30 bytes of memory per cell.
CELLS: Mapping[Part, int] = {"maps": 8 << 20, "forcing": 16 << 20, "static": 8 << 20}
#: Largest number of columns of a shard, which limits the size of a piece on any grid.
COLUMNS: Mapping[Part, int] = {"maps": 1 << 16, "forcing": 1 << 16, "static": 1 << 13}


@dataclass(frozen=True)
class PreparedVariable:
    """A variable of a store. ``years``: the stored years in rising order; ``None`` if it does not depend on time."""

    part: Part
    name: str
    units: str
    long_name: str
    years: tuple[int, ...] | None
    source: str

    @property
    def array(self) -> str:
        return f"{self.part}/{self.name}"


@dataclass(frozen=True)
class Piece:
    """The unit of work: one shard of each variable in ``names``, of one year."""

    part: Part
    names: tuple[str, ...]
    year: int | None
    box: Box

    @property
    def id(self) -> str:
        """Name of the piece in the journal."""
        what = self.names[0] + (f"+{len(self.names) - 1}" if len(self.names) > 1 else "")
        return f"{self.part}-{what}-{'fixed' if self.year is None else self.year}-{self.box.row0}-{self.box.col0}"


@dataclass(frozen=True)
class PreparedLayout:
    """Grids and variables of a prepared store.

    Parameters
    ----------
    land, legend:
        Land grid, and legend of the maps.
    forcing:
        Grid of the forcing cells that cover the land grid. ``None`` for a run without forcing.
    lattice:
        Grid of the original forcing. A run plans its blocks on it.
    """

    land: LatLonGrid
    legend: str
    forcing: LatLonGrid | None
    lattice: LatLonGrid | None
    variables: tuple[PreparedVariable, ...]

    def of(self, part: Part) -> tuple[PreparedVariable, ...]:
        return tuple(v for v in self.variables if v.part == part)

    def grid(self, part: Part) -> LatLonGrid | None:
        return self.forcing if part == "forcing" else self.land

    def years(self, part: Part) -> tuple[int, ...]:
        """All years of a part, in rising order."""
        return tuple(sorted({year for v in self.of(part) for year in v.years or ()}))

    def chunks(self, part: Part) -> tuple[int, int]:
        grid = self.grid(part)
        assert grid is not None
        return min(CHUNK[part], grid.nlat), min(CHUNK[part], grid.nlon)

    def shards(self, part: Part) -> tuple[int, int]:
        """Size of a shard in (lat, lon): whole chunks, and as wide as the grid if that is within the limits."""
        grid, (rows, cols) = self.grid(part), self.chunks(part)
        assert grid is not None
        across = max(1, min(-(-grid.nlon // cols), COLUMNS[part] // cols))
        down = max(1, min(-(-grid.nlat // rows), CELLS[part] // (rows * cols * across)))
        return down * rows, across * cols

    def boxes(self, part: Part) -> Iterator[Box]:
        """The boxes of the shards, clipped to the grid."""
        grid, (rows, cols) = self.grid(part), self.shards(part)
        assert grid is not None
        for row in range(0, grid.nlat, rows):
            for col in range(0, grid.nlon, cols):
                yield Box(row, row + rows, col, col + cols).intersect(grid.box)

    def pieces(self) -> Iterator[Piece]:
        """All pieces of work.

        A piece of maps or static fields has one variable. A piece of forcing has as many as memory allows, because all
        states of a cell are read and checked together.
        """
        for part in PARTS:
            if not self.of(part):
                continue
            rows, cols = self.shards(part)
            together = max(1, CELLS[part] // (rows * cols)) if part == "forcing" else 1
            for year in (*self.years(part), None):
                names = [
                    v.name for v in self.of(part) if (v.years is None if year is None else year in (v.years or ()))
                ]
                for first in range(0, len(names), together):
                    for box in self.boxes(part):
                        yield Piece(part, tuple(names[first : first + together]), year, box)

    def describe(self) -> dict[str, Any]:
        """The layout as plain JSON, which :meth:`parse` reads."""
        return {
            "format": FORMAT,
            "land": _numbers(self.land),
            "legend": self.legend,
            "forcing": _numbers(self.forcing),
            "lattice": _numbers(self.lattice),
            "variables": [asdict(v) for v in self.variables],
        }

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> PreparedLayout:
        variables = [{**v, "years": None if v["years"] is None else tuple(v["years"])} for v in content["variables"]]
        grids = {key: None if content[key] is None else LatLonGrid(*content[key]) for key in ("forcing", "lattice")}
        return cls(
            LatLonGrid(*content["land"]),
            content["legend"],
            **grids,
            variables=tuple(PreparedVariable(**v) for v in variables),
        )


def _numbers(grid: LatLonGrid | None) -> list[float] | None:
    return None if grid is None else [grid.lon0, grid.dlon, grid.nlon, grid.lat0, grid.dlat, grid.nlat]


def make_groups(path: Path, layout: PreparedLayout, attrs: Mapping[str, Any]) -> None:
    """Write the groups, the metadata of all arrays, and the coordinates, without synchronising them to disk."""
    import zarr
    from zarr.codecs import ZstdCodec

    codec = ZstdCodec(level=LEVEL, checksum=CHECKSUM)
    root = zarr.create_group(
        path, zarr_format=3, attributes={"Conventions": "CF-1.11", **{k: flat_attribute(v) for k, v in attrs.items()}}
    )
    for part in PARTS:
        grid = layout.grid(part)
        if grid is None:
            continue
        group = root.create_group(part, attributes={"Conventions": "CF-1.11"})
        for name, (dims, values, attributes) in _coordinates(layout, part, grid).items():
            array = group.create_array(
                name,
                shape=values.shape,
                dtype=values.dtype,
                chunks=tuple(max(1, n) for n in values.shape),
                compressors=codec,
                dimension_names=dims,
                attributes=attributes,
                # By default Zarr writes no file for a chunk of fill values (0): the file would look lost.
                config={"write_empty_chunks": True},
            )
            array[...] = values
        years = layout.years(part)
        for variable in layout.of(part):
            cover = part == "maps"
            time = () if variable.years is None else (1,)
            group.create_array(
                variable.name,
                shape=(*((len(years),) if time else ()), *grid.shape),
                dtype="uint8" if cover else "float32",
                chunks=(*time, *layout.chunks(part)),
                shards=(*time, *layout.shards(part)),
                compressors=codec,
                fill_value=UNWRITTEN if cover else float("nan"),
                dimension_names=(*(("year",) if time else ()), "lat", "lon"),
                attributes=_attributes(layout, variable),
            )


def _attributes(layout: PreparedLayout, variable: PreparedVariable) -> dict[str, Any]:
    attrs: dict[str, Any] = {"long_name": variable.long_name or variable.name, "source": variable.source}
    if variable.years is not None:
        attrs |= {"coordinates": "time", "years": list(variable.years)}
    if variable.part != "maps":
        return attrs | {"units": variable.units}
    legend = get_legend(layout.legend)
    return attrs | {
        "flag_values": [*legend.ocean, *legend.codes],
        "flag_meanings": " ".join([*(f"outside_{code}" for code in legend.ocean), *legend.names.values()]),
        "legend": legend.name,
    }


def _coordinates(
    layout: PreparedLayout, part: Part, grid: LatLonGrid
) -> dict[str, tuple[tuple[str, ...], np.ndarray[Any, Any], dict[str, Any]]]:
    found: dict[str, tuple[tuple[str, ...], np.ndarray[Any, Any], dict[str, Any]]] = {
        "lat": (("lat",), grid.lat, {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}),
        "lon": (("lon",), grid.lon, {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}),
    }
    years = layout.years(part)
    if years:
        start = datetime.date(years[0], 1, 1)
        days = np.array([(datetime.date(year, 1, 1) - start).days for year in years], np.int32)
        time = {
            "standard_name": "time",
            "long_name": "1 January of the year",
            "units": f"days since {years[0]:04d}-01-01",
            "calendar": "proleptic_gregorian",
        }
        found["year"] = (("year",), np.array(years, np.int32), {"long_name": "year"})
        found["time"] = (("year",), days, time)
    return found

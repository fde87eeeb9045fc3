"""The contents of an output store: its arrays, their dimensions, chunks and CF attributes.

Conventions: CF 1.11 (https://cfconventions.org). The dimension ``year`` is an integer coordinate, so that users can
select ``.sel(year=2050)``. The store also has the CF time coordinate ``time`` (1 January of the year).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import Legend, legend_names
from ai4land_coupler.errors import ConfigError

#: Fill value of maps, which means "never written"; no legend may use it as a code.
UNWRITTEN = 255
#: netCDF's default fill value of floats. It is not NaN, because Zarr does not write a shard that equals the fill value
#: everywhere, and then an all-NaN shard would look like a lost one.
FLOAT_FILL = 9.969209968386869e36

FORMAT = 1
ATTRIBUTE = "ai4land_store"
#: Key of the description: the fields whose years are written later than those of the maps, and by how many years.
BEHIND = "behind"
YEAR = "year"
CLASS = "land_class"


@dataclass(frozen=True)
class LandField:
    """A continuous field on the land grid: (year, lat, lon), or with 12 samples (year, month, lat, lon), float32.

    ``behind``: a year of the field is written when this number of later years of the run are: 1 for the months of a
    year, which are known when the next year begins. The last years of a run then have none.
    """

    name: str
    units: str
    samples: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)
    behind: int = 0

    @property
    def sample_dim(self) -> str:
        return "month" if self.samples == 12 else f"{self.name}_sample"


@dataclass(frozen=True)
class Diagnostic:
    """A time series: (year,), or (year, ``dim``) with one value for each of ``labels``; float64."""

    name: str
    units: str
    dim: str | None = None
    labels: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HostField:
    """A field on every host grid, float64.

    (year, cell); (year, land_class, cell) with ``by_class``; (year, ``<name>_type``, cell) with its own ``types``.
    """

    name: str
    units: str
    by_class: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
    types: tuple[str, ...] = ()

    @property
    def dim(self) -> str | None:
        """Name of the dimension of types, or ``None`` if the field has none."""
        return CLASS if self.by_class else f"{self.name}_type" if self.types else None


@dataclass(frozen=True, eq=False)
class HostLayout:
    """A host grid: cell centres (degrees) and areas (m2), each (cell,), in the order of the global ids.

    ``classes`` names the surface types of the host; empty means the classes of the legend's view.
    """

    cells: int
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    area: NDArray[np.float64]
    classes: tuple[str, ...] = ()
    mesh_hash: str = ""


@dataclass(frozen=True, eq=False)
class StoreLayout:
    """The layout of a store, which is fixed when the store is made.

    Parameters
    ----------
    grid, legend:
        The land grid, and the legend of the native codes.
    years:
        All years that the run will write, in run order; they may go backward and have any step.
    hosts, host_fields:
        Host grids by name; every host has every host field.
    land_fields, diagnostics:
        Continuous results and time series, in addition to ``land_cover`` and ``class_area``.
    shard, chunk:
        Edge length in cells of a shard (one file) and of the chunks in it (the unit of decompression).

    Raises
    ------
    ConfigError
        Two names are equal, years are not monotonic, or a shard is not a whole number of chunks.
    """

    grid: LatLonGrid
    years: tuple[int, ...]
    legend: Legend
    hosts: Mapping[str, HostLayout] = field(default_factory=dict)
    host_fields: tuple[HostField, ...] = (
        HostField("land_cover_fraction", "1", True, {"standard_name": "area_fraction"}),
    )
    land_fields: tuple[LandField, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    shard: int = 1024
    chunk: int = 256

    def __post_init__(self) -> None:
        steps = np.sign(np.diff(self.years)) if len(self.years) > 1 else np.ones(1)
        if not self.years or abs(steps.sum()) != steps.size or not 1 <= min(self.years) <= max(self.years) <= 9999:
            raise ConfigError(
                "the years of a store must run one way",
                expected="at least one year between 1 and 9999, all rising or all falling",
                found=self.years,
            )
        if self.chunk < 1 or self.shard % self.chunk:
            raise ConfigError(
                "a shard must hold whole chunks",
                expected=f"a multiple of {self.chunk} cells",
                found=self.shard,
                where="shard",
            )
        if UNWRITTEN in self.legend.codes or UNWRITTEN in self.legend.ocean:
            raise ConfigError(
                f"legend {self.legend.name!r} uses the code that marks unwritten cells of a store", found=UNWRITTEN
            )
        names = [item.name for item in self.yearly()] + [item.name for item in self.fixed()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError("two arrays of a store would have the same name", found=", ".join(twice))
        for item in self.diagnostics:
            labels = self.labels_of(item.dim)
            if (item.dim is None) != (not item.labels) or item.labels != labels:
                raise ConfigError(
                    f"diagnostic {item.name!r} does not fit its dimension",
                    expected=f"{item.dim}: {labels}",
                    found=item.labels,
                )
        for name, host in self.hosts.items():
            sizes = {"lon": host.lon.shape, "lat": host.lat.shape, "area": host.area.shape}
            if host.cells < 1 or any(size != (host.cells,) for size in sizes.values()):
                raise ConfigError(
                    "the coordinates of a host grid do not fit its size",
                    expected=f"{max(host.cells, 1)} cells",
                    found=sizes,
                    where=f"host {name}",
                )

    def labels_of(self, dim: str | None) -> tuple[str, ...]:
        """The labels of a dimension of diagnostics, from the first diagnostic that uses it."""
        if dim == CLASS:
            return self.legend.classes
        return next((item.labels for item in self.diagnostics if item.dim == dim), ())

    @property
    def chunks(self) -> tuple[int, int]:
        """Inner chunk in (lat, lon), clipped to the grid."""
        return min(self.chunk, self.grid.nlat), min(self.chunk, self.grid.nlon)

    @property
    def shards(self) -> tuple[int, int]:
        """Shard in (lat, lon): whole chunks, but not more than the grid needs."""
        rows, cols = self.chunks
        return (
            min(self.shard // rows, -(-self.grid.nlat // rows)) * rows,
            min(self.shard // cols, -(-self.grid.nlon // cols)) * cols,
        )

    def describe(self) -> dict[str, Any]:
        """The facts that must agree between a run and a store that it continues; plain JSON."""
        grid = self.grid
        behind = {f.name: f.behind for f in self.land_fields if f.behind}
        text = {
            "format": FORMAT,
            "grid": [grid.lon0, grid.dlon, grid.nlon, grid.lat0, grid.dlat, grid.nlat],
            "years": self.years,
            "legend": self.legend.name,
            "classes": self.legend.classes,
            "shard": self.shards,
            "hosts": {n: [h.cells, h.mesh_hash, *(h.classes or self.legend.classes)] for n, h in self.hosts.items()},
            "host_fields": sorted([f.name, f.units, *f.types] for f in self.host_fields),
            "land_fields": sorted([f.name, f.units, f.samples] for f in self.land_fields),
            **({BEHIND: behind} if behind else {}),
            "diagnostics": sorted([d.name, d.units, *d.labels] for d in self.diagnostics),
        }
        if self.legend.name not in legend_names():
            text["legend_definition"] = self.legend.describe()  # Readers of the store do not have the user's file.
        described: dict[str, Any] = json.loads(json.dumps(text))
        return described

    def yearly(self) -> list[YearlyArray]:
        """The arrays that get a chunk (or a layer of shards) each year."""
        area = Diagnostic(
            "class_area", "m2", CLASS, self.legend.classes, {"long_name": "area of each class on the land grid"}
        )
        return [
            self._land_cover(),
            *(self._series(item) for item in (area, *self.diagnostics)),
            *(self._land(item) for item in self.land_fields),
            *(self._on_host(name, item) for name in self.hosts for item in self.host_fields),
        ]

    def _land_cover(self) -> YearlyArray:
        legend = self.legend
        attrs = {
            "long_name": "land use and land cover on 1 January",
            "flag_values": [*legend.ocean, *legend.codes],
            "flag_meanings": " ".join([*(f"outside_{code}" for code in legend.ocean), *legend.names.values()]),
            "legend": legend.name,
            "coordinates": "time",
            "cell_measures": "area: cell_area",
        }
        shape = (len(self.years), *self.grid.shape)
        return YearlyArray(
            "land_cover", (YEAR, "lat", "lon"), shape, "uint8", attrs, (1, *self.chunks), (1, *self.shards)
        )

    def _series(self, item: Diagnostic) -> YearlyArray:
        dims = (YEAR,) if item.dim is None else (YEAR, item.dim)
        shape = (len(self.years), len(item.labels))[: len(dims)]
        return YearlyArray(
            item.name, dims, shape, "float64", {"units": item.units, "coordinates": "time", **item.attrs}
        )

    def _land(self, item: LandField) -> YearlyArray:
        several = item.samples > 1
        samples = (item.samples,) if several else ()
        return YearlyArray(
            item.name,
            (YEAR, item.sample_dim, "lat", "lon") if several else (YEAR, "lat", "lon"),
            (len(self.years), *samples, *self.grid.shape),
            "float32",
            {"units": item.units, "coordinates": "time", "cell_measures": "area: cell_area", **item.attrs},
            (1, 1, *self.chunks) if several else (1, *self.chunks),
            (1, *samples, *self.shards),
        )

    def _on_host(self, host: str, item: HostField) -> YearlyArray:
        layout = self.hosts[host]
        labels = (layout.classes or self.legend.classes) if item.by_class else item.types
        dims = () if item.dim is None else (item.dim,)
        return YearlyArray(
            f"hosts/{host}/{item.name}",
            (YEAR, *dims, "cell"),
            (len(self.years), *((len(labels),) if dims else ()), layout.cells),
            "float64",
            {"units": item.units, "coordinates": "time lat lon", "cell_measures": "area: cell_area", **item.attrs},
        )

    def fixed(self) -> list[FixedArray]:
        """The coordinates, written once."""
        legend, grid = self.legend, self.grid
        lon = {"standard_name": "longitude", "units": "degrees_east"}
        lat = {"standard_name": "latitude", "units": "degrees_north"}
        area = {"standard_name": "cell_area", "units": "m2"}
        view = {
            "long_name": "class of the legend's view",
            "legend": legend.name,
            "codes": [" ".join(str(code) for code in v.codes) for v in legend.view],
            "colours": [v.colour for v in legend.view],
        }
        arrays = [
            *year_coordinates(self.years),
            FixedArray("lat", ("lat",), grid.lat, {**lat, "axis": "Y"}),
            FixedArray("lon", ("lon",), grid.lon, {**lon, "axis": "X"}),
            FixedArray("cell_area", ("lat",), grid.row_area, {**area, "long_name": "area of one cell of the row"}),
            FixedArray(CLASS, (CLASS,), np.array(legend.classes), view),
        ]
        for dim in dict.fromkeys(item.dim for item in self.diagnostics):
            if dim is not None and dim != CLASS:
                arrays.append(FixedArray(dim, (dim,), np.array(self.labels_of(dim)), {}))
        for dim, samples in {item.sample_dim: item.samples for item in self.land_fields if item.samples > 1}.items():
            arrays.append(FixedArray(dim, (dim,), np.arange(1, samples + 1, dtype=np.int32), {}))
        for host, layout in self.hosts.items():
            at = f"hosts/{host}/"
            arrays += [
                *year_coordinates(self.years, at),
                FixedArray(at + "lat", ("cell",), layout.lat, lat),
                FixedArray(at + "lon", ("cell",), layout.lon, lon),
                FixedArray(at + "cell_area", ("cell",), layout.area, area),
                FixedArray(at + CLASS, (CLASS,), np.array(layout.classes or legend.classes), {}),
            ]
            arrays += [
                FixedArray(at + f.dim, (f.dim,), np.array(f.types), {}) for f in self.host_fields if f.types and f.dim
            ]
        return arrays


@dataclass(frozen=True)
class YearlyArray:
    """An array whose first dimension is the year. Without ``shards`` each year is one chunk."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: dict[str, Any]
    chunks: tuple[int, ...] = ()
    shards: tuple[int, ...] = ()


@dataclass(frozen=True)
class FixedArray:
    """A coordinate."""

    name: str
    dims: tuple[str, ...]
    values: NDArray[Any]
    attrs: dict[str, Any]


def year_coordinates(years: Sequence[int], at: str = "") -> list[FixedArray]:
    """The coordinates ``year`` and ``time`` of a group; ``at`` is the path of the group with a slash at its end."""
    first = min(years)
    start = datetime.date(first, 1, 1)
    time = {
        "standard_name": "time",
        "long_name": "1 January of the year",
        "units": f"days since {first:04d}-01-01",
        "calendar": "proleptic_gregorian",
    }
    days = np.array([(datetime.date(y, 1, 1) - start).days for y in years], np.int32)
    year = {"long_name": "year; a state holds from its 1 January up to the next step"}
    return [
        FixedArray(at + YEAR, (YEAR,), np.array(years, np.int32), year),
        FixedArray(at + "time", (YEAR,), days, time),
    ]

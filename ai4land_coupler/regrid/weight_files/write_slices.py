"""Write the weights of a huge raster in slices, so that memory stays small.

The layout is that of :mod:`ai4land_coupler.regrid.weight_files.write`, with two differences. The file is netCDF-4,
compressed without loss (or a Zarr group), because most arrays would not fit into a classic file. And the corners of a
grid with more than :data:`MOST_CORNERS` cells are left out: they would be most of the file, and no program needs them
to apply the weights. (CDO leaves out all corners.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import ConfigError
from ai4land_coupler.files.durable import new_path
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.rectilinear import RectilinearGrid
from ai4land_coupler.regrid.land.raster import RasterWeights
from ai4land_coupler.regrid.methods.products import ProductWeights
from ai4land_coupler.regrid.weight_files import gather, write
from ai4land_coupler.regrid.weight_files.read import QUANTITIES, GridSide, Layout, Quantity, Side, WeightFile, variable

#: Corners are written for grids with at most this number of cells.
MOST_CORNERS = 4_000_000
#: Elements of a compressed chunk, and of a slice that is written at once: arrays that stay in the cache of the CPU.
_CHUNK = 2**15
_SLICE = 8 * _CHUNK


class _Stream(NamedTuple):
    """Arrays of one length that are made together, slice by slice."""

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    dims: tuple[tuple[str, ...], ...]
    shapes: tuple[tuple[int, ...], ...]
    units: str | None
    slices: Iterator[tuple[NDArray[Any], ...]]


def write_product_weights(
    path: str | Path,
    weights: ProductWeights | RasterWeights,
    layout: Layout = "esmf",
    attributes: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write weights while they are made; the file appears only when it is complete. Returns the number of links.

    Raises
    ------
    ConfigError
        YAC's layout as Zarr.
    RunError
        The disk is full or cannot be written.
    """
    path = Path(path)
    if layout == "yac" and path.suffix == ".zarr":
        raise ConfigError("YAC reads netCDF only", expected="a name that ends in .nc", found=path.name)
    count = weights.count()
    facts = _facts(weights, attributes or {})
    streams = [_links(weights, layout, count)]
    write._check(facts, "basic")
    small = write._links(facts, layout)
    fixed = {name: array for name, array in small.items() if name not in streams[0].names}
    if layout in ("esmf", "scrip"):
        for side in get_args(Side):
            here = "src" if side == "source" else "dst"
            dims = np.array(getattr(facts, side).dims, np.int32)
            fixed[f"{here}_grid_dims"] = write._Array(dims, (f"{here}_grid_rank",))
            if side == "destination" and isinstance(weights, RasterWeights):  # its cells are in memory
                fixed |= write._grid(_cells(weights), side, layout)
            else:
                streams.extend(_grid(weights, side, layout))
    total = sum(shape[0] for stream in streams for shape in stream.shapes[:1])
    done = 0
    with (
        new_path(path, "regrid weights cannot be written") as temporary,
        _opened(temporary, path.suffix == ".zarr", write._attributes(facts, layout)) as out,
    ):
        for name, array in fixed.items():
            out.create(name, array.values.dtype.str, array.dims, array.values.shape, array.units)
            out.write(name, 0, array.values)
        for stream in streams:
            for place, name in enumerate(stream.names):
                out.create(name, stream.dtypes[place], stream.dims[place], stream.shapes[place], stream.units)
            start = 0
            for arrays in _regrouped(stream.slices):
                for name, dtype, values in zip(stream.names, stream.dtypes, arrays, strict=True):
                    out.write(name, start, values.astype(dtype, copy=False))
                start += len(arrays[0])
                progress(done + start, total)
            done += start
    return count


def _facts(weights: ProductWeights | RasterWeights, attributes: dict[str, Any]) -> WeightFile:
    """What the weights are, without links and cells."""
    provenance = {
        "backend": "closed form", "version": "1", "method": "conservative",
        "source_edges": "latlon", "destination_edges": "latlon",
        **(weights.provenance if isinstance(weights, RasterWeights) else {}), "norm": weights.norm,
    }  # fmt: skip
    source, destination = weights.source, weights.destination
    dims = weights.dims if isinstance(weights, RasterWeights) else weights.destination.shape[::-1]
    sides = [
        GridSide(source.name, source.size, source.shape[::-1]),
        GridSide(destination.name, destination.size, dims),
    ]
    facts = {**attributes, "provenance": json.dumps(provenance, sort_keys=True)}
    one = np.zeros(1, np.int64)
    return WeightFile(one, one, np.zeros(1), sides[0], sides[1], "conservative", weights.norm, facts)


def _cells(weights: RasterWeights) -> GridSide:
    """All cells of the destination."""
    area, fraction = weights.destination_area, weights.destination_fraction
    return GridSide(**gather._grid(weights.destination, area, fraction, weights.dims, None))


def _links(weights: ProductWeights | RasterWeights, layout: Layout, count: int) -> _Stream:
    esmf = layout in ("esmf", "basic")
    names = ("row", "col", "S") if esmf else ("dst_address", "src_address", "remap_matrix")
    dims = (("n_s",),) * 3 if esmf else (("num_links",), ("num_links",), ("num_links", "num_wgts"))
    shapes = ((count,), (count,), (count,) if esmf else (count, 1))

    def slices() -> Iterator[tuple[NDArray[Any], ...]]:
        for row, col, value in weights.links():
            yield (row + 1).astype(np.int32), (col + 1).astype(np.int32), value if esmf else value[:, None]

    return _Stream(names, ("i4", "i4", "f8"), dims, shapes, None, slices())


def _grid(weights: ProductWeights | RasterWeights, side: Side, layout: Layout) -> Iterator[_Stream]:
    grid: RectilinearGrid = getattr(weights, side)
    columns = grid.lon.size

    def each_row(make: Callable[[int], NDArray[Any]]) -> Iterator[tuple[NDArray[Any], ...]]:
        return ((make(row),) for row in range(grid.lat.size))

    def corner(row: int, which: int) -> NDArray[Any]:
        south, north = (np.full(columns, edges[row]) for edges in (grid.south, grid.north))
        return box_corners(grid.west, grid.east, south, north)[which]

    lon = np.mod(grid.lon, 360.0)
    made: dict[Quantity, Iterator[tuple[NDArray[Any], ...]]] = {
        "centre_lon": each_row(lambda row: lon),
        "centre_lat": each_row(lambda row: np.full(columns, grid.lat[row])),
        "corner_lon": each_row(lambda row: corner(row, 0)),
        "corner_lat": each_row(lambda row: corner(row, 1)),
        "mask": each_row(lambda row: grid.taken(row).astype(np.int32)),
        "area": ((area,) for area in weights.areas(side)),
        "fraction": ((share,) for share in weights.fractions(side)),
    }
    esmf = layout == "esmf"
    here, letter = ("src", "a") if side == "source" else ("dst", "b")
    cells, corners = (f"n_{letter}", f"nv_{letter}") if esmf else (f"{here}_grid_size", f"{here}_grid_corners")
    for quantity in QUANTITIES:
        is_corner = quantity.startswith("corner")
        if is_corner and grid.size > MOST_CORNERS:
            continue
        dims, shape = ((cells, corners), (grid.size, 4)) if is_corner else ((cells,), (grid.size,))
        units = write._UNITS.get(quantity, "degrees")
        name = variable(layout, side, quantity)
        dtype = "i4" if quantity == "mask" else "f8"
        yield _Stream((name,), (dtype,), (dims,), (shape,), units, made[quantity])


def _regrouped(slices: Iterator[tuple[NDArray[Any], ...]]) -> Iterator[tuple[NDArray[Any], ...]]:
    """The same arrays in slices of whole chunks; the last one may be shorter."""
    waiting: list[tuple[NDArray[Any], ...]] = []
    length = 0
    for arrays in slices:
        waiting.append(arrays)
        length += len(arrays[0])
        if length >= _SLICE:
            joined = [np.concatenate(parts) for parts in zip(*waiting, strict=True)]
            whole = length - length % _CHUNK
            yield tuple(values[:whole] for values in joined)
            waiting, length = [tuple(values[whole:] for values in joined)], length - whole
    if length:
        yield tuple(np.concatenate(parts) for parts in zip(*waiting, strict=True))


@contextmanager
def _opened(path: Path, zarr: bool, attributes: dict[str, Any]) -> Iterator[_NetCDF | _Zarr]:
    if zarr:
        yield _Zarr(path, attributes)
        return
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.set_fill_off()
        file.setncatts(attributes)
        yield _NetCDF(file)


class _NetCDF:
    def __init__(self, file: Any) -> None:
        self._file = file

    def create(self, name: str, dtype: str, dims: Sequence[str], shape: Sequence[int], units: str | None) -> None:
        for dim, length in zip(dims, shape, strict=True):
            if dim not in self._file.dimensions:
                self._file.createDimension(dim, length)
        options: dict[str, Any] = {}
        if shape[0] > _CHUNK:
            chunks = (_CHUNK // int(np.prod(shape[1:])), *shape[1:])
            # the cache of the library for each variable would be 64 MB
            options = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks, "chunk_cache": 8 * _CHUNK}
        made = self._file.createVariable(name, dtype, dims, **options)
        if units is not None:
            made.units = units

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        self._file[name][start : start + len(values)] = values


class _Zarr:
    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        import zarr

        self._group = zarr.create_group(
            path, attributes={key: write._plain(value) for key, value in attributes.items()}
        )

    def create(self, name: str, dtype: str, dims: Sequence[str], shape: Sequence[int], units: str | None) -> None:
        from zarr.codecs import ZstdCodec

        self._group.create_array(
            name,
            shape=tuple(shape),
            dtype=dtype,
            chunks=(max(1, min(shape[0], _CHUNK)), *shape[1:]),
            compressors=ZstdCodec(checksum=True),
            dimension_names=tuple(dims),
            attributes={} if units is None else {"units": units},
        )

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        array: Any = self._group[name]
        array[start : start + len(values)] = values

"""Distributed meshes for ESMF: great-circle polygons, nodes with one id and one owner, ids of 32 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import GridError, Mesh
from ai4land_coupler.grids.mesh import POINT_TOLERANCE, at_pole, lon_difference, merge_corners, next_corners
from ai4land_coupler.parallel.collective import exchange, rank_and_size, split_by_rank

#: Edges are cut at the longitudes of both grids only if an edge then has at most this many pieces on average.
_MOST_PIECES = 256
#: Pieces of parallels are not cut below this width (degrees): this would cost much and gain little.
_NARROW = 0.25
_LARGEST_ID = np.iinfo(np.int32).max
#: Coordinates are rounded to multiples of this (degrees) to identify points, and 360 degrees have this many multiples.
_UNIT = 2 * POINT_TOLERANCE
_TURN = round(360.0 / _UNIT)


class EsmfPolygons(NamedTuple):
    """Coordinates of the corners of all cells, cell after cell, and how many corners each cell has, (cells,)."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    corners: NDArray[np.int64]


def shared_longitudes(source: Mesh, destination: Mesh, comm: Any) -> NDArray[np.float64] | None:
    """All longitudes at which cells of two ``latlon`` meshes begin or end, 0 to 360, ascending. Collective.

    ``None`` if one of the meshes has other edges, or if there are too many longitudes (reduced grids, in which each row
    has its own).
    """
    if source.edges != "latlon" or destination.edges != "latlon":
        return None
    found, width = [], 0.0
    for mesh in (source, destination):
        lon, lat = next_corners(mesh)
        width = max(width, float(np.nanmean(np.abs(lon_difference(lon, mesh.corner_lon))))) if mesh.size else width
        found.append(np.mod(mesh.corner_lon[~np.isnan(lat)], 360.0))
    breaks = _distinct(np.concatenate(found))
    if comm is not None:
        if comm.allreduce(breaks.size) > 1_000_000:  # so many longitudes, as in reduced grids, are not exchanged
            return None
        breaks = _distinct(np.concatenate(comm.allgather(breaks)))
        width = max(comm.allgather(width))
    return None if breaks.size * width / 360.0 > _MOST_PIECES else breaks


def _distinct(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes (0 to 360), ascending; of longitudes that round to the same value only the smallest."""
    lon = np.sort(lon)
    _, first = np.unique(np.rint(lon / _UNIT) % _TURN, return_index=True)
    return np.sort(lon[first])


def great_circle_polygons(mesh: Mesh, pieces: int, breaks: NDArray[np.float64] | None) -> EsmfPolygons:
    """The cells with great-circle edges; edges along parallels become chains of short arcs.

    A parallel is cut into pieces. Each piece becomes two arcs that meet halfway, slightly off the parallel, so that the
    piece and the arcs enclose the same area with the equator. So cells keep their areas to rounding, and so do
    overlaps of cells whose parallels are cut at the same longitudes. If an edge of another cell crosses the piece, the
    remaining error is at most width squared / 60 of the height of the piece over the equator.

    Parameters
    ----------
    pieces:
        Pieces of each edge along a parallel, fewer if they would be narrower than 0.25 degrees. With 0, ``latlon``
        edges become great circles between their corners.
    breaks:
        Longitudes to cut at instead (:func:`shared_longitudes`).
    """
    mesh = merge_corners(mesh)
    used = ~np.isnan(mesh.corner_lat)
    count = used.sum(axis=1)
    lon, lat = mesh.corner_lon[used], mesh.corner_lat[used]
    if mesh.edges != "latlon" or pieces == 0:
        return EsmfPolygons(lon, lat, count)
    lon2, lat2 = (values[used] for values in next_corners(mesh))
    span = lon_difference(lon2, lon)
    parallel = (np.abs(lat2 - lat) <= POINT_TOLERANCE) & ~at_pole(lat) & (np.abs(span) > POINT_TOLERANCE)
    if breaks is None:
        first = None
        cuts = np.where(parallel, np.clip(np.ceil(np.abs(span) / _NARROW), 1, pieces), 1).astype(np.int64)
    else:
        around = np.concatenate([breaks + 360.0 * turn for turn in range(-3, 4)])
        west, east = np.minimum(lon, lon + span), np.maximum(lon, lon + span)
        first = np.searchsorted(around, west + POINT_TOLERANCE, side="right")
        last = np.searchsorted(around, east - POINT_TOLERANCE, side="left")
        cuts = np.where(parallel, last - first + 1, 1)

    points = np.where(parallel, 2 * cuts, 1)  # of each edge, its first corner included
    edge = np.repeat(np.arange(lon.size), points)
    place = np.arange(edge.size) - np.repeat(np.cumsum(points) - points, points)

    def cut(number: NDArray[np.int64]) -> NDArray[np.float64]:
        """Longitude of the corner (0), a cut, or the next corner (``cuts``) of the edge of each point."""
        if first is None:
            return np.asarray(lon[edge] + span[edge] * (number / cuts[edge]))
        eastward = span[edge] > 0
        index = np.where(eastward, first[edge] + number - 1, first[edge] + cuts[edge] - 1 - number)
        inner = around[np.clip(index, 0, around.size - 1)]
        return np.where(number == 0, lon[edge], np.where(number == cuts[edge], (lon + span)[edge], inner))

    start, halfway = cut(place // 2), place % 2 == 1
    stop = cut(place // 2 + 1)
    step = (lat2 - lat)[edge] * np.where(parallel[edge], place / (2 * cuts[edge]), 0.0)
    out_lat = lat[edge] + step
    out_lat[halfway] = _equal_area_latitude(out_lat[halfway], (stop - start)[halfway])
    out_lon = np.where(halfway, (start + stop) / 2, start)
    cell = np.repeat(np.arange(mesh.size), count)
    return EsmfPolygons(out_lon, out_lat, np.bincount(cell, weights=points, minlength=mesh.size).astype(np.int64))


def _equal_area_latitude(lat: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Latitude of the point halfway, so that two arcs through it enclose the same area as the parallel.

    The area between the equator and an arc of width w between latitudes p and q is
    2 atan(tan(w/2) sin((p+q)/2) / cos((p-q)/2)) (half the excess of the polar triangle, by Napier's analogies). For the
    parallel it is w sin(p).
    """
    half, sine = np.deg2rad(np.abs(width)) / 4, np.sin(np.deg2rad(lat))
    k, t = np.tan(half * sine) / np.tan(half), np.tan(np.deg2rad(lat) / 2)
    return np.asarray(np.rad2deg(2 * np.arctan((k - t) / (1 - k * t))))


@dataclass(frozen=True)
class Nodes:
    """The nodes of this rank's cells: 1-based ids, owners and coordinates, (nodes,), and the index of the node of each
    corner of the polygons, (corners,)."""

    ids: NDArray[np.int32]
    owner: NDArray[np.int32]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    place: NDArray[np.int32]


def name_nodes(polygons: EsmfPolygons, comm: Any) -> Nodes:
    """Give corners one id, one owner and the same coordinates on all ranks. Collective.

    Corners whose coordinates round to the same multiple of twice the ``POINT_TOLERANCE`` are one node. Its owner is the
    lowest rank that has it, and its coordinates are the smallest ones of all ranks.

    Raises
    ------
    GridError
        On every rank: more nodes than ESMF's ids can number.
    """
    rank, size = rank_and_size(comm)
    lon = np.mod(polygons.lon, 360.0)
    column = np.rint(lon / _UNIT).astype(np.int64) % _TURN
    row = np.rint((polygons.lat + 90.0) / _UNIT).astype(np.int64)
    column[at_pole(polygons.lat)] = 0
    key, place = np.unique(row * _TURN + column, return_inverse=True)
    # the smallest coordinates, not the first: their order depends on the number of ranks
    order = np.lexsort((polygons.lat, lon, place))
    first = order[np.searchsorted(place[order], np.arange(key.size))]
    lonlat = np.stack([lon[first], polygons.lat[first]], axis=1)

    target = key % size
    keys = exchange(split_by_rank(key, target, size), comm)
    known = np.concatenate(keys)
    points = np.concatenate(exchange(split_by_rank(lonlat, target, size), comm))
    holder = np.repeat(np.arange(size), [len(part) for part in keys])
    order = np.lexsort((points[:, 1], points[:, 0], known))
    distinct, start, inverse = np.unique(known[order], return_index=True, return_inverse=True)
    lowest = np.minimum.reduceat(holder[order], start) if start.size else start
    counts = [distinct.size] if comm is None else comm.allgather(distinct.size)
    if sum(counts) > _LARGEST_ID:
        raise GridError("a grid has too many corners for ESMF", expected=f"up to {_LARGEST_ID}", found=sum(counts))
    offset = sum(counts[:rank])
    answer = np.empty((known.size, 2), np.int64)
    answer[order, 0], answer[order, 1] = offset + 1 + inverse.ravel(), lowest[inverse.ravel()]
    agreed = np.empty((known.size, 2))
    agreed[order] = points[order][start][inverse.ravel()]
    ends = np.cumsum([len(part) for part in keys])[:-1]

    back = np.argsort(target, kind="stable")
    named, located = np.empty((key.size, 2), np.int64), np.empty((key.size, 2))
    named[back] = np.concatenate(exchange(np.split(answer, ends), comm))
    located[back] = np.concatenate(exchange(np.split(agreed, ends), comm))
    return Nodes(
        named[:, 0].astype(np.int32),
        named[:, 1].astype(np.int32),
        np.ascontiguousarray(located[:, 0]),
        np.ascontiguousarray(located[:, 1]),
        place.ravel().astype(np.int32),
    )


class DenseIds:
    """1-based 32-bit numbers for global ids, in their order: id + 1 if all ids fit into 32 bits. Collective."""

    def __init__(self, ids: NDArray[np.int64], global_size: int, comm: Any) -> None:
        self._comm = comm
        self._fit = global_size < _LARGEST_ID
        if self._fit:
            self.numbers = (ids + 1).astype(np.int32)
            return
        rank, size = rank_and_size(comm)
        # each rank numbers a range of ids, so that numbers have the order of the ids
        target = ids // -(-global_size // size)
        parts = exchange(split_by_rank(ids, target, size), comm)
        self._held = np.sort(np.concatenate(parts))
        counts = [self._held.size] if comm is None else comm.allgather(self._held.size)
        if sum(counts) > _LARGEST_ID:
            raise GridError("a grid has too many cells for ESMF", expected=f"up to {_LARGEST_ID}", found=sum(counts))
        self._starts = np.cumsum([0, *counts])
        places = [np.searchsorted(self._held, part) + self._starts[rank] + 1 for part in parts]
        self.numbers = np.empty(ids.size, np.int32)
        self.numbers[np.argsort(target, kind="stable")] = np.concatenate(exchange(places, comm))

    def ids(self, numbers: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The global ids of any numbers, also of cells of other ranks. Collective."""
        numbers = numbers.astype(np.int64) - 1
        if self._fit:
            return numbers
        rank, size = rank_and_size(self._comm)
        target = np.searchsorted(self._starts, numbers, side="right") - 1
        asked = exchange(split_by_rank(numbers, target, size), self._comm)
        answers = [self._held[part - self._starts[rank]] for part in asked]
        found = np.empty(numbers.size, np.int64)
        found[np.argsort(target, kind="stable")] = np.concatenate(exchange(answers, self._comm))
        return found

"""Polygons of a host grid, prepared for many searches: which edges cross a box, and which cell holds its centre.

The search finds every edge that crosses a box. It may also find an edge that passes at a distance of a few millimetres.
So a box without such an edge is completely in one cell, or in none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.grids.mesh import Mesh, at_pole, lon_difference, merge_corners, next_corners, unit_vectors

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: An edge this close to a box counts as crossing it: twice the tolerance of regridding libraries (rad; 13 mm).
SLACK = 2e-9

#: Answers for a box that no cell holds, and for a box that several cells hold.
NOWHERE, SEVERAL = -1, -2


@dataclass(frozen=True)
class GridBoxes:
    """Boxes of a latitude-longitude grid: their centres and their extent; all (n,)."""

    lon: Floats
    lat: Floats
    half_lon: Floats
    half_lat: Floats
    #: Sines and cosines of the centre, and the centre as a unit vector (3, n).
    sin_lon: Floats
    cos_lon: Floats
    sin_lat: Floats
    cos_lat: Floats
    point: Floats
    #: Extent towards the east and the north in the tangent plane of the centre, and distance of the farthest corner,
    #: on the unit sphere.
    east: Floats
    north: Floats
    radius: Floats

    @classmethod
    def of(cls, grid: LatLonGrid, row0: Ints, row1: Ints, col0: Ints, col1: Ints) -> GridBoxes:
        """Boxes of whole cells, each at most a quarter of the globe wide; rows and columns half-open, (n,)."""
        edges = grid.lat_edges
        first, last = edges[row0], edges[row1]
        lat, half_lat = (first + last) / 2, np.abs(last - first) / 2
        lon, half_lon = grid.lon0 + grid.dlon * (col0 + col1) / 2, grid.dlon * (col1 - col0) / 2
        sin_lon, cos_lon = np.sin(np.deg2rad(lon)), np.cos(np.deg2rad(lon))
        sin_lat, cos_lat = np.sin(np.deg2rad(lat)), np.cos(np.deg2rad(lat))
        point = np.stack([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
        widest = np.cos(np.deg2rad(np.where(first * last > 0, np.minimum(np.abs(first), np.abs(last)), 0.0)))
        dlon, dlat = np.deg2rad(half_lon), np.deg2rad(half_lat)
        east = widest * np.sin(np.minimum(dlon, np.pi / 2))
        # a parallel bends away from the east direction of the tangent plane
        north = np.sin(dlat) + np.abs(sin_lat) * widest * dlon**2 / 2
        # haversine of the corner that is nearer to the equator
        radius = 2 * np.sqrt(np.sin(dlat / 2) ** 2 + cos_lat * widest * np.sin(dlon / 2) ** 2)
        return cls(
            lon, lat, half_lon, half_lat, sin_lon, cos_lon, sin_lat, cos_lat, point, east, north, np.minimum(radius, 2)
        )


class Outline:
    """Cells of a mesh with valid corners (:func:`ai4land_coupler.grids.checks.validate`); none of them is masked.

    ``edge_cells`` holds the two cells on both sides of each edge, int64 (edges, 2), -1 if there is no cell.
    """

    def __init__(self, mesh: Mesh) -> None:
        mesh = merge_corners(mesh)
        self.size, self._latlon = mesh.size, mesh.edges == "latlon"
        lon, lat = mesh.corner_lon, mesh.corner_lat
        next_lon, next_lat = next_corners(mesh)
        pole, next_pole = at_pole(lat), at_pole(next_lat)
        # a corner at a pole gets the longitude of the meridian that leads to it
        lon, next_lon = np.where(pole, next_lon, lon), np.where(next_pole, lon, next_lon)
        start, end = unit_vectors(lon, lat), unit_vectors(next_lon, next_lat)
        # one row per corner number, to loop over the corners of all pairs of box and cell
        self._corner_lon, self._corner_lat = lon.T.copy(), lat.T.copy()
        self._next_lon = next_lon.T.copy()
        self._meridian = (pole | next_pole).T.copy()
        self._normal = np.moveaxis(np.cross(start, end), 0, 1).copy()
        used = ~np.isnan(lat)
        self._southern = np.nansum(lat, axis=1) < 0

        cell, corner = np.nonzero(used)
        keep, self.edge_cells = _pair_edges(lon[used], lat[used], next_lon[used], next_lat[used], cell)
        cell, corner = cell[keep], corner[keep]
        start, end = start[cell, corner], end[cell, corner]
        lon, lat = lon[cell, corner], lat[cell, corner]
        step = lon_difference(next_lon[cell, corner], lon)
        self._edge_lon, self._edge_lat = lon + step / 2, (lat + next_lat[cell, corner]) / 2
        self._edge_half_lon, self._edge_half_lat = np.abs(step) / 2, np.abs(next_lat[cell, corner] - lat) / 2
        middle = start + end
        if self._latlon:
            middle = unit_vectors(self._edge_lon, self._edge_lat)
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        normal = np.cross(start, end)
        with np.errstate(invalid="ignore"):
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        self._edge_normal = np.nan_to_num(normal).T.copy()
        self._edge_middle = middle.T.copy()
        self._edge_reach = np.linalg.norm(start - middle, axis=1) * (1 + 1e-12)

        centre = np.nansum(unit_vectors(mesh.corner_lon, mesh.corner_lat), axis=1)
        centre /= np.linalg.norm(centre, axis=1, keepdims=True)
        reach = np.zeros(mesh.size)
        for side in self.edge_cells.T:
            known = side >= 0
            far = np.linalg.norm(middle[known] - centre[side[known]], axis=1) + self._edge_reach[known]
            np.maximum.at(reach, side[known], far)
        # cells that reach farther than a quarter of the globe may reach beyond the horizon
        reach = np.where(reach < 1.2, reach, 2.0)
        self._edge_balls, self._cell_balls = _Balls(middle, self._edge_reach), _Balls(centre, reach)

    def edges_near(self, points: Floats, radius: Floats) -> tuple[Ints, Ints]:
        """Pairs of a point (n, 3) and an edge that may be within ``radius`` (n,) of it."""
        return self._edge_balls.near(points, radius)

    def cells_near(self, points: Floats, radius: Floats) -> tuple[Ints, Ints]:
        """Pairs of a point (n, 3) and a cell that may be within ``radius`` (n,) of it."""
        return self._cell_balls.near(points, radius)

    def crosses(self, boxes: GridBoxes, box: Ints, edge: Ints) -> NDArray[np.bool_]:
        """Whether an edge crosses a box, for each pair (n,)."""
        if self._latlon:
            slack = np.rad2deg(SLACK)
            lon = np.abs(lon_difference(self._edge_lon[edge], boxes.lon[box]))
            lat = np.abs(self._edge_lat[edge] - boxes.lat[box])
            return np.asarray(
                (lon <= self._edge_half_lon[edge] + boxes.half_lon[box] + slack)
                & (lat <= self._edge_half_lat[edge] + boxes.half_lat[box] + slack)
            )
        # The plane of a great circle misses a box if it is farther from the centre than the box extends along the
        # normal of the plane. Along the edge, the enclosing balls of edge and box are compared.
        x, y, z = (component[edge] for component in self._edge_normal)
        sin_lon, cos_lon = boxes.sin_lon[box], boxes.cos_lon[box]
        sin_lat, cos_lat = boxes.sin_lat[box], boxes.cos_lat[box]
        outward = x * cos_lon + y * sin_lon
        east, north = y * cos_lon - x * sin_lon, cos_lat * z - sin_lat * outward
        up = np.abs(cos_lat * outward + sin_lat * z)
        radius = boxes.radius[box]
        reach = np.abs(east) * boxes.east[box] + np.abs(north) * boxes.north[box] + SLACK
        crossed = up * (1 - radius**2 / 2) <= reach
        near = np.flatnonzero(crossed)
        (px, py, pz), (mx, my, mz) = boxes.point[:, box[near]], self._edge_middle[:, edge[near]]
        apart = (px - mx) ** 2 + (py - my) ** 2 + (pz - mz) ** 2
        crossed[near] = apart <= (radius[near] + self._edge_reach[edge[near]] + SLACK) ** 2
        return np.asarray(crossed)

    def holds(self, boxes: GridBoxes, box: Ints, cell: Ints) -> NDArray[np.bool_]:
        """Whether a cell holds the centre of a box, for each pair (n,).

        Follows the meridian of the centre to the pole in the other hemisphere than the cell, and counts the edges that
        it crosses: eastward edges as +1, westward edges as -1.
        """
        lon, lat = boxes.lon[box], boxes.lat[box]
        px, py, pz = boxes.point[:, box]
        southern = self._southern[cell]
        count = np.zeros(len(box), np.int64)
        for corner in range(len(self._corner_lon)):
            here = lon_difference(self._corner_lon[corner, cell], lon)
            there = lon_difference(self._next_lon[corner, cell], lon)
            spans = ((here <= 0) != (there <= 0)) & (np.abs(there - here) < 180) & ~self._meridian[corner, cell]
            eastward = there > here
            if self._latlon:
                above = lat > self._corner_lat[corner, cell]
            else:
                x, y, z = self._normal[corner, cell].T
                above = (x * px + y * py + z * pz > 0) == eastward
            counted = spans & (above != southern)
            count += np.where(counted, np.where(eastward != southern, 1, -1), 0)
        return count > 0

    def locate(self, boxes: GridBoxes, box: Ints) -> Ints:
        """The cell that holds the centre of each box in ``box``, or ``NOWHERE`` or ``SEVERAL``, (n,)."""
        place, cell = self.cells_near(boxes.point[:, box].T, np.zeros(len(box)))
        return self.choose(boxes, box, place, cell)

    def choose(self, boxes: GridBoxes, box: Ints, place: Ints, cell: Ints) -> Ints:
        """As ``locate``, but tests only candidates: pairs of an index into ``box`` and a cell."""
        held = self.holds(boxes, box[place], cell)
        place, cell = place[held], cell[held]
        found = np.full(len(box), NOWHERE, np.int64)
        found[place] = cell
        found[place[found[place] != cell]] = SEVERAL
        return found


class _Balls:
    """A spatial search for balls of very different sizes."""

    def __init__(self, centre: Floats, radius: Floats) -> None:
        from scipy.spatial import cKDTree

        self._radius, self._centre = radius, centre
        octave = np.ceil(np.log2(np.maximum(radius, 1e-12))).astype(np.int64)
        self._groups = []
        for size in np.unique(octave):
            members = np.flatnonzero(octave == size)
            self._groups.append((members, float(radius[members].max()), cKDTree(centre[members])))

    def near(self, points: Floats, radius: Floats) -> tuple[Ints, Ints]:
        """Pairs of a point (n, 3) and a ball that is within ``radius`` (n,) of it, except for rounding."""
        places, balls = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for members, largest, tree in self._groups:
            if len(points) == 0:
                continue
            found = tree.query_ball_point(points, (largest + radius) * (1 + 1e-9) + SLACK)
            lengths = np.fromiter(map(len, found), np.int64, len(points))
            place = np.repeat(np.arange(len(points)), lengths)
            ball = members[np.fromiter((i for part in found for i in part), np.int64, int(lengths.sum()))]
            apart = np.linalg.norm(self._centre[ball] - points[place], axis=1)
            close = apart <= (self._radius[ball] + radius[place]) * (1 + 1e-9) + SLACK
            places.append(place[close])
            balls.append(ball[close])
        return np.concatenate(places), np.concatenate(balls)


def _pair_edges(lon: Floats, lat: Floats, next_lon: Floats, next_lat: Floats, cell: Ints) -> tuple[Ints, Ints]:
    """Merge edges that two cells share: indices of the edges to keep, (m,), and the cells of each, (m, 2).

    Two edges are the same if their ends have the same bits. Shared edges that stay double only cost time. A meridian
    that ends at a pole has the longitude of its other end there.
    """
    ends = np.concatenate([np.mod(lon, 360.0) + 1j * lat, np.mod(next_lon, 360.0) + 1j * next_lat])
    # complex numbers sort by both of their parts
    points, number = np.unique(ends, return_inverse=True)
    one, other = np.sort(number.reshape(2, -1), axis=0).astype(np.int64)
    key = one * points.size + other
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    first = np.searchsorted(sorted_key, sorted_key)
    place = np.arange(len(key)) - first  # of each among its equals
    lead = np.flatnonzero(place % 2 == 0)
    paired = (lead + 1 < len(key)) & (place[np.minimum(lead + 1, len(key) - 1)] % 2 == 1)
    cells = np.full((len(lead), 2), -1, np.int64)
    cells[:, 0] = cell[order[lead]]
    cells[paired, 1] = cell[order[lead[paired] + 1]]
    return order[lead], cells

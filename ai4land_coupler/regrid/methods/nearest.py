"""The nearest source cell of each destination cell, by the distance between the points of their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh, unit_vectors
from ai4land_coupler.parallel.collective import exchange, rank_and_size
from ai4land_coupler.regrid.methods.closed_form import value_points

#: Sources whose distances differ by less (radii of the Earth; 6 micrometres) are equally near.
TIE = 1e-12
#: Cubes along the diameter of the sphere: source points are sent between ranks by cube.
_CUBES = 32


#: Nearest source cells of a point that are tested for whether they hold the point.
_NEIGHBOURS = 4


def nearest_sources(
    source: Mesh,
    points: NDArray[np.float64],
    comm: Any,
    limit: float = np.inf,
    reach: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Global id of the unmasked source cell whose point is nearest to each of this rank's points. Collective.

    If sources are equally near (:data:`TIE`), the lowest id is taken, so the result does not depend on the number of
    ranks.

    Parameters
    ----------
    points:
        Points of the unit sphere, (n, 3).
    limit:
        Largest distance (straight through the Earth, in radii of the Earth); the same on all ranks.
    reach:
        Distance of each owned source cell up to which it has points, (n,) (:func:`cell_reach`). Points beyond the reach
        of their nearest cells get no source. Default: no such limit.

    Returns
    -------
    int64 (n,); -1 if there is no source within the limits.
    """
    from scipy.spatial import cKDTree

    ids, places, reaches = _within_reach(source, points, comm, limit, reach)
    nearest = np.full(len(points), -1, np.int64)
    if not (ids.size and len(points)):
        return nearest
    tree = cKDTree(places)
    distance, index = tree.query(points, k=[1, 2] if reach is None else list(range(1, _NEIGHBOURS + 1)))
    found = distance[:, 0] <= limit
    if reach is not None:
        found &= (distance <= np.append(reaches, -1.0)[index]).any(axis=1)  # the last index means no such neighbour
    nearest[found] = ids[index[found, 0]]
    tied = np.flatnonzero(found & (distance[:, 1] <= distance[:, 0] + TIE))
    for point, near in zip(tied, tree.query_ball_point(points[tied], distance[tied, 0] + TIE), strict=True):
        nearest[point] = ids[near].min()
    return nearest


def cell_reach(source: Mesh, comm: Any) -> NDArray[np.float64] | None:
    """How far the corners of each owned cell are from the point of its value, (n,), in radii of the Earth. Collective.

    ``None`` if cells without a mask cover the globe, because every point is then in a cell.
    """
    area = float(cell_area(source)[source.mask].sum())
    if (area if comm is None else sum(comm.allgather(area))) > (1 - 1e-6) * 4 * np.pi * EARTH_RADIUS**2:
        return None
    reach, points = np.zeros(source.size), value_points(source)
    for corner in range(source.corner_lon.shape[1]):
        away = np.linalg.norm(unit_vectors(source.corner_lon[:, corner], source.corner_lat[:, corner]) - points, axis=1)
        np.fmax(reach, away, out=reach)
    return reach * (1 + 1e-6)


def chord(distance: float) -> float:
    """Straight distance between two points with this great-circle distance, both in radii of the Earth."""
    return 2.0 * float(np.sin(min(distance, np.pi) / 2.0))


def _within_reach(
    source: Mesh, points: NDArray[np.float64], comm: Any, limit: float, reach: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Ids, points (m, 3) and reach (m,) of all sources that can be nearest to a point of this rank.

    Points are grouped, and each group is enclosed in a sphere. The nearest source of a group of destinations is in a
    sphere that is not farther away than the farthest point of the nearest sphere.
    """
    taken = np.flatnonzero(source.mask)
    own = value_points(source)[taken]
    members, centre, radius = _groups(own)
    described = np.column_stack([centre, radius])
    everyone = [described] if comm is None else comm.allgather(described)
    rank_of = np.repeat(np.arange(len(everyone)), [len(part) for part in everyone])
    number = np.concatenate([np.arange(len(part)) for part in everyone])
    theirs = np.concatenate(everyone)

    wanted = np.zeros(len(theirs), bool)
    _, here, extent = _groups(points)
    if len(theirs):
        for middle, size in zip(here, extent, strict=True):
            away = np.linalg.norm(theirs[:, :3] - middle, axis=1)
            enough = min(float((away + theirs[:, 3]).min()) + size, limit)
            wanted |= away - theirs[:, 3] - size <= enough + 2 * TIE
    _, size = rank_and_size(comm)
    asked = exchange([number[wanted & (rank_of == rank)] for rank in range(size)], comm)
    sent = [np.concatenate([members[group] for group in groups] or [np.zeros(0, np.int64)]) for groups in asked]
    ids = np.concatenate(exchange([source.cell_ids[taken[index]] for index in sent], comm))
    far = np.full(taken.size, np.inf) if reach is None else reach[taken]
    places, reaches = (np.concatenate(exchange([values[index] for index in sent], comm)) for values in (own, far))
    return ids, places, reaches


def _groups(points: NDArray[np.float64]) -> tuple[list[NDArray[np.int64]], NDArray[np.float64], NDArray[np.float64]]:
    """Points (n, 3) that share a cube: the members of each group, the centre (g, 3) and radius (g,) of its sphere."""
    cube = np.clip(np.floor((points + 1) * (_CUBES / 2)), 0, _CUBES - 1) @ np.array([_CUBES**2, _CUBES, 1.0])
    order = np.argsort(cube, kind="stable")
    starts = np.flatnonzero(np.diff(cube[order], prepend=-1.0))
    count = np.diff(starts, append=len(points))
    if not len(points):
        return [], np.zeros((0, 3)), np.zeros(0)
    centre = np.add.reduceat(points[order], starts) / count[:, None]
    away = np.linalg.norm(points[order] - np.repeat(centre, count, axis=0), axis=1)
    return np.split(order, starts[1:]), centre, np.maximum.reduceat(away, starts)

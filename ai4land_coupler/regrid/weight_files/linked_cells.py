"""Refuse links between cells that lie apart.

Links are pairs of ids, and ids say nothing about places. A file that was made for grids in another order (rows from the
other pole, exchanged axes), or whose ids count from 0, would regrid values to wrong places without an error. So the
cells of the links are compared:

* ``conservative``: the two cells of a link overlap, as deep as the area of the overlap requires.
* ``conservative2nd``, ``bilinear``: the weighted mean of the source points is near the destination point.
* ``nearest``: no other source cell of the links is nearer.

At most :data:`MOST_LINKS` links of a rank are compared, at equal steps through its rows. Faults of this kind concern
most rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.mesh import Mesh, lon_lat, unit_vectors
from ai4land_coupler.parallel.collective import exchange, indices_to_send, local_index, owners, send_to_owners
from ai4land_coupler.regrid.methods.closed_form import value_places
from ai4land_coupler.regrid.methods.nearest import nearest_sources
from ai4land_coupler.regrid.weight_files.cell_shapes import Shapes, overlap_is_possible, shapes
from ai4land_coupler.regrid.weight_files.read import GridSide

Links = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

MOST_LINKS = 200_000
#: A mean of source points may be off by this share of the largest of their cells.
_OFF = 0.25
#: Share of the rows whose nearest source may be another one, because points are defined in another way.
_OTHER_POINTS = 0.05
_ROUNDING = 1e-6


class _Cells(NamedTuple):
    """Points of the values on the unit sphere (n, 3), and the shapes of cells."""

    points: NDArray[np.float64]
    shapes: Shapes


def wrong_links(
    links: Links,
    overlap: NDArray[np.float64] | None,
    method: str,
    source: Mesh,
    destination: Mesh,
    where: Path,
    comm: Any,
) -> GridError | None:
    """An error if linked cells lie apart, on every rank; else ``None``. Collective.

    Parameters
    ----------
    links:
        Local index of the destination cell, global id of the source cell, weight; sorted by row.
    overlap:
        Area of the overlap of each link (steradians); ``None`` if it is not known.
    method:
        Method of the weights.
    source, destination:
        The owned cells. Cells without corners are not compared.
    """
    row, col, values = links
    if method == "conservative":
        chosen = np.arange(0, row.size, max(1, row.size // MOST_LINKS))
    else:  # all links of some rows
        chosen = np.flatnonzero(row % max(1, row.size // MOST_LINKS) == 0)
    row, col, values = row[chosen], col[chosen], values[chosen]
    ids, at = (part.ravel() for part in np.unique(col, return_inverse=True))
    cells, to = (part.ravel() for part in np.unique(row, return_inverse=True))
    here, onto = _cells(_from_owners(source, ids, comm)), _cells(destination.take(cells))
    several = np.bincount(to, minlength=cells.size) > 1
    wrong, most = np.zeros(row.size, bool), 0.0
    if method == "conservative":
        area = np.zeros(row.size) if overlap is None else overlap[chosen]
        for begin in range(0, row.size, 2**16):
            part = slice(begin, begin + 2**16)
            wrong[part] = ~overlap_is_possible(here.shapes, at[part], onto.shapes, to[part], area[part])
    elif method == "nearest" or not _anywhere(bool(several.any()), comm):
        wrong, most = _another_is_nearer(source, links[1], here, onto, at, to, comm), _OTHER_POINTS
    else:
        of_row = _off_centre(here, onto, at, to, values)
        wrong, several, most = of_row[to], several[to], 0.5
        row, col, at, to, wrong = row[several], col[several], at[several], to[several], wrong[several]
    count = [(int(wrong.sum()), wrong.size)]
    count = count if comm is None else comm.allgather(count[0])
    bad, total = (sum(numbers) for numbers in zip(*count, strict=True))
    if bad <= most * total:
        return None
    found = f"{bad} of {total} that were compared"
    if wrong.any():
        first = int(np.argmax(wrong))
        places = [_place(cells.points[i]) for cells, i in ((here, at[first]), (onto, to[first]))]
        found += (
            f"; for example source cell {col[first] + 1} at {places[0]} "
            f"and destination cell {destination.cell_ids[row[first]] + 1} at {places[1]}"
        )
    return GridError(
        "links of a weight file join cells that lie apart",
        expected=f"weights of the method {method} between cells that meet",
        found=found,
        where=where,
        remedy="the file was made for another order of the cells (rows from the other pole, exchanged axes), counts "
        "ids from 0, or has another method; make it again from these two grids",
    )


def side_mesh(side: GridSide) -> Mesh | None:
    """The cells of a grid of a weight file; ``None`` without centres or corners."""
    if side.size is None or side.centre_lon is None or side.centre_lat is None:
        return None
    if side.corner_lon is None or side.corner_lat is None or not np.ptp(side.corner_lat, axis=1).any():
        return None
    ids, mask = np.arange(side.size), np.ones(side.size, bool)
    corners, centres = (side.corner_lon, side.corner_lat), (side.centre_lon, side.centre_lat)
    return Mesh(side.name, ids, *corners, "great_circle", mask, side.size, *centres)


def _place(point: NDArray[np.float64]) -> str:
    lon, lat = lon_lat(point)
    return f"{float(lon):.6g} E {float(lat):.6g} N"


def _cells(mesh: Mesh) -> _Cells:
    return _Cells(unit_vectors(*value_places(mesh)), shapes(mesh))


def _from_owners(mesh: Mesh, ids: NDArray[np.int64], comm: Any) -> Mesh:
    """The cells with these ids, from the ranks that own them; cells that no rank owns have no corners. Collective."""
    if comm is None and np.array_equal(ids, mesh.cell_ids):
        return mesh
    owner = owners(mesh.cell_ids, ids, comm)
    known = np.flatnonzero(owner >= 0)
    sent = indices_to_send(mesh.cell_ids, ids[known], owner[known], comm)
    place = known[np.argsort(owner[known], kind="stable")]
    width = mesh.corner_lon.shape[1]
    width = width if comm is None else max(comm.allgather(width))
    columns: list[NDArray[np.float64] | None] = []
    for values in (mesh.corner_lon, mesh.corner_lat, mesh.centre_lon, mesh.centre_lat):
        if values is None:
            columns.append(None)
            continue
        parts = [values[index] for index in sent]
        if values.ndim == 2:
            parts = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in parts]
        got = np.full((ids.size, *parts[0].shape[1:]), np.nan)
        got[place] = np.concatenate(exchange(parts, comm))
        columns.append(got)
    lon, lat, centre_lon, centre_lat = columns
    assert lon is not None
    assert lat is not None
    mask = np.ones(ids.size, bool)
    return Mesh(mesh.name, ids, lon, lat, mesh.edges, mask, mesh.global_size, centre_lon, centre_lat)


def _anywhere(here: bool, comm: Any) -> bool:
    return here if comm is None else any(comm.allgather(here))


def _off_centre(
    here: _Cells, onto: _Cells, at: NDArray[np.int64], to: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Destination cells whose weighted mean of source points is off, (n,)."""
    n = len(onto.points)
    mean = np.stack([np.bincount(to, values * here.points[at, axis], n) for axis in range(3)], axis=1)
    largest = np.zeros(n)
    np.maximum.at(largest, to, here.shapes.radius[at])
    with np.errstate(invalid="ignore"):
        mean = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return np.asarray(np.linalg.norm(mean - onto.points, axis=1) > _OFF * largest + _ROUNDING)


def _another_is_nearer(
    source: Mesh,
    linked: NDArray[np.int64],
    here: _Cells,
    onto: _Cells,
    at: NDArray[np.int64],
    to: NDArray[np.int64],
    comm: Any,
) -> NDArray[np.bool_]:
    """Links whose source is not the nearest one of all sources that have links. Collective.

    All sources are searched only if several points are outside of their source cells. ``linked`` are the ids of the
    sources of all links.
    """
    away = np.linalg.norm(here.points[at] - onto.points[to], axis=1)
    radius = np.where(np.isfinite(here.shapes.radius[at]), here.shapes.radius[at], 0.0)
    outside = np.asarray(away > radius + _ROUNDING)
    if not _anywhere(bool(outside.mean() > _OTHER_POINTS) if outside.size else False, comm):
        return outside
    ids = np.unique(linked)
    used = np.unique(np.concatenate(send_to_owners(source.cell_ids, ids, [ids], comm)))
    sources = source.take(local_index(source.cell_ids, used).astype(np.int64))
    near = nearest_sources(replace(sources, mask=np.ones(used.size, bool)), onto.points, comm)
    found = near >= 0
    nearer = _from_owners(source, np.unique(near[found]), comm)
    points = np.full(onto.points.shape, np.nan)
    points[found] = unit_vectors(*value_places(nearer))[np.searchsorted(nearer.cell_ids, near[found])]
    least = np.linalg.norm(points - onto.points, axis=1)[to]
    return np.asarray(away > np.nan_to_num(least, nan=np.inf) + 0.1 * radius + _ROUNDING)

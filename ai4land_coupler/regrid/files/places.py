"""Compare the coordinates of the input with the source cells of the weights, and find the order of the cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.files.cf_coordinates import (
    Kind,
    coordinate_kind,
    is_angle,
    look_like_radians,
    text_of,
    to_degrees,
)
from ai4land_coupler.files.cf_values import decode_values
from ai4land_coupler.grids.files.healpix import healpix_resolution
from ai4land_coupler.grids.healpix import healpix_mesh
from ai4land_coupler.grids.mesh import unit_vectors
from ai4land_coupler.regrid.weight_files.read import GridSide

#: Share of a cell by which its points may differ ...
_SHIFT = 0.01
#: ... or in rad: the last digit of a longitude in single precision.
_LAST_DIGIT = 1e-6
#: Share of the cells whose points may differ, because their points were mended when the grid was read.
_ODD_SHARE = 0.01
#: Points that tell the distance between cells, if the weights have no areas.
_SAMPLE = 10_000
#: Cells that are matched by their coordinates: the search takes a minute and 2 GB for so many.
_MOST_MATCHED = 10_000_000
#: Cells that are compared at a time.
_PIECE = 2**18


#: MPAS gives its coordinates no standard names; they are in radians (MPAS Mesh Specification 1.0).
_MPAS: dict[str, Kind] = {"latCell": "latitude", "lonCell": "longitude"}


@dataclass(frozen=True)
class Place:
    """Where the cells of some dimensions are.

    ``order`` is the index of the cell of the input for each source cell of the weights; ``None`` if the order is the
    same. ``note`` says what the user should know; empty if positions agree.
    """

    order: NDArray[np.int64] | None = None
    note: str = ""


def kind_of(name: str, array: Any, where: object) -> Kind | None:
    """Whether a variable of the input is a latitude or a longitude.

    The names x and y alone say so only for the coordinate of a dimension that is no index.
    """
    kind = coordinate_kind(name, array.attrs, where) or _MPAS.get(name)
    if kind is None or name.lower() not in ("x", "y"):
        return kind
    if text_of(array.attrs, "standard_name") or is_angle(text_of(array.attrs, "units")):
        return kind
    if tuple(array.dims) != (name,) or not np.issubdtype(array.dtype, np.number):
        return None
    values = np.asarray(array.values, np.float64)
    return None if np.array_equal(values - values[:1], np.arange(values.size)) else kind


def coordinates_on(
    dataset: xr.Dataset, array: xr.DataArray, dims: Sequence[str], where: object
) -> dict[Kind, list[str]]:
    """Names of the latitudes and of the longitudes on these dimensions of a variable.

    Those that its attribute ``coordinates`` names, else those of the dimensions, else all.
    """
    found: dict[Kind, list[str]] = {"latitude": [], "longitude": []}
    for name, other in dataset.variables.items():
        own = {str(dim) for dim in other.dims}
        if own and own <= set(dims) and np.issubdtype(other.dtype, np.number):
            kind = kind_of(str(name), other, where)
            if kind is not None:
                found[kind].append(str(name))
    named = text_of(array.attrs, "coordinates").split()
    for kind, names in found.items():
        first = [name for name in names if name in named] or [name for name in names if name in dims]
        found[kind] = first or names
    return found


def find_place(dataset: xr.Dataset, array: xr.DataArray, dims: tuple[str, ...], source: GridSide, where: Path) -> Place:
    """Compare the coordinates of a variable on these dimensions with the source cells of the weights.

    If the cells are the same ones in another order (rows from the other pole, columns that start elsewhere, exchanged
    dimensions), the result has their order.

    Raises
    ------
    GridError
        The cells of the input are at other places than those of the weights, or units are unknown.
    """
    name = str(array.name)
    if source.centre_lon is None or source.centre_lat is None:
        return Place(note=f"positions of {name} were not checked: the weights contain no coordinates")
    names = coordinates_on(dataset, array, dims, where)
    missing = [kind for kind, some in names.items() if not some]
    if len(missing) == 2 and (pixels := _healpix_centres(dataset, array, dims, where)) is not None:
        place, wrong = _compare(*pixels, source, where)
        if wrong is not None:
            raise wrong
        return replace(place, note=place.note.format(name=name))
    if len(missing) == 2:
        text = f"positions of {name} were not checked: the input has no latitudes and longitudes on {', '.join(dims)}"
        return Place(note=text)
    error: GridError | None = None
    lats: list[str | None] = [*names["latitude"]]
    lons: list[str | None] = [*names["longitude"]]
    for lat, lon in itertools.product(lats or [None], lons or [None]):
        place, wrong = _compare(*_degrees(dataset, dims, lon, lat, where), source, where)
        if wrong is None:
            notes = [place.note.format(name=name)] if place.note else []
            notes += [f"positions of {name} were checked in part: the input has no {missing[0]}s"] if missing else []
            return Place(place.order, "; ".join(notes))
        error = error or wrong
    assert error is not None
    raise error


def _healpix_centres(
    dataset: xr.Dataset, array: xr.DataArray, dims: tuple[str, ...], where: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Longitude and latitude of each cell by the HEALPix grid mapping of a variable; ``None`` if it has no such one."""
    words = text_of(array.attrs, "grid_mapping").replace(":", " ").split()
    mapping = next((name for name in words if name in dataset.variables), None)
    if len(dims) != 1 or mapping is None:
        return None
    attributes = dataset.variables[mapping].attrs
    if text_of(attributes, "grid_mapping_name") != "healpix":
        return None
    nside, nested = healpix_resolution(attributes, f"{where}: {mapping}")
    index = next(
        (
            np.asarray(other.values).astype(np.int64)
            for other in dataset.variables.values()
            if other.dims == dims and text_of(other.attrs, "standard_name") == "healpix_index"
        ),
        None,
    )
    size, cells = dataset.sizes[dims[0]], 12 * nside**2
    if (index is None and size != cells) or (index is not None and (index.min() < 0 or index.max() >= cells)):
        raise GridError(
            "the number of cells does not fit a HEALPix grid",
            expected=f"{cells} cells, or healpix_index from 0 to {cells - 1}",
            found=f"{size} cells",
            where=f"{where}: {mapping}",
        )
    return healpix_mesh(nside, nested, mapping, index).centres()


def _degrees(
    dataset: xr.Dataset, dims: tuple[str, ...], lon: str | None, lat: str | None, where: Path
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Longitude and latitude of each cell; ``None`` if there is no such variable."""
    sizes = tuple(dataset.sizes[dim] for dim in dims)
    found: list[NDArray[np.float64] | None] = []
    bare = True
    kinds: tuple[tuple[str | None, Kind], ...] = ((lon, "longitude"), (lat, "latitude"))
    for name, kind in kinds:
        if name is None:
            found.append(None)
            continue
        array, place = dataset.variables[name], f"{where}, variable {name!r}"
        units = text_of(array.attrs, "units") or ("radian" if name in _MPAS else "")
        bare &= not is_angle(units)
        values = decode_values(np.asarray(array.values), array.attrs, place).astype(np.float64)
        values = to_degrees(values, units, kind, place)
        own = [str(dim) for dim in array.dims]
        values = values.transpose([own.index(dim) for dim in dims if dim in own])
        values = np.expand_dims(values, [place for place, dim in enumerate(dims) if dim not in own])
        found.append(np.broadcast_to(values, sizes).ravel())
    if bare and found[0] is not None and found[1] is not None and look_like_radians(found[0], found[1]):
        found = [None if values is None else np.rad2deg(values) for values in found]
    return found[0], found[1]


def _compare(
    lon: NDArray[np.float64] | None, lat: NDArray[np.float64] | None, source: GridSide, where: Path
) -> tuple[Place, GridError | None]:
    assert source.centre_lon is not None
    assert source.centre_lat is not None
    cells = source.centre_lon.size
    # one kind alone is compared for itself
    lon, lat = (source.centre_lon if lon is None else lon), (source.centre_lat if lat is None else lat)
    limit = np.maximum(_SHIFT * _widths(source), _LAST_DIGIT)
    far = _distances(lon, lat, source.centre_lon, source.centre_lat)
    taken = np.ones(cells, bool) if source.mask is None else source.mask != 0
    if not np.isfinite(far[taken]).any() and taken.any():
        return Place(note="positions of {name} were not checked: its coordinates are missing values"), None
    bad = taken & (far > limit)
    if not bad.any():
        return Place(), None
    if bad.sum() > _ODD_SHARE * taken.sum():
        for here, there in _embeddings(lon, lat, source) if cells <= _MOST_MATCHED else ():
            order = _order(here, there, limit, taken)
            if order is not None:
                note = "the cells of {name} come in another order than those of the weights; they were matched by "
                return Place(order, note + "their coordinates"), None
        cell = int(np.argmax(bad))
        return Place(), GridError(
            "the input has its cells elsewhere than the weights",
            expected=f"cell {cell} at {source.centre_lon[cell]:.6g} E, {source.centre_lat[cell]:.6g} N",
            found=f"{lon[cell]:.6g} E, {lat[cell]:.6g} N; {int(bad.sum())} of {cells} cells differ, by up to "
            f"{np.rad2deg(2 * np.arcsin(min(1.0, far[bad].max() / 2))):.3g} degrees",
            where=where,
            remedy="make the weights from this file, or correct its coordinates",
        )
    text = f"{int(bad.sum())} of {cells} cells of {{name}} have other coordinates than in the weights"
    return Place(note=f"{text}; they are few, and were not moved"), None


def _distances(*places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Straight distance (radii of the Earth) between two lists of longitudes and latitudes, piece by piece."""
    far = np.empty(places[0].size)
    for begin in range(0, far.size, _PIECE):
        lon, lat, other_lon, other_lat = (values[begin : begin + _PIECE] for values in places)
        far[begin : begin + _PIECE] = np.linalg.norm(
            unit_vectors(lon, lat) - unit_vectors(other_lon, other_lat), axis=1
        )
    return far


def _widths(source: GridSide) -> NDArray[np.float64]:
    """Width of each cell (rad): from its area, else the distance to the next cell."""
    assert source.centre_lon is not None
    assert source.centre_lat is not None
    area = None if source.area is None else np.abs(source.area)
    if area is not None and (area > 0).any():
        return np.sqrt(np.where(area > 0, area, np.median(area[area > 0])))
    from scipy.spatial import cKDTree

    points = np.unique(np.round(unit_vectors(source.centre_lon, source.centre_lat), 9), axis=0)
    if len(points) < 2:
        return np.full(source.centre_lon.size, 1.0)
    some = points[:: max(1, len(points) // _SAMPLE)]
    near = cKDTree(points).query(some, k=2)[0][:, 1]
    return np.full(source.centre_lon.size, float(np.percentile(near, 5)))


def _embeddings(
    lon: NDArray[np.float64], lat: NDArray[np.float64], source: GridSide
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Points of the input and of the weights: on the sphere, and on a cylinder, where rows at a pole are no points."""
    assert source.centre_lon is not None
    assert source.centre_lat is not None
    yield unit_vectors(lon, lat), unit_vectors(source.centre_lon, source.centre_lat)
    here, there = (
        np.stack([np.cos(np.deg2rad(x)), np.sin(np.deg2rad(x)), np.deg2rad(y)], axis=1)
        for x, y in ((lon, lat), (source.centre_lon, source.centre_lat))
    )
    yield here, there


def _order(
    here: NDArray[np.float64], there: NDArray[np.float64], limit: NDArray[np.float64], taken: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """The one cell of the input at each taken cell of the weights; ``None`` if there is none or several."""
    from scipy.spatial import cKDTree

    known = np.flatnonzero(np.isfinite(here).all(axis=1))
    if known.size < taken.sum() or not known.size:
        return None
    order = np.zeros(taken.size, np.int64)
    distance, index = cKDTree(here[known]).query(there[taken], k=min(2, known.size))
    distance, index = distance.reshape(len(distance), -1), index.reshape(len(index), -1)
    if (distance[:, 0] > limit[taken]).any() or (distance[:, 1:] <= limit[taken, None]).any():
        return None
    order[taken] = known[index[:, 0]]
    return None if np.unique(order[taken]).size < taken.sum() else order

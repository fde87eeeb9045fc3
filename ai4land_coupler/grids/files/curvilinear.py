"""Curvilinear (y, x) and unstructured (n,) cells: corners from bounds, or between the centres of a curvilinear grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.axes import Axis, bounds_name, derived_axis
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.mesh import lon_difference, lon_lat, unit_vectors
from ai4land_coupler.grids.polygons import Polygons

Floats = NDArray[np.float64]

#: Longitudes along a column (latitudes along a row) are equal if they differ by less than this share of a step.
_EQUAL = 1e-3


def cell_dimensions(file: GridFile, name: str) -> tuple[str, ...]:
    """Dimensions of a coordinate without a leading one, as the time of ``XLAT`` (Time, y, x) in files of WRF."""
    dimensions = tuple(file.variables[name].dimensions)
    return dimensions[1:] if len(dimensions) == 3 else dimensions


def read_cells(file: GridFile, lat: str, lon: str) -> Polygons:
    """Cells around 1-D or 2-D coordinates that share their dimensions.

    Raises
    ------
    DataError
        Bounds are missing and the cells are unstructured, or bounds have another shape, or coordinates are missing or
        change with time.
    """
    centre_lon, centre_lat = (still_degrees(file, name) for name in (lon, lat))
    shape, dimensions = centre_lat.shape, cell_dimensions(file, lat)
    without = [name for name in (lat, lon) if _unfit(file, name, shape)]
    if len(without) == 1:
        file.note(f"{without[0]} has no bounds: those of the other coordinate are not used")
    if without:
        if len(shape) != 2:
            raise DataError(
                "the edges of cells are unknown",
                expected=f"bounds of {lat} and {lon}: their corners, {(*shape, 'corners')}",
                found="no bounds",
                where=file.path,
                remedy="add bounds to the file (CF conventions, cell boundaries), or use the grid file of the model;"
                " for reduced Gaussian grids and HEALPix, give the name of the grid (N80, O80, hp32_nested)",
            )
        return _between_centres(file, lat, lon, centre_lat, centre_lon)
    corners = [_corners(file, name, shape) for name in (lon, lat)]
    if corners[0].shape != corners[1].shape:
        raise DataError(
            "the bounds of latitudes and longitudes differ in shape",
            expected="as many corners for both",
            found=f"{corners[1].shape[1]} and {corners[0].shape[1]} corners",
            where=f"{file.path}: {lat}, {lon}",
        )
    centres = centre_lon.ravel(), centre_lat.ravel()
    return Polygons(
        corners[0], corners[1], file.taken(shape, dimensions=dimensions), *centres, file.cell_measure(shape)
    )


def still_degrees(file: GridFile, name: str, dimensions: int = 2, units_of: str | None = None) -> Floats:
    """Values in degrees without a leading dimension along which they do not change. Reads one step after the other."""
    variable = file.variables[name]
    if variable.ndim != dimensions + 1:
        return file.degrees(name, units_of)
    steps = variable.shape[0]
    first = file.values(name, 0) if steps else np.zeros(0)
    moves = (not np.array_equal(first, file.values(name, step), equal_nan=True) for step in range(1, steps))
    if not steps or any(moves):
        raise DataError(
            "the coordinates of a grid change along their first dimension, or it is empty",
            expected=f"{name} the same throughout, (y, x)",
            found=dict(zip(variable.dimensions, variable.shape, strict=True)),
            where=f"{file.path}: {name}",
            remedy="select one time (for example cdo seltimestep,1)",
        )
    return file.degrees(name, units_of, 0)


def _unfit(file: GridFile, name: str, shape: tuple[int, ...]) -> bool:
    """Whether a coordinate has no bounds. Bounds of another shape are none if only their name tells what they are."""
    bounds = bounds_name(file, name)
    if bounds is None or bounds == file.attribute(name, "bounds"):
        return bounds is None
    given, nodes = file.variables[bounds].shape, tuple(length + 1 for length in shape)
    if given[-len(shape) - 1 : -1] == shape or given == nodes:
        return False
    file.note(f"{bounds} does not have the shape of the bounds of {name}: not used")
    return True


def _corners(file: GridFile, name: str, shape: tuple[int, ...]) -> Floats:
    """Corners (n, k) from bounds (y, x, k) or (n, k), or from the nodes (y + 1, x + 1) of a curvilinear grid."""
    bounds = str(bounds_name(file, name))
    nodes = tuple(length + 1 for length in shape)
    variable = file.variables[bounds]
    timed = len(shape) == 2 and len(variable.shape) == 4
    values = still_degrees(file, bounds, 3, name) if timed else file.degrees(bounds, units_of=name)
    if len(shape) == 2 and values.shape == nodes:
        values = np.stack([values[:-1, :-1], values[:-1, 1:], values[1:, 1:], values[1:, :-1]], axis=2)
    if values.shape[:-1] != shape or values.shape[-1] < 3:
        raise DataError(
            f"{bounds} cannot be used",
            expected=f"{(*shape, 'corners')}, 3 corners or more" + (f"; or nodes {nodes}" if len(shape) == 2 else ""),
            found=values.shape,
            where=file.path,
        )
    return values.reshape(-1, values.shape[-1])


def _between_centres(file: GridFile, lat: str, lon: str, centre_lat: Floats, centre_lon: Floats) -> Polygons:
    """Cells whose corners lie in the middle of four neighbouring centres."""
    shape, dimensions, where = centre_lat.shape, cell_dimensions(file, lat), f"{file.path}: {lat}, {lon}"
    missing = int((~np.isfinite(centre_lat) | ~np.isfinite(centre_lon)).sum())
    if min(shape) < 2 or missing:
        raise DataError(
            "the edges of cells are unknown",
            expected=f"bounds of {lat} and {lon}, or at least 2 x 2 centres without missing values",
            found=f"no bounds, and {shape[0]} x {shape[1]} centres with {missing} missing values",
            where=where,
            remedy="add bounds to the file (CF conventions, cell boundaries), or use the grid file of the model",
        )
    if np.abs(centre_lat).max() > 90.0 + 1e-3:
        raise DataError("a latitude lies beyond a pole", found=f"{np.abs(centre_lat).max():.9g}", where=where)
    centres = centre_lon.ravel(), centre_lat.ravel()
    axes = _axes(centre_lat, centre_lon)
    if axes is None:
        corners = corners_between(centre_lon, centre_lat)
        note = f"{lat}, {lon}: no bounds; corners in the middle of four centres"
        return Polygons(*corners, file.taken(shape, dimensions=dimensions), *centres, file.cell_measure(shape), (note,))
    rows, cols, swap = axes
    row, col = (index.ravel() for index in np.indices(shape))
    if swap:
        row, col = col, row
    boxes = box_corners(cols.low[col], cols.high[col], rows.low[row], rows.high[row])
    notes = (f"{lat}: no bounds; {rows.note}", f"{lon}: no bounds; {cols.note}")
    return Polygons(*boxes, file.taken(shape, dimensions=dimensions), *centres, file.cell_measure(shape), notes)


def _axes(lat: Floats, lon: Floats) -> tuple[Axis, Axis, bool] | None:
    """Rows and columns of 2-D coordinates that repeat a latitude and a longitude axis, and whether rows come last.

    ``None`` if the cells are not between meridians and parallels, or if the edges do not follow from the axes.
    """
    for swap in (False, True):
        rows, cols = (lat.T, lon.T) if swap else (lat, lon)
        axis_lat, axis_lon = rows[:, 0], np.unwrap(cols[0], period=360.0)
        steps = np.abs(np.diff(axis_lat)).min(), np.abs(np.diff(axis_lon)).min()
        off = np.abs(rows - axis_lat[:, None]).max(), np.abs(lon_difference(cols, axis_lon[None])).max()
        if off[0] <= _EQUAL * steps[0] and off[1] <= _EQUAL * steps[1] and min(steps) > 0:
            found = derived_axis(axis_lat, latitude=True), derived_axis(axis_lon, latitude=False)
            monotonic = all((np.diff(axis) > 0).all() or (np.diff(axis) < 0).all() for axis in (axis_lat, axis_lon))
            if monotonic and found[0] is not None and found[1] is not None:
                return found[0], found[1], swap
    return None


def corners_between(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Corners (n, 4) of curvilinear cells (y, x) from their centres, degrees, counter-clockwise.

    A corner is the middle of the four centres around it. Outside of the border, centres are continued linearly; if the
    last column is followed by the first one, they are neighbours.
    """
    points = unit_vectors(lon, lat)
    along = np.linalg.norm(np.diff(points, axis=1), axis=2)
    seam = np.linalg.norm(points[:, 0] - points[:, -1], axis=1)
    cyclic = points.shape[1] > 2 and bool((seam <= 1.5 * along.max(axis=1)).all() and (seam > 0).all())
    points = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    ends = (
        (points[:, -1:], points[:, :1])
        if cyclic
        else (
            2 * points[:, :1] - points[:, 1:2],
            2 * points[:, -1:] - points[:, -2:-1],
        )
    )
    points = np.concatenate([ends[0], points, ends[1]], axis=1)
    nodes = points[:-1, :-1] + points[:-1, 1:] + points[1:, 1:] + points[1:, :-1]
    corners = np.stack([nodes[:-1, :-1], nodes[:-1, 1:], nodes[1:, 1:], nodes[1:, :-1]], axis=2)
    diagonals = np.cross(corners[:, :, 2] - corners[:, :, 0], corners[:, :, 3] - corners[:, :, 1])
    if np.median((diagonals * corners.sum(axis=2)).sum(axis=2)) < 0:
        corners = corners[:, :, ::-1]
    return lon_lat(corners.reshape(-1, 4, 3))

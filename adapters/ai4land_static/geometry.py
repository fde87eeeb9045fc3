"""Coordinates of the values of a netCDF file, and bilinear interpolation to cell centres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    EARTH_RADIUS,
    ROTATED,
    GridError,
    LatLonGrid,
    Registration,
    read_coordinates,
    read_grid_mapping,
    read_values,
    to_degrees,
)
from ai4land_static.rotated import RotatedPole

Array = NDArray[np.float64]

#: standard_name, and names in files without one.
_ROTATED = (("grid_latitude", ("rlat",)), ("grid_longitude", ("rlon",)))

#: Tolerances, as shares of a cell: for cells of the same size, and for centres that are half a cell apart.
_SAME_SIZE, _HALF = 1e-3, 0.02

#: A weight of missing neighbours, or a distance from the data in degrees, of this size counts as 0.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Geometry:
    """Rectilinear coordinates, geographic or rotated.

    Parameters
    ----------
    lat, lon:
        Ascending coordinates of the rows and columns (degrees). If the columns are periodic, two columns of each end
        are repeated at the other end.
    rows, cols:
        Index of each row and column in the file.
    dims:
        Names of the dimensions of rows and columns.
    repeated:
        Number of columns that are repeated at each end.
    """

    lat: Array
    lon: Array
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    dims: tuple[str, str]
    pole: RotatedPole | None
    repeated: int = 0

    def locate(self, grid: LatLonGrid) -> tuple[Array, Array, Any]:
        """Coordinates, on the axes of the data, of the cell centres of a grid that the data cover.

        The data extend half a cell beyond their outermost centres, with the value of the nearest centre.

        Returns
        -------
        Rows (n, 1), columns (1, m), and the index of this rectangle in the grid. For a rotated pole: the coordinates
        (n,) of each cell, and a mask of the grid.
        """
        margins = [abs(c[[1, -1]] - c[[0, -2]]) / 2 for c in (self.lat, self.lon)]
        if self.pole is None:
            y, x = grid.lat, grid.lon
        else:
            lon, lat = np.meshgrid(grid.lon, grid.lat)
            y, x = self.pole.rotate(lat, lon)
        # on a periodic axis each point has a neighbour on both sides
        west = self.lon[1] if self.repeated else self.lon[0] - margins[1][0] - _ROUNDING
        x = west + (x - west) % 360.0
        rows, cols = (
            (c >= centre[0] - margin[0] - _ROUNDING) & (c <= centre[-1] + margin[1] + _ROUNDING)
            for c, centre, margin in ((y, self.lat, margins[0]), (x, self.lon, margins[1]))
        )
        y, x = np.clip(y, self.lat[0], self.lat[-1]), np.clip(x, self.lon[0], self.lon[-1])
        if self.pole is not None:
            return y[rows & cols], x[rows & cols], rows & cols
        return y[rows][:, None], x[cols][None, :], np.ix_(rows, cols)

    def half_a_cell_off(self, grid: LatLonGrid) -> bool:
        """Whether the cells have the size of those of a grid but are shifted by half a cell: maybe they are corners."""
        if self.pole is not None:
            return False
        for mine, wanted, step in ((self.lat, grid.lat, abs(grid.dlat)), (self.lon, grid.lon, grid.dlon)):
            own = (mine[-1] - mine[0]) / (mine.size - 1)
            if abs(own / step - 1) < _SAME_SIZE and abs((wanted[0] - mine[0]) / step % 1.0 - 0.5) < _HALF:
                return True
        return False

    def once_around(self) -> Geometry:
        """The same geometry without the repeated columns."""
        keep = slice(self.repeated, self.lon.size - self.repeated)
        return Geometry(self.lat, self.lon[keep], self.rows, self.cols[keep], self.dims, self.pole)

    def much_finer_than(self, grid: LatLonGrid) -> bool:
        """Whether the cells are less than half as long as those of a grid. Interpolation between centres would then use
        only few of them."""
        steps = np.diff(self.lat).mean() * np.diff(self.lon).mean()
        return bool(self.pole is None and steps < 0.25 * abs(grid.dlat) * grid.dlon * (1 - _ROUNDING))

    def cell_area(self) -> Array:
        """Area of the cells (rows, columns) on the sphere (m2): R2 dlon (sin(lat1) - sin(lat0))."""
        heights = np.diff(np.sin(np.deg2rad(np.clip(edges(self.lat), -90.0, 90.0))))
        return np.asarray(EARTH_RADIUS**2 * heights[:, None] * np.deg2rad(np.diff(edges(self.lon)))[None, :])

    def nearest(self, y: Array, x: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the cell that contains each point."""
        row, col = (
            np.searchsorted(edges(centres)[1:-1], points, "right") for centres, points in ((self.lat, y), (self.lon, x))
        )
        return row.astype(np.int64), col.astype(np.int64)

    def window(self, y: Array, x: Array) -> Geometry:
        """The part of the data for interpolation at these points, with one more neighbour for differences."""
        row, col = (
            slice(
                max(int(np.searchsorted(centres, points.min(), "right")) - 2, 0),
                int(np.searchsorted(centres, points.max(), "left")) + 2,
            )
            for centres, points in ((self.lat, y), (self.lon, x))
        )
        return Geometry(self.lat[row], self.lon[col], self.rows[row], self.cols[col], self.dims, self.pole)

    def read(self, variable: Any, whole: NDArray[Any] | None = None) -> Array:
        """Values (rows, columns) of a netCDF variable, NaN where missing.

        Parameters
        ----------
        whole:
            All values of the variable, if they are in memory.
        """
        dims = variable.dimensions
        transposed = dims.index(self.dims[0]) > dims.index(self.dims[1])

        def block(rows: slice, cols: slice) -> Array:
            index = {self.dims[0]: rows, self.dims[1]: cols}
            place = tuple(index.get(d, 0) for d in dims)
            part = read_values(variable, *place) if whole is None else whole[place].astype(np.float64)
            return part.T if transposed else part

        return np.asarray(Registration(self.rows, self.cols).gather(block, np.nan, np.float64))

    def interpolate(self, layer: Array, y: Array, x: Array) -> Array:
        """Interpolate a layer (rows, columns) bilinearly to the points of :meth:`locate`; NaN next to missing values.

        If the points are a rectangle, rows and columns are interpolated one after the other.
        """
        from scipy.interpolate import RegularGridInterpolator

        present = np.isfinite(layer)
        filled = layer if present.all() else np.where(present, layer, 0.0)
        if y.ndim == 2:
            rows, cols = _between(self.lat, y[:, 0]), _between(self.lon, x[0])

            def resample(field: Array) -> Array:
                return np.asarray(rows @ np.ascontiguousarray((cols @ field.T).T))
        else:

            def resample(field: Array) -> Array:
                return np.asarray(RegularGridInterpolator((self.lat, self.lon), field)(np.stack([y, x], axis=-1)))

        value = resample(filled)
        if filled is not layer:
            value[resample(present.astype(np.float64)) <= 1 - _ROUNDING] = np.nan
        return value


def _between(centres: Array, points: Array) -> Any:
    """Sparse matrix (point, centre) of the weights of the two centres next to each point."""
    from scipy.sparse import csr_array

    left = np.clip(np.searchsorted(centres, points, "right") - 1, 0, centres.size - 2)
    share = (points - centres[left]) / (centres[left + 1] - centres[left])
    index = np.stack([left, left + 1], axis=1).ravel()
    shares = np.stack([1 - share, share], axis=1).ravel()
    return csr_array((shares, index, 2 * np.arange(points.size + 1)), shape=(points.size, centres.size))


def edges(centres: Array) -> Array:
    """Edges of cells around ascending centres: the middles between them. The outermost cells are symmetric."""
    middles = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def read_geometry(dataset: Any, name: str, path: str, along: str | None = None) -> Geometry:
    """Read the coordinates of a variable.

    Parameters
    ----------
    along:
        A further dimension that the variable may have, such as time.

    Raises
    ------
    GridError
        It is neither on a latitude-longitude grid nor on one with a rotated pole. A projection is named.
    """
    variable = dataset[name]
    where = f"{path}, variable {name!r}"
    mapping = read_grid_mapping(dataset, name, where)
    if mapping is not None and mapping.kind == ROTATED:
        pole: RotatedPole | None = _pole(mapping.attributes)
        dims, lat, lon = _rotated_axes(dataset, variable, where)
    else:
        found = read_coordinates(dataset, name, where)
        pole, dims, lat, lon = None, found.dims, found.lat.astype(np.float64), found.lon.astype(np.float64)
    extra = [d for d in variable.dimensions if d not in (*dims, along) and dataset.dimensions[d].size != 1]
    if extra:
        raise GridError(
            "a variable lies on no grid that can be interpolated from: it has a dimension too many",
            expected=" and ".join(dims),
            found=dict(zip(variable.dimensions, variable.shape, strict=True)),
            where=where,
            remedy=f"write a file for each {extra[0]!r}, or their mean",
        )
    lat, rows = _rising(lat, where)
    lon, cols = _rising(lon, where)
    if abs(lon[-1] - lon[0] + (lon[1] - lon[0]) - 360.0) < (lon[1] - lon[0]) / 2:
        lon = np.concatenate([lon[-2:] - 360.0, lon, lon[:2] + 360.0])
        cols = np.concatenate([cols[-2:], cols, cols[:2]])
        repeated = 2
    else:
        repeated = 0
    return Geometry(lat, lon, rows, cols, dims, pole, repeated)


def _pole(attributes: Mapping[str, Any]) -> RotatedPole:
    return RotatedPole(
        float(attributes.get("grid_north_pole_latitude", 90.0)),
        float(attributes.get("grid_north_pole_longitude", 0.0)),
        float(attributes.get("north_pole_grid_longitude", 0.0)),
    )


def _rotated_axes(dataset: Any, variable: Any, where: str) -> tuple[tuple[str, str], Array, Array]:
    """Dimensions, latitudes and longitudes of a rotated grid (degrees)."""
    axes = [_rotated_axis(dataset, variable.dimensions, *axis) for axis in _ROTATED]
    if axes[0] is None or axes[1] is None:
        raise GridError(
            "the axes of a variable with the grid mapping 'rotated_latitude_longitude' are not told",
            expected="axes with the standard names grid_latitude and grid_longitude, or the names rlat and rlon",
            found=dict(zip(variable.dimensions, variable.shape, strict=True)),
            where=where,
            remedy="correct the attributes of the axes",
        )
    lat, lon = (
        to_degrees(read_values(dataset[axis], slice(None)), str(getattr(dataset[axis], "units", "")), None, where)
        for axis in axes
    )
    return (axes[0], axes[1]), lat, np.unwrap(lon, period=360.0)


def _rotated_axis(dataset: Any, dims: tuple[str, ...], standard_name: str, names: tuple[str, ...]) -> str | None:
    for dim in dims:
        if dim in dataset.variables and (
            getattr(dataset[dim], "standard_name", None) == standard_name or dim.lower() in names
        ):
            return dim
    return None


def _rising(centres: Array, where: str) -> tuple[Array, NDArray[np.int64]]:
    index = np.arange(centres.size)
    if centres.size > 1 and centres[0] > centres[-1]:
        index = index[::-1]
    rising = centres[index]
    if rising.size < 2 or not np.all(np.diff(rising) > 0):
        raise GridError(
            "a coordinate is no axis", expected="at least 2 values that only rise or only fall", where=where
        )
    return rising, index

"""Regular latitude-longitude grids, boxes of cells, and the position of a fine grid on a coarse grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError

#: Radius of the sphere with the surface area of the WGS 84 ellipsoid (m), EPSG:7030.
EARTH_RADIUS = 6_371_007.2


class Box(NamedTuple):
    """Half-open range of rows and columns. Columns outside a periodic grid wrap around."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def size(self) -> int:
        rows, cols = self.shape
        return max(rows, 0) * max(cols, 0)

    def intersect(self, other: Box) -> Box:
        return Box(
            max(self.row0, other.row0),
            min(self.row1, other.row1),
            max(self.col0, other.col0),
            min(self.col1, other.col1),
        )

    def slices(self, origin: Box | None = None) -> tuple[slice, slice]:
        """Slices of this box in an array that starts at ``origin`` (default: the whole grid)."""
        row, col = (0, 0) if origin is None else (origin.row0, origin.col0)
        return (
            slice(self.row0 - row, self.row1 - row),
            slice(self.col0 - col, self.col1 - col),
        )


@dataclass(frozen=True)
class LatLonGrid:
    """A regular grid, defined like a geotransform by the outer edge of the first cell and a signed cell size.

    All values are in degrees. ``dlat`` is negative if rows run from north to south.
    Cells are in row-major order; the global id of a cell is ``row * nlon + col``.
    """

    lon0: float
    dlon: float
    nlon: int
    lat0: float
    dlat: float
    nlat: int

    def __post_init__(self) -> None:
        values = (self.lon0, self.dlon, self.lat0, self.dlat)
        if not all(np.isfinite(values)) or self.dlon <= 0 or self.dlat == 0:
            raise GridError(
                "a latitude-longitude grid is malformed",
                expected="finite edges, a positive longitude step and a latitude step other than zero",
                found=values,
            )
        if self.nlon < 1 or self.nlat < 1:
            raise GridError("a latitude-longitude grid has no cells", found=(self.nlat, self.nlon))
        # A tenth of a cell is allowed: the rounded cell size of HILDA+ v1.0 puts its last row 4e-4 degrees past
        # the pole. Edges are clipped to the pole where areas are computed.
        if self.dlon * self.nlon > 360 + 0.1 * self.dlon:
            raise GridError(
                "a grid spans more than the globe",
                expected="at most 360 degrees of longitude",
                found=self.dlon * self.nlon,
            )
        if max(abs(self.lat0), abs(self.lat0 + self.nlat * self.dlat)) > 90 + 0.1 * abs(self.dlat):
            raise GridError(
                "a grid reaches beyond a pole",
                expected="latitudes from -90 to 90 degrees",
                found=(self.lat0, self.lat0 + self.nlat * self.dlat),
                remedy="check that coordinates are cell centres in degrees",
            )

    @classmethod
    def from_centres(cls, lon: NDArray[np.floating], lat: NDArray[np.floating], where: object = None) -> LatLonGrid:
        """Make the grid with these evenly spaced cell centres (degrees).

        The rounding error of single precision at 180 degrees is 1.5e-5, about a thousandth of a cell of 0.01. So steps
        of single-precision coordinates may also differ by this error, and the grid is a least-squares fit.
        """
        edges = []
        for name, given in (("longitude", np.asarray(lon)), ("latitude", np.asarray(lat))):
            values = given.astype(np.float64)
            if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
                raise GridError(f"{name} is not an axis", expected="at least 2 finite values", where=where)
            step, first = (values[-1] - values[0]) / (values.size - 1), values[0]
            rounding = float(np.spacing(np.abs(given).max())) if given.dtype == np.float32 else 0.0
            if rounding:
                number = np.arange(values.size) - (values.size - 1) / 2
                step = number @ (values - values.mean()) / (number @ number)
                first = values.mean() + number[0] * step
            if step == 0 or np.abs(np.diff(values) - step).max() > 1e-3 * abs(step) + rounding:
                raise GridError(
                    f"{name} is not evenly spaced",
                    expected=f"steps of {step:.8g} degrees",
                    found=f"steps from {np.diff(values).min():.8g} to {np.diff(values).max():.8g}",
                    where=where,
                )
            edges.append((float(first - step / 2), float(step), values.size))
        return cls(*edges[0], *edges[1])

    @property
    def shape(self) -> tuple[int, int]:
        return self.nlat, self.nlon

    @property
    def size(self) -> int:
        return self.nlat * self.nlon

    @property
    def box(self) -> Box:
        return Box(0, self.nlat, 0, self.nlon)

    @property
    def periodic(self) -> bool:
        """Whether the last column is next to the first (36041 columns of HILDA+ span 359.991 degrees)."""
        return self.dlon * self.nlon > 360 - self.dlon

    @property
    def lon(self) -> NDArray[np.float64]:
        """Cell centres (degrees east)."""
        return np.asarray(self.lon0 + self.dlon * (np.arange(self.nlon) + 0.5), np.float64)

    @property
    def lat(self) -> NDArray[np.float64]:
        """Cell centres (degrees north)."""
        return np.asarray(self.lat0 + self.dlat * (np.arange(self.nlat) + 0.5), np.float64)

    @property
    def lon_edges(self) -> NDArray[np.float64]:
        return np.asarray(self.lon0 + self.dlon * np.arange(self.nlon + 1), np.float64)

    @property
    def lat_edges(self) -> NDArray[np.float64]:
        return np.clip(self.lat0 + self.dlat * np.arange(self.nlat + 1), -90.0, 90.0)

    @property
    def row_area(self) -> NDArray[np.float64]:
        """Area of a cell of each row on the sphere (m2): R2 dlon |sin(lat1) - sin(lat0)|."""
        sines = np.sin(np.deg2rad(self.lat_edges))
        return np.asarray(EARTH_RADIUS**2 * np.deg2rad(self.dlon) * np.abs(np.diff(sines)))

    def sub(self, box: Box) -> LatLonGrid:
        """The grid of a box of this grid."""
        rows, cols = box.shape
        return LatLonGrid(
            self.lon0 + box.col0 * self.dlon, self.dlon, cols, self.lat0 + box.row0 * self.dlat, self.dlat, rows
        )

    def rows_of(self, lat: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row of each latitude, possibly outside the grid."""
        return np.floor((np.asarray(lat) - self.lat0) / self.dlat).astype(np.int64)

    def cols_of(self, lon: NDArray[np.float64], *, wrap: bool = True) -> NDArray[np.int64]:
        """Column of each longitude, possibly outside the grid.

        Parameters
        ----------
        wrap:
            Whether to shift longitudes by whole turns to this grid. If not, columns continue east and west of it.
        """
        offset = np.asarray(lon) - self.lon0
        return np.floor((offset % 360.0 if wrap else offset) / self.dlon).astype(np.int64)

    @property
    def hash(self) -> str:
        """Short hash that identifies the grid in restarts, caches and provenance."""
        numbers = np.array([self.lon0, self.dlon, self.nlon, self.lat0, self.dlat, self.nlat], np.float64)
        return hashlib.sha256(numbers.tobytes()).hexdigest()[:16]

    def __str__(self) -> str:
        south, north = sorted((self.lat0, self.lat0 + self.nlat * self.dlat))
        return (
            f"{self.nlat} x {self.nlon} cells of {abs(self.dlat):.6g} x {self.dlon:.6g} degrees, "
            f"{south:.4g} to {north:.4g} N, {self.lon0:.4g} to {self.lon0 + self.nlon * self.dlon:.4g} E"
        )


def forcing_lattice(fine: LatLonGrid, coarse: LatLonGrid) -> LatLonGrid:
    """The cells of an (unbounded) coarse lattice that contain the cell centres of a fine grid.

    ``coarse`` defines the position and the size of cells. The result may extend beyond ``coarse``, so that a
    regional data set can be compared with the cells that a domain needs.
    """
    rows, cols = coarse.rows_of(fine.lat[[0, -1]]), coarse.cols_of(fine.lon[[0, -1]], wrap=False)
    found = coarse.sub(Box(int(rows.min()), int(rows.max()) + 1, int(cols[0]), int(cols[1]) + 1))
    # The first edge of a part of a grid is rounded, so a centre on an edge can lie in the cell next to the part: that
    # cell is added. The cells of centres are those of the part (rows_of, cols_of), as in earlier versions.
    while True:
        rows, cols = found.rows_of(fine.lat[[0, -1]]), found.cols_of(fine.lon[[0, -1]], wrap=False)
        needed = Box(
            min(int(rows.min()), 0),
            max(int(rows.max()) + 1, found.nlat),
            min(int(cols[0]), 0),
            max(int(cols[1]) + 1, found.nlon),
        )
        if needed == found.box:
            return found
        found = found.sub(needed)

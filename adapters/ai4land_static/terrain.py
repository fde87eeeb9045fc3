"""Slope and aspect from elevation, on the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import EARTH_RADIUS

Array = NDArray[np.float64]


def gradient(elevation: Array, lat: Array, lon: Array) -> tuple[Array, Array]:
    """Rise of the land towards east and towards north (m per m), by central differences.

    Differences are one-sided in the outermost rows and columns. Distances are R dlat to the north and R cos(lat) dlon
    to the east, in geographic and in rotated coordinates.

    Parameters
    ----------
    elevation:
        (lat, lon), m.
    lat, lon:
        Ascending coordinates of the rows and columns (degrees).
    """
    # At a pole cos(lat) is 0. The division must stay finite.
    parallel = EARTH_RADIUS * np.maximum(np.cos(np.deg2rad(lat)), 1e-6)
    east = np.gradient(elevation, np.deg2rad(lon), axis=1) / parallel[:, None]
    north = np.gradient(elevation, np.deg2rad(lat), axis=0) / EARTH_RADIUS
    return _without_rounding(east), _without_rounding(north)


def _without_rounding(rise: Array) -> Array:
    """Set tiny gradients to 0: differences over uneven steps give 1e-15 on flat land, which must have no aspect."""
    return np.where(np.abs(rise) < 1e-12, 0.0, rise)


def slope(east: Array, north: Array) -> Array:
    """Angle (degrees) between the surface and the horizontal, from a gradient."""
    return np.asarray(np.rad2deg(np.arctan(np.hypot(east, north))))


def aspect(east: Array, north: Array, bearing_of_north: Array | float = 0.0) -> Array:
    """Downslope direction in degrees clockwise from north; 0 on flat land.

    Parameters
    ----------
    bearing_of_north:
        Clockwise angle (radians) from north in the coordinates of the gradient to geographic north.
    """
    facing = whole_turn(np.rad2deg(np.arctan2(-east, -north) - bearing_of_north))
    return np.where((east == 0) & (north == 0), 0.0, facing)


def whole_turn(angle: Array) -> Array:
    """Convert angles from -360 to 360 degrees to 0 to 360. This is several times faster than a remainder."""
    return np.where(angle < 0, angle + 360.0, angle)

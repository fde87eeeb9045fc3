"""Slope and aspect from elevation, on the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import EARTH_RADIUS

Array = NDArray[np.float64]


def gradient(elevation: Array, lat: Array, lon: Array) -> tuple[Array, Array]:
    """Rise of the land towards east and towards north (m per m), by central differences.

    One-sided on the outermost rows and columns. A distance is R dlat northward and R cos(lat) dlon eastward,
    in geographic or rotated coordinates alike.

    Parameters
    ----------
    elevation:
        (lat, lon), m.
    lat, lon:
        Rising coordinates of the rows and columns (degrees).
    """
    # At a pole all longitudes are one point: keep the division finite there.
    parallel = EARTH_RADIUS * np.maximum(np.cos(np.deg2rad(lat)), 1e-6)
    east = np.gradient(elevation, np.deg2rad(lon), axis=1) / parallel[:, None]
    north = np.gradient(elevation, np.deg2rad(lat), axis=0) / EARTH_RADIUS
    return _without_rounding(east), _without_rounding(north)


def _without_rounding(rise: Array) -> Array:
    """Differences over uneven steps leave 1e-15 on flat land, which would have an aspect."""
    return np.where(np.abs(rise) < 1e-12, 0.0, rise)


def slope(east: Array, north: Array) -> Array:
    """Angle of the surface against the horizontal (degrees) of a gradient."""
    return np.asarray(np.rad2deg(np.arctan(np.hypot(east, north))))


def aspect(east: Array, north: Array, bearing_of_north: Array | float = 0.0) -> Array:
    """Direction that the surface faces, downslope, in degrees clockwise from north; 0 where it is flat.

    Parameters
    ----------
    bearing_of_north:
        Direction of geographic north in the frame of the gradient, clockwise (radians).
    """
    facing = whole_turn(np.rad2deg(np.arctan2(-east, -north) - bearing_of_north))
    return np.where((east == 0) & (north == 0), 0.0, facing)


def whole_turn(angle: Array) -> Array:
    """Angles from -360 to 360 degrees as 0 to 360: what a remainder gives, several times as fast."""
    return np.where(angle < 0, angle + 360.0, angle)

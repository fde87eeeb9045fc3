"""Rotated poles (CF conventions, appendix F, rotated_latitude_longitude)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import lon_lat, unit_vectors

Floats = NDArray[np.float64]


def true_coordinates(
    lon: Floats, lat: Floats, pole_lon: float, pole_lat: float, pole_grid_lon: float = 0.0
) -> tuple[Floats, Floats]:
    """Convert points of a rotated grid to true longitudes (0 to 360) and latitudes, degrees, any shape.

    Parameters
    ----------
    lon, lat:
        Longitude and latitude on the rotated grid (``grid_longitude``, ``grid_latitude``).
    pole_lon, pole_lat:
        True longitude and latitude of the rotated north pole.
    pole_grid_lon:
        Longitude of the true north pole on the rotated grid (``north_pole_grid_longitude``).
    """
    rotated = unit_vectors(lon - pole_grid_lon, lat)
    colatitude = np.deg2rad(90.0 - pole_lat)
    # The rotated prime meridian leads from the rotated pole away from the true one, so x points to colatitude + 90.
    turn = np.deg2rad(pole_lon)
    east = np.array([np.sin(turn), -np.cos(turn), 0.0])
    pole = np.array([np.sin(colatitude) * np.cos(turn), np.sin(colatitude) * np.sin(turn), np.cos(colatitude)])
    origin = np.cross(east, pole)
    return lon_lat(rotated[..., :1] * origin + rotated[..., 1:2] * east + rotated[..., 2:] * pole)

"""Converts geographic coordinates to those of a rotated pole, as regional models use them.

CF conventions, appendix F, ``rotated_latitude_longitude``; formulas of Doms and Baldauf, COSMO documentation
part I (2018), section 3.3 (https://doi.org/10.5676/DWD_pub/nwv/cosmo-doc_5.05_I), as in COSMO's
``phi2phirot`` and ``rla2rlarot``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RotatedPole:
    """A rotated pole with the attributes of the CF conventions (degrees)."""

    grid_north_pole_latitude: float
    grid_north_pole_longitude: float
    north_pole_grid_longitude: float = 0.0

    def rotate(self, lat: Array, lon: Array) -> tuple[Array, Array]:
        """Rotated latitude and longitude (-180 to 180) of geographic points (degrees, any shape)."""
        phi, pole = np.deg2rad(lat), np.deg2rad(self.grid_north_pole_latitude)
        turn = np.deg2rad(np.asarray(lon) - self.grid_north_pole_longitude)
        sine = np.sin(phi) * np.sin(pole) + np.cos(phi) * np.cos(pole) * np.cos(turn)
        east = -np.sin(turn) * np.cos(phi)
        north = np.sin(phi) * np.cos(pole) - np.cos(phi) * np.sin(pole) * np.cos(turn)
        rlon = np.rad2deg(np.arctan2(east, north)) - self.north_pole_grid_longitude
        return np.rad2deg(np.arcsin(np.clip(sine, -1.0, 1.0))), (rlon + 180.0) % 360.0 - 180.0

    def bearing_of_north(self, rlat: Array, rlon: Array) -> Array:
        """Direction of the geographic north pole, clockwise from rotated north (radians).

        It is the initial bearing of the great circle to the geographic pole, whose rotated coordinates are
        (grid_north_pole_latitude, -north_pole_grid_longitude).
        """
        phi, pole = np.deg2rad(rlat), np.deg2rad(self.grid_north_pole_latitude)
        turn = np.deg2rad(-self.north_pole_grid_longitude - np.asarray(rlon))
        east = np.cos(pole) * np.sin(turn)
        north = np.cos(phi) * np.sin(pole) - np.sin(phi) * np.cos(pole) * np.cos(turn)
        return np.asarray(np.arctan2(east, north))

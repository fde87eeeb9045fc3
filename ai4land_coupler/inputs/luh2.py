"""The grid of LUH2, a quarter of a degree (Hurtt et al. 2020, https://doi.org/10.5194/gmd-13-5425-2020)."""

from __future__ import annotations

from ai4land_coupler.core.grid import LatLonGrid

#: The cells of LUH2, from 90 N and 180 W. Runs and trainings without forcing use it as their forcing grid.
LUH2_LATTICE = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)

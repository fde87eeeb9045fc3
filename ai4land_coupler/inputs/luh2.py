"""Where LUH2's data lie: its lattice of quarter degrees (Hurtt et al. 2020, https://doi.org/10.5194/gmd-13-5425-2020)."""

from __future__ import annotations

from ai4land_coupler.core.grid import LatLonGrid

#: LUH2's cells, from 90 N and 180 W. Runs and trainings without forcing take their blocks from it too.
LUH2_LATTICE = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)

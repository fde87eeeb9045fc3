"""The CF axes are read by :mod:`ai4land_coupler.api`; this module keeps the earlier import path."""

from ai4land_coupler.api import MapAxes, read_axes, read_years, time_dimension

__all__ = ["MapAxes", "read_axes", "read_years", "time_dimension"]

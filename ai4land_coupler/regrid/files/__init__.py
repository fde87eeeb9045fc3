"""Regridding of files: weights between grid files, applied to the variables of any file (docs/regridding.md)."""

from ai4land_coupler.regrid.files.applying import regrid_file
from ai4land_coupler.regrid.files.making import convert_weights, make_weights

__all__ = ["convert_weights", "make_weights", "regrid_file"]

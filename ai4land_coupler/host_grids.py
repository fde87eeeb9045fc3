"""``mesh_from_arrays`` under the path of earlier versions: see ``ai4land_coupler.grids``."""

from ai4land_coupler.grids import mesh_from_arrays

__all__ = ["mesh_from_arrays"]

"""Grids of host models from files, names or arrays of a host, and their distribution over ranks (docs/grids.md)."""

from ai4land_coupler.grids.arrays import mesh_from_arrays
from ai4land_coupler.grids.coverage import check_coverage
from ai4land_coupler.grids.files.read import read_mesh
from ai4land_coupler.grids.gaussian import gaussian_mesh
from ai4land_coupler.grids.generated import generated_mesh
from ai4land_coupler.grids.latlon import latlon_mesh, partition
from ai4land_coupler.grids.spheres import cubed_sphere_mesh, icosahedral_mesh

__all__ = [
    "check_coverage",
    "cubed_sphere_mesh",
    "gaussian_mesh",
    "generated_mesh",
    "icosahedral_mesh",
    "latlon_mesh",
    "mesh_from_arrays",
    "partition",
    "read_mesh",
]

"""Grids of host models: from files, from names, from a host's arrays, and split over ranks (docs/grids.md)."""

from ai4land_coupler.host_grids.files import read_mesh
from ai4land_coupler.host_grids.gaussian import gaussian_mesh
from ai4land_coupler.host_grids.generated import generated_mesh
from ai4land_coupler.host_grids.latlon import latlon_mesh, partition
from ai4land_coupler.host_grids.spheres import cubed_sphere_mesh, icosahedral_mesh

__all__ = [
    "cubed_sphere_mesh",
    "gaussian_mesh",
    "generated_mesh",
    "icosahedral_mesh",
    "latlon_mesh",
    "partition",
    "read_mesh",
]

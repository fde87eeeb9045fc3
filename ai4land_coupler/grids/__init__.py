"""Grids of host models from files, names or arrays of a host, and their distribution over ranks (docs/grids.md)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOME = {
    "check_coverage": "coverage",
    "cubed_sphere_mesh": "spheres",
    "gaussian_mesh": "gaussian",
    "generated_mesh": "generated",
    "icosahedral_mesh": "spheres",
    "latlon_mesh": "latlon",
    "mesh_from_arrays": "arrays",
    "partition": "latlon",
    "read_mesh": "files.read",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: a program that needs only meshes does not load xarray and scipy."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

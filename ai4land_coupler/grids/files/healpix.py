"""HEALPix cells of a grid mapping: CF 1.13 (``refinement_level``, ``indexing_scheme``), and older spellings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.netcdf import attributes_of
from ai4land_coupler.grids.files.variables import NAME_A_VARIABLE, GridFile
from ai4land_coupler.grids.healpix import healpix_mesh
from ai4land_coupler.grids.mesh import Mesh, unit_vectors
from ai4land_coupler.grids.polygons import Polygons

#: Spellings of the two orders.
_NESTED, _RING = ("nested", "nest"), ("ring",)
#: Largest refinement level: 12 x 4**13 cells are a list of 800 million.
_FINEST = 13


@dataclass(frozen=True)
class _Mapping:
    name: str
    nside: int
    nested: bool


def read_healpix(file: GridFile) -> Polygons | None:
    """The cells of a HEALPix grid mapping, ``None`` if the file has none.

    A coordinate with the standard name ``healpix_index`` numbers the cells. Without it, the file must have all cells.

    Raises
    ------
    DataError
        The mapping is incomplete, or the number of cells does not fit it, or the file has several HEALPix grids.
    """
    names = [name for name in file.variables if file.attribute(name, "grid_mapping_name") == "healpix"]
    if file.variable is not None and file.variable in file.variables:
        words = file.attribute(file.variable, "grid_mapping").replace(":", " ").split()
        names = [name for name in names if name in words]
    if not names:
        return None
    mappings = [
        _Mapping(name, *healpix_resolution(attributes_of(file.variables[name]), f"{file.path}: {name}"))
        for name in names
    ]
    users = [
        name
        for name in ([file.variable] if file.variable is not None else file.variables)
        if names[0] in file.attribute(name, "grid_mapping").replace(":", " ").split()
    ]
    dimensions = {dim for dim in (_cells_of(file, name, mappings[0]) for name in users) if dim}
    if len({(mapping.nside, mapping.nested) for mapping in mappings}) > 1 or len(dimensions) > 1:
        raise DataError(
            "a file holds several grids",
            found=", ".join([*names, *sorted(dimensions)]),
            where=file.path,
            remedy=f"name a data variable, whose grid is taken: {NAME_A_VARIABLE}",
        )
    mapping = mappings[0]
    size = 12 * mapping.nside**2
    index = _index(file, dimensions)
    if index is None and not dimensions:
        raise DataError(
            "the number of cells does not fit a HEALPix grid",
            expected=f"a variable with the grid mapping {mapping.name} on {size} cells, or a healpix_index",
            found=", ".join(f"{name} {file.variables[name].shape}" for name in users) or "no such variable",
            where=f"{file.path}: {mapping.name}",
        )
    if index is not None and (
        index.size == 0 or index.min() < 0 or index.max() >= size or np.unique(index).size < index.size
    ):
        raise DataError(
            "the HEALPix indices of a file cannot be used",
            expected=f"each index once, 0 to {size - 1}",
            found=f"{index.size} indices, {index.min(initial=0)} to {index.max(initial=0)}",
            where=file.path,
        )
    mesh = healpix_mesh(mapping.nside, mapping.nested, mapping.name, index)
    _refuse_contradiction(file, dimensions, mesh, mapping.nside)
    return Polygons(mesh.corner_lon, mesh.corner_lat, file.taken((mesh.size,)), mesh.centre_lon, mesh.centre_lat)


def _refuse_contradiction(file: GridFile, dimensions: set[str], mesh: Mesh, nside: int) -> None:
    """Refuse latitudes and longitudes of the file that are not those of the cells, by a twentieth of a cell."""
    found = {file.kind(name): name for name, variable in file.variables.items() if {*variable.dimensions} == dimensions}
    if "latitude" not in found or "longitude" not in found:
        return
    lat, lon = (file.degrees(found[kind]) for kind in ("latitude", "longitude"))
    if lat.shape != (mesh.size,) or lon.shape != (mesh.size,):
        return
    apart = np.linalg.norm(unit_vectors(lon, lat) - unit_vectors(*mesh.centres()), axis=1)
    cell = int(np.nanargmax(apart)) if np.isfinite(apart).any() else 0
    if apart[cell] > 0.05 / nside:
        raise DataError(
            "coordinates contradict each other",
            expected=f"{found['latitude']} and {found['longitude']} as HEALPix puts cell {cell}:"
            f" {mesh.centres()[0][cell]:.6g} E, {mesh.centres()[1][cell]:.6g} N",
            found=f"{lon[cell]:.6g} E, {lat[cell]:.6g} N",
            where=file.path,
            remedy="correct indexing_scheme or refinement_level, or remove the wrong coordinates from the file",
        )


def healpix_resolution(attributes: Mapping[str, Any], where: object) -> tuple[int, bool]:
    """``nside``, and whether cells come in nested order, from the attributes of a grid mapping.

    These are ``refinement_level`` and ``indexing_scheme`` of CF 1.13, or ``healpix_nside`` and ``healpix_order``.

    Raises
    ------
    DataError
        One of them is missing or has another value.
    """
    order = str(attributes.get("indexing_scheme", attributes.get("healpix_order", ""))).strip().lower()
    try:
        level = attributes.get("refinement_level")
        nside = 2 ** int(level) if level is not None else int(attributes["healpix_nside"])
    except (KeyError, TypeError, ValueError):
        nside = 0
    power = nside > 0 and nside & (nside - 1) == 0
    if not 1 <= nside <= 2**_FINEST or order not in _NESTED + _RING or (order in _NESTED and not power):
        raise DataError(
            "a HEALPix grid is not told",
            expected=f"refinement_level 0 to {_FINEST}, and indexing_scheme nested or ring",
            found=", ".join(f"{key} {value}" for key, value in attributes.items()),
            where=where,
            remedy="correct the grid mapping (CF conventions 1.13, appendix F)",
        )
    return nside, order in _NESTED


def _cells_of(file: GridFile, name: str, mapping: _Mapping) -> str | None:
    """The dimension of the cells of a variable: that of an index, else the one with as many cells as the grid."""
    dimensions = file.variables[name].dimensions
    indexed = [dim for dim in dimensions if _index(file, {dim}) is not None]
    whole = [dim for dim, n in zip(dimensions, file.variables[name].shape, strict=True) if n == 12 * mapping.nside**2]
    return next(iter([*indexed, *reversed(whole)]), None)


def _index(file: GridFile, dimensions: set[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """The numbers of the cells along a dimension, (n,), from a coordinate with the standard name healpix_index."""
    for name, variable in file.variables.items():
        told = file.attribute(name, "standard_name") == "healpix_index"
        if told and variable.ndim == 1 and (not dimensions or variable.dimensions[0] in dimensions):
            return np.asarray(variable[:]).astype(np.int64).ravel()
    return None

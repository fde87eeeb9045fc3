"""Meshes from the arrays of a host."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.coverage import Expect, check_coverage
from ai4land_coupler.grids.mesh import Edges, Mesh, merge_corners, open_polygons, to_pole
from ai4land_coupler.parallel.collective import agree

Units = Literal["degrees", "radians"]
Floats = NDArray[np.float64]

#: Spellings of units that hosts use.
_SPELLINGS: dict[str, Units] = {"degree": "degrees", "radian": "radians", "rad": "radians"}


def mesh_from_arrays(
    name: str,
    cell_ids: ArrayLike,
    lon: ArrayLike,
    lat: ArrayLike,
    global_size: int,
    *,
    connectivity: ArrayLike | None = None,
    start_index: int = 0,
    units: Units = "degrees",
    edges: Edges = "great_circle",
    mask: ArrayLike | None = None,
    centre_lon: ArrayLike | None = None,
    centre_lat: ArrayLike | None = None,
    expect: Expect | None = None,
    comm: Any = None,
) -> Mesh:
    """Make and check the mesh of the cells that this rank owns. Collective over ``comm`` if it is given.

    Parameters
    ----------
    cell_ids:
        Global ids, 0-based, (n,). No cell may be on more than one rank.
    lon, lat:
        Corners (n, k), counter-clockwise seen from outside, longitudes in any convention. A cell with fewer corners
        repeats its last corner, or has NaN (or masked values) for unused corners. With ``connectivity``: nodes (m,).
    global_size:
        Number of cells of the whole grid.
    connectivity:
        Nodes of each cell, integers (n, k). The first node has the number ``start_index``; smaller numbers mark unused
        corners.
    units:
        Units of corners, nodes and centres.
    mask:
        Booleans or numbers, (n,): False, 0 or a masked value for masked cells. Default: no cell is masked.
    centre_lon, centre_lat:
        Location of the values, (n,). Default: the middle of the corners.
    expect:
        ``global``: refuse gaps.

    Raises
    ------
    GridError
        On every rank of ``comm``: all faults that :func:`ai4land_coupler.grids.checks.validate` and
        :func:`ai4land_coupler.grids.check_coverage` refuse, shapes that do not match, degrees given as radians.
        Clockwise cells are refused because the arrays of a host are never corrected.
    """
    error: Exception | None = None
    mesh: Mesh | None = None
    try:
        corners = _angles(name, "corners", lon, lat, units)
        if connectivity is not None:
            nodes = np.ma.filled(connectivity, start_index - 1) if np.ma.isMA(connectivity) else connectivity
            corners = _gathered(name, np.asarray(nodes), start_index, *corners)
        n = corners[0].shape[0] if corners[0].ndim else 0
        masked: Any = np.ma.asarray(cell_ids)
        if np.ma.is_masked(masked):
            found = f"{int(np.ma.getmaskarray(masked).sum())} masked ids"
            raise GridError("cell ids are missing", found=found, where=name)
        ids = np.asarray(masked)
        if ids.size and not np.issubdtype(ids.dtype, np.integer):
            raise GridError("cell ids are malformed", expected="integers", found=ids.dtype, where=name)
        centres: tuple[Floats | None, Floats | None] = (None, None)
        if centre_lon is not None and centre_lat is not None:
            centres = _angles(name, "centres", centre_lon, centre_lat, units)
        mesh = Mesh(
            name,
            ids.astype(np.int64),
            *corners,
            edges,
            np.ones(n, bool) if mask is None else _mask(name, np.asarray(np.ma.filled(mask, 0))),
            int(global_size),
            *centres,
        )
    except Exception as caught:
        error = caught
    agree(error, comm)
    assert mesh is not None
    validate(mesh, comm)
    mesh = open_polygons(merge_corners(mesh))
    check_coverage(mesh, comm, expect)
    return mesh


def _angles(name: str, what: str, lon: ArrayLike, lat: ArrayLike, units: Units) -> tuple[Floats, Floats]:
    """Copies in degrees, NaN where masked. Values that are too large for radians are refused.

    Latitudes that pass a pole by rounding in single precision are moved to the pole.
    """
    values = _filled(lon), _filled(lat)
    units = _SPELLINGS.get(units, units)
    if units == "degrees":
        return values[0], to_pole(values[1])
    if units != "radians":
        raise GridError("unknown units of coordinates", expected="degrees or radians", found=units, where=name)
    farthest = [float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0)) for array in values]
    if farthest[1] > np.pi / 2 + 1e-6 or farthest[0] > 4 * np.pi + 1e-6:
        raise GridError(
            f"the {what} of a grid look like degrees",
            expected="radians: longitudes up to 4 pi and latitudes up to pi / 2",
            found=f"longitudes up to {farthest[0]:.6g}, latitudes up to {farthest[1]:.6g}",
            where=name,
            remedy='give units="degrees"',
        )
    return np.rad2deg(values[0]), np.clip(np.rad2deg(values[1]), -90.0, 90.0)


def _filled(values: ArrayLike) -> Floats:
    """A copy in double precision. Masked values of a masked array become NaN."""
    return np.array(np.ma.filled(np.ma.asarray(values, np.float64), np.nan))


def _gathered(
    name: str, connectivity: NDArray[Any], start_index: int, lon: Floats, lat: Floats
) -> tuple[Floats, Floats]:
    """Corners (n, k) of cells given by nodes."""
    if connectivity.ndim != 2 or not np.issubdtype(connectivity.dtype, np.integer):
        raise GridError(
            "the connectivity of a grid is malformed",
            expected="integers (cells, corners)",
            found=f"{connectivity.dtype} {connectivity.shape}",
            where=name,
        )
    if lon.ndim != 1 or lon.shape != lat.shape:
        raise GridError(
            "the nodes of a grid are malformed",
            expected="longitudes and latitudes (nodes,) alike",
            found=f"{lon.shape} and {lat.shape}",
            where=name,
        )
    index = connectivity.astype(np.int64) - start_index
    if index.size and index.max() >= lon.size:
        cell = int(np.argmax(index.max(axis=1)))
        raise GridError(
            "a cell has a node that does not exist",
            expected=f"nodes {start_index} to {lon.size - 1 + start_index}",
            found=f"node {int(connectivity.max())}",
            where=f"{name}, local cell {cell}",
            remedy="check start_index",
        )
    unused = index < 0
    index = np.where(unused, 0, index)
    return np.where(unused, np.nan, lon[index]), np.where(unused, np.nan, lat[index])


def _mask(name: str, mask: NDArray[Any]) -> NDArray[np.bool_]:
    if mask.dtype != np.bool_ and not (np.issubdtype(mask.dtype, np.number) and np.isfinite(mask).all()):
        raise GridError("a mask is malformed", expected="booleans or numbers, 0 for no", found=mask.dtype, where=name)
    return np.asarray(mask != 0)

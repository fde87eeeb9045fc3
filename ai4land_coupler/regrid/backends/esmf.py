"""Regrid weights by ESMF (https://earthsystemmodeling.org), through esmpy.

All ranks of the communicator make the weights together, and ESMF distributes the search over them. The cells of any
grid become polygons of an ESMF Mesh. Edges of ESMF are great circles, so edges along parallels become chains of short
arcs (:func:`~ai4land_coupler.regrid.backends.esmf_mesh.great_circle_polygons`).
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ai4land_coupler.api import GridError, LocalWeights, Mesh, Method, Norm, Registry, Regridder, RunError, hookimpl
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.candidates import Candidates
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.mesh import FLAT, at_pole, flatness, lon_lat, merge_corners
from ai4land_coupler.parallel.collective import (
    agree,
    indices_to_send,
    local_index,
    owners,
    send_to_owners,
)
from ai4land_coupler.regrid.backends import esmf_runtime
from ai4land_coupler.regrid.backends.esmf_mesh import DenseIds, great_circle_polygons, name_nodes, shared_longitudes
from ai4land_coupler.regrid.methods.built_in import RegridOptions, built_in_weights, check_request
from ai4land_coupler.regrid.methods.closed_form import value_points
from ai4land_coupler.regrid.methods.conserve import OverlapAreas, covered_scale

_ESMF_METHOD: dict[Method, str] = {
    "conservative": "CONSERVE",
    "conservative2nd": "CONSERVE_2ND",
    "bilinear": "BILINEAR",
    "nearest": "NEAREST_STOD",
}
_CONSERVATIVE = ("conservative", "conservative2nd")
#: A destination cell counts as completely covered if its overlaps differ less (relative) from its area.
_COVERED = 1e-8
#: Exceptions that esmpy raises. Any other exception is a bug of this package.
_ESMF_ERRORS = (ValueError, RuntimeError, TypeError, KeyError)


class EsmfRegridOptions(RegridOptions):
    """Options of the ESMF backend.

    Parameters
    ----------
    subdivide:
        Number of pieces (of 0.25 degrees or more) of an edge along a parallel; each piece becomes two arcs that keep
        the area. 0 uses great circles between the corners. Between two grids of meridians and parallels, edges are
        cut at all longitudes of both grids instead.
    points:
        ``shared`` makes ``bilinear`` and ``nearest`` weights with the code for all backends, ``esmf`` with ESMF. ESMF
        gives no weights to cells that are not between source points, and rounding decides between equally near points.
    """

    subdivide: int = Field(4, ge=0, le=64)
    points: Literal["shared", "esmf"] = "shared"


class EsmfRegridder(Regridder):
    """Conservative (first and second order), bilinear and nearest weights between two distributed meshes."""

    methods: frozenset[Method] = frozenset(_ESMF_METHOD)

    def __init__(self, options: EsmfRegridOptions | None = None) -> None:
        self.options = options or EsmfRegridOptions()

    @property
    def version(self) -> str:
        """Version of esmpy, which is also that of ESMF; empty if it is not installed."""
        try:
            return metadata.version("esmpy")
        except metadata.PackageNotFoundError:
            return ""

    def build(
        self,
        source: Mesh,
        destination: Mesh,
        method: Method = "conservative",
        norm: Norm = "destination",
        comm: Any = None,
    ) -> LocalWeights:
        """Make the weights of the destination cells that this rank owns. Collective over ``comm``.

        Parameters
        ----------
        source, destination:
            Owned cells of both grids; ranks may have none. Masked cells have no weights.
        method:
            ``conservative2nd`` does not allow source cells that end at a pole.
        comm:
            mpi4py communicator, private to the component; ``None`` for a single process.

        Returns
        -------
        Rows in the order of ``destination.cell_ids``, each sorted by global source id. The areas of completely covered
        destination cells are the sums of their overlaps, which differ from :func:`cell_area` by up to 1e-9 (relative).

        Raises
        ------
        GridError, ConfigError, PluginError, RunError
            On every rank.
        """
        check_request("ESMF", self.methods, method, norm)
        validate(source, comm)
        validate(destination, comm)
        if method in _CONSERVATIVE or self.options.points == "shared":
            found = built_in_weights(source, destination, method, norm, self.options, comm)
            if found is not None:
                return found
        if method == "conservative2nd":
            agree(_pole_triangles(source), comm)
        esmpy = esmf_runtime.start(comm)
        source_area, destination_area = cell_area(source), cell_area(destination)
        row, ids, values = _weights(esmpy, source, destination, method, self.options.subdivide, comm)
        if method == "conservative":
            values = values * _scale(source, source_area, destination, destination_area, row, ids, values, comm)
        sums = np.bincount(row, weights=values, minlength=destination.size)
        if method in _CONSERVATIVE:
            # ESMF's overlaps of completely covered cells differ from their area by up to 1e-9
            covered = np.abs(sums - 1.0) <= _COVERED
            destination_area = np.where(covered, destination_area * sums, destination_area)
            fraction = np.where(covered, 1.0, sums)
            divisor = np.where(covered, sums, 1.0) if norm == "destination" else sums
        else:
            fraction, divisor = (sums != 0.0).astype(np.float64), sums
        values = values / divisor[row]
        return LocalWeights(
            indptr=np.searchsorted(row, np.arange(destination.size + 1)),
            source_ids=ids,
            values=values,
            destination_fraction=fraction,
            source_area=source_area,
            destination_area=destination_area,
            provenance={
                "backend": "esmf",
                "version": self.version,
                "method": method,
                "norm": norm,
                "source_edges": source.edges,
                "destination_edges": destination.edges,
                "subdivide": str(self.options.subdivide),
            },
        )


class _Side(NamedTuple):
    """One of the two meshes in the form that ESMF needs."""

    cells: Mesh
    numbers: DenseIds
    masked: NDArray[np.bool_]


def _weights(
    esmpy: Any, source: Mesh, destination: Mesh, method: Method, subdivide: int, comm: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Local destination cell, global source id and value of each weight of this rank, sorted by cell and id."""
    sources = source.take(np.flatnonzero(source.mask if method != "bilinear" else source.mask | _is_polygon(source)))
    taken = np.flatnonzero(destination.mask)
    wanted = destination.take(taken)
    counts = [(sources.size, taken.size)] if comm is None else comm.allgather((sources.size, taken.size))
    if not np.all(np.sum(counts, axis=0)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    giving, getting = (
        _Side(mesh, DenseIds(mesh.cell_ids, mesh.global_size, comm), ~mesh.mask) for mesh in (sources, wanted)
    )
    numbers_to, numbers_from, values = _factors(esmpy, giving, getting, method, subdivide, comm)

    # ESMF should give each rank the weights of its own cells; if a version does not, they are sent to their owners
    ids = getting.numbers.ids(numbers_to)
    columns = [ids, giving.numbers.ids(numbers_from), values]
    ids, source_ids, values = send_to_owners(wanted.cell_ids, ids, columns, comm)
    row = taken[local_index(wanted.cell_ids, ids)]
    order = np.lexsort((source_ids, row))
    row, source_ids, values = row[order], source_ids[order], values[order]
    first = np.flatnonzero(np.diff(row, prepend=-1) | np.diff(source_ids, prepend=-1))
    return row[first], source_ids[first], np.add.reduceat(values, first) if first.size else values


def _is_polygon(mesh: Mesh) -> NDArray[np.bool_]:
    """Cells that ESMF accepts. Masked ones are kept, because bilinear weights would reach across their gaps."""
    merged = merge_corners(mesh)
    proper = ~np.isnan(merged.corner_lat[:, 2])
    proper[proper] = flatness(merged.take(np.flatnonzero(proper))) > FLAT
    return np.asarray(proper & np.isfinite(value_points(mesh)).all(axis=1))


def _factors(
    esmpy: Any, source: _Side, destination: _Side, method: Method, subdivide: int, comm: Any
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Destination number, source number and value of the weights that ESMF gives this rank. Collective."""
    areas = method in _CONSERVATIVE
    breaks = shared_longitudes(source.cells, destination.cells, comm) if areas and subdivide else None
    made: list[Any] = []

    def add_mesh(side: _Side) -> Any:
        polygons = great_circle_polygons(side.cells, subdivide if areas else 0, breaks)
        nodes = name_nodes(polygons, comm)
        centres = np.stack(lon_lat(value_points(side.cells)), axis=1).ravel()
        mesh = esmpy.Mesh(parametric_dim=2, spatial_dim=2, coord_sys=esmpy.CoordSys.SPH_DEG)
        made.append(mesh)
        mesh.add_nodes(nodes.ids.size, nodes.ids, np.stack([nodes.lon, nodes.lat], axis=1).ravel(), nodes.owner)
        mesh.add_elements(
            side.cells.size,
            side.numbers.numbers,
            polygons.corners.astype(np.int32),
            nodes.place,
            element_mask=side.masked.astype(np.int32),
            element_coords=None if areas else centres,
        )
        made.append(esmpy.Field(mesh, meshloc=esmpy.MeshLoc.ELEMENT))
        return made[-1]

    try:
        fields = []
        for side in (source, destination):
            with _agreed("ESMF does not take a mesh", side.cells.name, comm):
                fields.append(add_mesh(side))
        with _agreed("ESMF could not make regrid weights", f"{source.cells.name} to {destination.cells.name}", comm):
            made.append(
                esmpy.Regrid(
                    *fields,
                    src_mask_values=np.array([1], np.int32),
                    regrid_method=esmpy.RegridMethod[_ESMF_METHOD[method]],
                    unmapped_action=esmpy.UnmappedAction.IGNORE,
                    factors=True,
                )
            )
            weights = made[-1].get_weights_dict(deep_copy=True)
        return weights["row_dst"], weights["col_src"], weights["weights"]
    finally:
        esmf_runtime.release(esmpy, *made)


class _agreed:
    """Turns an exception of esmpy on one rank into an error on every rank."""

    def __init__(self, what: str, where: str, comm: Any) -> None:
        self._what, self._where, self._comm = what, where, comm

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _ESMF_ERRORS):
            error = RunError(self._what, found=error, where=self._where)
        agree(error, self._comm)


def _scale(
    source: Mesh,
    source_area: NDArray[np.float64],
    destination: Mesh,
    destination_area: NDArray[np.float64],
    row: NDArray[np.int64],
    ids: NDArray[np.int64],
    values: NDArray[np.float64],
    comm: Any,
) -> NDArray[np.float64]:
    """Factor for each weight, so that weights of completely covered source cells conserve area to the last digits."""
    needed, column = np.unique(ids, return_inverse=True)
    owner = owners(source.cell_ids, needed, comm)
    sent = indices_to_send(source.cell_ids, needed, owner, comm)
    corners = np.zeros((needed.size, 3))
    known = Mesh(source.name, needed, corners, corners, source.edges, np.ones(needed.size, bool), source.global_size)
    order = np.argsort(np.argsort(owner, kind="stable"))
    overlaps = OverlapAreas(column.ravel(), destination.cell_ids[row], values * destination_area[row])
    candidates = Candidates(known, owner, sent, order)
    return covered_scale(overlaps, candidates, source_area, comm)[column.ravel()]


def _pole_triangles(mesh: Mesh) -> GridError | None:
    """The second order of ESMF uses gradients around each cell, and fails if many cells end in one point."""
    ends = at_pole(mesh.corner_lat).any(axis=1) & mesh.mask
    if not ends.any():
        return None
    return GridError(
        "second-order weights are not possible from cells that meet at a pole",
        found=f"{int(ends.sum())} such cells, first cell {mesh.cell_ids[np.argmax(ends)]}",
        where=mesh.name,
        remedy="mask them, or use the method conservative",
    )


def _create(options: EsmfRegridOptions) -> EsmfRegridder:
    """Conservative, bilinear and nearest weights by ESMF on all ranks together; needs esmpy."""
    return EsmfRegridder(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.regridder("esmf", _create, EsmfRegridOptions)

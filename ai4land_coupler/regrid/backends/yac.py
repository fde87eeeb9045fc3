"""Conservative regrid weights by YAC (https://dkrz-sw.gitlab-pages.dkrz.de/yac).

Source cells are first sent to the ranks whose destination cells they may overlap. Each rank then calls YAC for its own
destination cells, block by block, on ``MPI_COMM_SELF``. So weights do not depend on the number of ranks, ranks may have
no cells, our ids stay 64-bit, no call of YAC waits for another rank, and memory is limited. The disadvantage: the work
of a rank is proportional to the number of source cells of its destination cells.

YAC returns weights only through a file, which is written to the temporary folder of the rank.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import GridError, LocalWeights, Mesh, Method, Norm, PluginError, Registry, Regridder, hookimpl
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.candidates import Spheres, blocks_of, candidates_by_spheres, enclosing_spheres
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.mesh import POINT_TOLERANCE, lon_difference, merge_corners
from ai4land_coupler.parallel.collective import agree
from ai4land_coupler.regrid.backends.yac_library import import_yac
from ai4land_coupler.regrid.methods.built_in import RegridOptions, built_in_weights, check_request
from ai4land_coupler.regrid.methods.conserve import weights_of_overlaps

#: Cells of both grids in one call of YAC; limits its memory (0.8 kB per cell).
_BLOCK = 50_000
#: YAC stores grids by name and aborts if a name is used twice.
_names = itertools.count()


class YacRegridOptions(RegridOptions):
    """Options of the YAC backend: the options of every backend."""


class YacRegridder(Regridder):
    """Regrid weights between two distributed meshes."""

    methods: frozenset[Method] = frozenset({"conservative", "bilinear", "nearest"})
    single_rank = True

    def __init__(self, options: YacRegridOptions | None = None) -> None:
        self.options = options or YacRegridOptions()

    @property
    def version(self) -> str:
        """Version of the library; empty if it is not installed."""
        try:
            return str(import_yac().version())
        except PluginError:
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
        comm:
            mpi4py communicator, private to the component; ``None`` for a single process.

        Returns
        -------
        Rows in the order of ``destination.cell_ids``, each sorted by global source id.

        Raises
        ------
        GridError, ConfigError, PluginError
            On every rank.
        """
        check_request("YAC", self.methods, method, norm)
        validate(source, comm)
        validate(destination, comm)
        found = built_in_weights(source, destination, method, norm, self.options, comm)
        return found or self._conservative(source, destination, norm, comm)

    def _conservative(self, source: Mesh, destination: Mesh, norm: Norm, comm: Any) -> LocalWeights:
        error: Exception | None = None
        try:
            made_by = {"backend": "yac", "version": str(import_yac().version()), "method": "conservative", "norm": norm}
        except PluginError as caught:
            error = caught
        agree(error, comm)
        spheres = enclosing_spheres(source), enclosing_spheres(destination)
        candidates = candidates_by_spheres(source, *spheres, comm)
        near = candidates.spheres(spheres[0], comm)
        row = col = np.zeros(0, np.int64)
        area = np.zeros(0)
        try:
            row, col, fraction = _by_blocks(candidates.mesh, destination, near, spheres[1])
            area = fraction * cell_area(destination)[row]
        except Exception as caught:
            error = caught
        agree(error, comm)
        return weights_of_overlaps(row, col, area, source, destination, candidates, norm, made_by, comm)


def _by_blocks(
    source: Mesh, destination: Mesh, around_source: Spheres, around_destination: Spheres
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Overlap area / destination area of every pair that overlaps: local destination, local source, value.

    Weights of a destination cell depend only on the source cells that it overlaps. So blocks give the same weights as
    one call, with less memory and in the same time.
    """
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for cells, near in blocks_of(around_source, around_destination, _BLOCK):
        cells, near = around_destination.taken[cells], around_source.taken[near]
        row, col, fraction = _overlap_fractions(source.take(near), destination.take(cells))
        found.append((cells[row], near[col], fraction))
    row, col, fraction = (np.concatenate(part) for part in zip(*found, strict=True))
    return row, col, fraction


def _refuse_unknown(mesh: Mesh) -> None:
    """Refuse cells of meridians and parallels that are neither boxes nor triangles, because YAC would abort."""
    if mesh.edges != "latlon":
        return
    corners = (~np.isnan(mesh.corner_lat)).sum(axis=1)
    bad = corners > 4
    if mesh.corner_lat.shape[1] > 3:
        bad[corners == 4] = ~_four_sided(mesh)[corners == 4]
    if bad.any():
        raise GridError(
            "YAC does not know such cells",
            expected="cells of meridians and parallels with four corners (three at a pole), narrower than 179 degrees",
            found=f"{bad.sum()} others, first with {corners[bad][0]} corners",
            where=f"{mesh.name}, cell {mesh.cell_ids[bad][0]}",
            remedy="cut them into boxes, and leave out corners that lie on a straight edge",
        )


def _four_sided(mesh: Mesh) -> NDArray[np.bool_]:
    """Whether the first four edges of each cell are alternately along meridians and parallels."""
    lon, lat = mesh.corner_lon[:, :4], mesh.corner_lat[:, :4]
    step = np.abs(lon_difference(np.roll(lon, -1, axis=1), lon))
    meridian, parallel = step <= POINT_TOLERANCE, np.abs(np.roll(lat, -1, axis=1) - lat) <= POINT_TOLERANCE
    either = parallel[:, ::2].all(axis=1) & meridian[:, 1::2].all(axis=1)
    other = parallel[:, 1::2].all(axis=1) & meridian[:, ::2].all(axis=1)
    return np.asarray((either | other) & (step.max(axis=1) < 179.0))


def _overlap_fractions(
    source: Mesh, destination: Mesh
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Overlap area / destination area of every pair that overlaps: local destination, local source, value."""
    core = import_yac().core
    from mpi4py import MPI
    from scipy.io import netcdf_file

    stack = core.InterpolationStack()
    stack.add_conservative(order=1, enforced_conserv=False, partial_coverage=True)
    grids = [_yac_grid(source), _yac_grid(destination)]
    pair = core.DistGridPair(*grids, MPI.COMM_SELF)  # must outlive the search
    cells = core.yac_location.YAC_LOC_CELL
    fields = [core.InterpField(grid.add_coordinates(cells)) for grid in grids]
    weights = core.do_search(stack, core.InterpGrid(pair, *fields))
    with tempfile.TemporaryDirectory(prefix="ai4land-weights-") as folder:
        path = Path(folder) / "weights.nc"
        weights.write_to_file(str(path))
        with netcdf_file(path, mmap=False) as file:  # 64-bit offset; keeps the netCDF library out of hosts
            if "remap_matrix" not in file.variables:
                return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
            row, col = (file.variables[name][:].astype(np.int64) - 1 for name in ("dst_address", "src_address"))
            return row, col, file.variables["remap_matrix"][:, 0].astype(np.float64)


def _yac_grid(mesh: Mesh) -> Any:
    """A YAC grid of these cells, numbered from 0 in their order."""
    core = import_yac().core
    mesh = merge_corners(mesh)
    _refuse_unknown(mesh)
    used = ~np.isnan(mesh.corner_lat)
    lon, lat = mesh.corner_lon[used], mesh.corner_lat[used]
    order = np.lexsort((lon, lat))
    new = np.ones(order.size, bool)
    new[1:] = (np.diff(lon[order]) != 0) | (np.diff(lat[order]) != 0)
    points, corners = order[new], np.empty(order.size, np.int32)
    corners[order] = np.cumsum(new) - 1
    grid = core.BasicGrid.unstruct_new(
        f"ai4land_{next(_names)}",
        used.sum(axis=1).astype(np.int32),
        np.deg2rad(lon[points]),
        np.deg2rad(lat[points]),
        corners,
        lonlat_edges=mesh.edges == "latlon",
    )
    grid.set_global_index(core.yac_location.YAC_LOC_CELL, np.arange(mesh.size, dtype=np.int32))
    grid.set_global_index(core.yac_location.YAC_LOC_CORNER, np.arange(points.size, dtype=np.int32))
    return grid


def _create(options: YacRegridOptions) -> YacRegridder:
    """Weights by YAC, on the sphere, edges as great circles or meridians and parallels."""
    return YacRegridder(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.regridder("yac", _create, YacRegridOptions)

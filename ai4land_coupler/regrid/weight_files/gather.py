"""Gather the regrid weights of all ranks and both grids, in the form of a weight file."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import EARTH_RADIUS, LocalWeights, Mesh, Method, Norm
from ai4land_coupler.parallel.collective import exchange, rank_and_size
from ai4land_coupler.regrid.methods.closed_form import value_places
from ai4land_coupler.regrid.weight_files.read import GridSide, WeightFile


def gather_weights(
    weights: LocalWeights,
    source: Mesh,
    destination: Mesh,
    comm: Any = None,
    dims: tuple[tuple[int, ...] | None, tuple[int, ...] | None] = (None, None),
) -> WeightFile | None:
    """All weights on rank 0, ``None`` on other ranks. Collective.

    Parameters
    ----------
    weights:
        Weights of the owned cells of ``destination``, as a backend made them.
    source, destination:
        Owned cells. All cells of the grids must be on some rank.
    dims:
        Lengths of both grids, fastest first; ``None`` for a list of cells.

    Returns
    -------
    ``fraction`` of the source is the share of each cell that destination cells cover.
    """
    row = np.repeat(destination.cell_ids, np.diff(weights.indptr))
    row, col, values = (_collect(part, comm) for part in (row, weights.source_ids, weights.values))
    from_side = _grid(source, weights.source_area, None, dims[0], comm)
    onto_side = _grid(destination, weights.destination_area, weights.destination_fraction, dims[1], comm)
    if rank_and_size(comm)[0]:
        return None
    order = np.lexsort((col, row))
    row, col, values = row[order], col[order], values[order]
    method = cast(Method, weights.provenance["method"])
    norm = cast(Norm, weights.provenance["norm"])
    if method in ("conservative", "conservative2nd"):
        share = values * onto_side["area"][row]
        if norm == "fraction":
            share = share * onto_side["fraction"][row]
        covered = np.bincount(col, weights=share, minlength=source.global_size)
        with np.errstate(invalid="ignore", divide="ignore"):
            from_side["fraction"] = np.where(from_side["area"] > 0, covered / from_side["area"], 0.0)
    else:
        from_side["fraction"] = (np.bincount(col, minlength=source.global_size) > 0).astype(np.float64)
    return WeightFile(
        row,
        col,
        values,
        GridSide(**from_side),
        GridSide(**onto_side),
        method,
        norm,
        {"provenance": json.dumps(dict(weights.provenance), sort_keys=True)},
    )


def _grid(
    mesh: Mesh,
    area: NDArray[np.float64],
    fraction: NDArray[np.float64] | None,
    dims: tuple[int, ...] | None,
    comm: Any,
) -> dict[str, Any]:
    """The fields of a :class:`GridSide`, by cell id on rank 0."""
    width = mesh.corner_lon.shape[1] if comm is None else max(comm.allgather(mesh.corner_lon.shape[1]))
    lon, lat = value_places(mesh)
    columns: dict[str, NDArray[Any]] = {
        "centre_lon": np.mod(lon, 360.0),
        "centre_lat": lat,
        "corner_lon": _padded(mesh.corner_lon, width),
        "corner_lat": _padded(mesh.corner_lat, width),
        "mask": mesh.mask.astype(np.int32),
        "area": np.asarray(area, np.float64) / EARTH_RADIUS**2,
    }
    if fraction is not None:
        columns["fraction"] = np.asarray(fraction, np.float64)
    order = np.argsort(_collect(mesh.cell_ids, comm))
    gathered = {name: _collect(values, comm)[order] for name, values in columns.items()}
    return {"name": mesh.name, "size": mesh.global_size, "dims": dims, **gathered}


def _padded(corners: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Corners (n, width); the last corner of a cell is repeated to fill its row, as in weight files."""
    n, k = corners.shape
    if n == 0:
        return np.zeros((0, width))
    last = np.sum(~np.isnan(corners), axis=1) - 1
    place = np.minimum(np.arange(width), np.maximum(last, 0)[:, None])
    return np.take_along_axis(corners, np.minimum(place, k - 1), axis=1)


def _collect(values: NDArray[Any], comm: Any) -> NDArray[Any]:
    """The rows of all ranks, by rank, on rank 0; no rows on other ranks."""
    _, size = rank_and_size(comm)
    values = np.asarray(values)
    return np.concatenate(exchange([values, *[values[:0]] * (size - 1)], comm))

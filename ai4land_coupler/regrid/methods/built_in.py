"""Weights that every backend makes without its library, and the options that all backends share."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from ai4land_coupler.api import EARTH_RADIUS, ConfigError, LocalWeights, Mesh, Method, Norm, Options
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.candidates import find_candidates
from ai4land_coupler.regrid.methods import closed_form
from ai4land_coupler.regrid.methods.bilinear import bilinear_entries
from ai4land_coupler.regrid.methods.conserve import weights_of_overlaps
from ai4land_coupler.regrid.methods.cut import can_cut, cut_overlaps, grid_lines
from ai4land_coupler.regrid.methods.nearest import cell_reach, chord, nearest_sources


class RegridOptions(Options):
    """Options of every backend.

    Parameters
    ----------
    closed_form:
        Make conservative weights in closed form between cells that are boxes of longitude and latitude, and between
        the boxes of a grid of rows and columns and great-circle cells. With ``False`` the library makes them.
    unmapped:
        A destination point that is not between the points of unmasked source cells (at coasts and at the edges of a
        region). ``inside``: use the nearest source cell if the point is not farther away than the corners of that
        cell. ``nearest``: use the nearest source cell wherever it is (extrapolation). ``none``: as ``inside`` for the
        method ``nearest``; no weights for ``bilinear``.
    max_distance:
        Largest distance to a nearest source cell (m, along a great circle). Default: no limit. Without ``unmapped``, it
        asks for ``unmapped: nearest`` up to this distance.
    """

    closed_form: bool = True
    unmapped: Literal["inside", "nearest", "none"] = "inside"
    max_distance: float | None = Field(default=None, gt=0.0)

    @property
    def extrapolates(self) -> bool:
        """Whether points outside of all source cells get values."""
        distance_alone = self.max_distance is not None and "unmapped" not in self.model_fields_set
        return self.unmapped == "nearest" or distance_alone


def built_in_weights(
    source: Mesh, destination: Mesh, method: Method, norm: Norm, options: RegridOptions, comm: Any
) -> LocalWeights | None:
    """Make the weights if no library is needed, else return ``None`` (the same on every rank). Collective.

    Both meshes must be validated.
    """
    if method in ("bilinear", "nearest"):
        return _between_points(source, destination, method, options, comm)
    if method != "conservative" or not options.closed_form:
        return None
    if "latlon" not in (source.edges, destination.edges):
        return None
    # the kind of edges is tested first, because it needs no look at the cells
    boxes = [mesh.edges == "latlon" and closed_form.all_boxes(mesh, comm) for mesh in (source, destination)]
    if source.edges == destination.edges:
        return _between_boxes(source, destination, norm, comm) if all(boxes) else None
    return _cut(source, destination, norm, comm) if any(boxes) else None


def _between_boxes(source: Mesh, destination: Mesh, norm: Norm, comm: Any) -> LocalWeights:
    candidates = find_candidates(source, destination, comm)
    taken = np.flatnonzero(destination.mask)
    row, col, area = closed_form.box_overlaps(
        closed_form.cell_boxes(candidates.mesh), closed_form.cell_boxes(destination.take(taken))
    )
    row, made_by = taken[row], _made_by(norm)
    return weights_of_overlaps(row, col, area, source, destination, candidates, norm, made_by, comm, closed_form.STRIP)


def _cut(source: Mesh, destination: Mesh, norm: Norm, comm: Any) -> LocalWeights | None:
    """Weights between the boxes of a grid of rows and columns and great-circle cells, in either direction."""
    from_boxes = source.edges == "latlon"
    grid, cells = (source, destination) if from_boxes else (destination, source)
    lines = grid_lines(grid, comm)
    if lines is None or not can_cut(cells, lines, comm):
        return None
    candidates = find_candidates(source, destination, comm)
    taken = np.flatnonzero(destination.mask)
    here = destination.take(taken)
    if from_boxes:
        row, col, area = cut_overlaps(here, closed_form.cell_boxes(candidates.mesh), lines)
    else:
        col, row, area = cut_overlaps(candidates.mesh, closed_form.cell_boxes(here), lines)
    return weights_of_overlaps(
        taken[row], col, area, source, destination, candidates, norm, _made_by(norm), comm, closed_form.STRIP
    )


def _made_by(norm: Norm) -> dict[str, str]:
    return {"backend": "closed form", "version": "1", "method": "conservative", "norm": norm}


def _between_points(source: Mesh, destination: Mesh, method: Method, options: RegridOptions, comm: Any) -> LocalWeights:
    """Weights between the points of source and destination values. They add up to 1, so both norms are the same."""
    taken = np.flatnonzero(destination.mask)
    points = closed_form.value_points(destination)[taken]
    row, ids, values = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    if method == "bilinear":
        row, ids, values = bilinear_entries(source, points, comm)
    if method == "nearest" or options.extrapolates or options.unmapped == "inside":
        reach = None if options.extrapolates else cell_reach(source, comm)
        limit = np.inf if options.max_distance is None else chord(options.max_distance / EARTH_RADIUS)
        left = np.setdiff1d(np.arange(taken.size), row)
        near = nearest_sources(source, points[left], comm, limit, reach)
        row = np.concatenate([row, left[near >= 0]])
        ids = np.concatenate([ids, near[near >= 0]])
        values = np.concatenate([values, np.ones(row.size - values.size)])
        order = np.lexsort((ids, row))
        row, ids, values = row[order], ids[order], values[order]
    row = taken[row]
    indptr = np.searchsorted(row, np.arange(destination.size + 1))
    return LocalWeights(
        indptr=indptr,
        source_ids=ids,
        values=values,
        destination_fraction=np.sign(np.diff(indptr)).astype(np.float64),
        source_area=cell_area(source),
        destination_area=cell_area(destination),
        provenance={
            "backend": "ai4land",
            "version": "1",
            "method": method,
            "norm": "destination",
            "unmapped": "nearest" if options.extrapolates else options.unmapped,
            "max_distance": str(options.max_distance),
        },
    )


def check_request(name: str, methods: frozenset[Method], method: Method, norm: Norm) -> None:
    """Refuse a method or norm that a backend does not support; the same on every rank."""
    if method not in methods or norm not in ("destination", "fraction"):
        raise ConfigError(
            f"the {name} backend does not make such weights",
            expected=f"a method of {', '.join(sorted(methods))}; norm destination or fraction",
            found=f"method {method}, norm {norm}",
        )

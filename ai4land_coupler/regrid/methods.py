"""Weights that need no regridding library, and are the same whichever backend is asked for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ai4land_coupler.api import ConfigError, LocalWeights, Mesh, Method, Norm, Options
from ai4land_coupler.regrid import closed_form
from ai4land_coupler.regrid.candidates import find_candidates
from ai4land_coupler.regrid.conserve import weights_of_overlaps


class RegridOptions(Options):
    """Options of every backend.

    Parameters
    ----------
    closed_form:
        Conservative weights between cells that are boxes of longitude and latitude are made in closed form; ``False``
        asks the library for them too.
    """

    closed_form: bool = True


def without_library(
    source: Mesh, destination: Mesh, method: Method, norm: Norm, options: RegridOptions, comm: Any
) -> LocalWeights | None:
    """Make the weights where no library is needed, else ``None`` (on every rank alike). Collective.

    Both meshes must be validated.
    """
    if method != "conservative" or not options.closed_form:
        return None
    if not (closed_form.all_boxes(source, comm) and closed_form.all_boxes(destination, comm)):
        return None
    candidates = find_candidates(source, destination, comm)
    taken = np.flatnonzero(destination.mask)
    row, col, area = closed_form.box_overlaps(
        closed_form.boxes(candidates.mesh), closed_form.boxes(destination.take(taken))
    )
    made_by = {"backend": "closed form", "version": "1", "method": method, "norm": norm}
    row = taken[row]
    return weights_of_overlaps(row, col, area, source, destination, candidates, norm, made_by, comm, closed_form.STRIP)


def check_request(name: str, methods: frozenset[Method], method: Method, norm: Norm) -> None:
    """Refuse what a backend does not make; the same on every rank."""
    if method not in methods or norm not in ("destination", "fraction"):
        raise ConfigError(
            f"the {name} backend does not make such weights",
            expected=f"a method of {', '.join(sorted(methods))}; norm destination or fraction",
            found=f"method {method}, norm {norm}",
        )

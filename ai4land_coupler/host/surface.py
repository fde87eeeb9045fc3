"""A host's own surface: its land mask wins, its classes are where change starts from.

The map and the host disagree about coasts, lakes and what grew where in the first year. A host that has its own surface
data keeps them: it gets the change of the map since the first year, on the land that it has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LocalWeights
from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import FieldError, GridError
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.delta import add_change, add_type_change
from ai4land_coupler.host.profiles import HostProfile
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.methods.closed_form import value_points
from ai4land_coupler.regrid.methods.nearest import nearest_sources

#: What a host can have of its own, in the order of :attr:`HostSurface.parts`.
PARTS = ("land fraction", "classes", "types")
#: A share of a cell that is smaller is no mapped land.
LEAST = 1e-9
#: Two sources of one figure (the sum of classes, and the land fraction) may differ by this.
_AGREE = 1e-6


class HostSurface:
    """The land and the classes that a host has of its own, on the owned cells of one grid.

    Attributes
    ----------
    land:
        Share of each cell that is land in the host, (cells,); ``None`` where the map decides.
    base:
        The host's own fractions in the first year, (class, cells); ``None`` where the map decides.
    start:
        Fractions of the map on the host's land in the first year, (class, cells).
    types, types_start:
        The same as ``base`` and ``start`` by the types of a host profile; the host gives one of the two.
    parts:
        Whether the host gave its land, its classes, and its types (``PARTS``).
    counts:
        What was filled and cut off, over all ranks: cells, areas (m2), and the farthest fill (km).
    """

    def __init__(self) -> None:
        self.land: NDArray[np.float64] | None = None
        self.base: NDArray[np.float64] | None = None
        self.start: NDArray[np.float64] | None = None
        self.types: NDArray[np.float64] | None = None
        self.types_start: NDArray[np.float64] | None = None
        self.parts = (False, False, False)
        self.counts: dict[str, float] = {}
        self._lacking = np.empty(0, bool)
        self._fill: RegridPlan | None = None

    @property
    def given_parts(self) -> tuple[bool, bool, bool]:
        """Which ``PARTS`` are there; what the host itself gave, until :meth:`check` adds the land of its classes."""
        return (self.land is not None, self.base is not None, self.types is not None)

    def check(self, mesh: Mesh, classes: tuple[str, ...], profile: HostProfile | None = None) -> None:
        """Refuse what is impossible, in the owned cells; masked cells are left out of all.

        Raises
        ------
        FieldError
            Wrong shape, values that are no shares, or classes that do not sum to the land fraction.
        """
        self.parts = self.given_parts
        if self.base is not None and self.types is not None:
            raise FieldError(
                "the host gave its own surface twice",
                expected="land_cover_fraction, or surface_type_fraction, not both",
                found="both",
            )
        for name, values, shape in (
            ("land_area_fraction", self.land, (mesh.size,)),
            ("land_cover_fraction", self.base, (len(classes), mesh.size)),
            ("surface_type_fraction", self.types, (len(profile.types) if profile else 0, mesh.size)),
        ):
            if values is None:
                continue
            if values.shape != shape:
                raise FieldError(f"the host's {name} has the wrong shape", expected=shape, found=values.shape)
            used = values[..., mesh.mask]
            if used.size and not (used.min() >= 0 and used.max() <= 1 + _AGREE):  # NaN is neither
                span = f"{used.min():g} to {used.max():g}"
                found = span if np.isfinite(used).all() else "values that are no numbers"
                raise FieldError(f"the host's {name} is no share of its cells", expected="0 to 1", found=found)
        if self.base is not None:
            self.base = np.where(mesh.mask, self.base, 0.0)
        if self.types is not None:
            self.types = np.where(mesh.mask, self.types, 0.0)
        own, name = (self.base, "land_cover_fraction") if self.types is None else (self.types, "surface_type_fraction")
        if own is not None:
            total = own.sum(axis=0)
            if self.land is not None:
                off = np.abs(total - np.where(mesh.mask, self.land, 0.0))
                if off.size and off.max() > _AGREE:
                    raise FieldError(
                        "the host's classes do not sum to its land",
                        expected=f"{name} to sum to land_area_fraction within {_AGREE:g}",
                        found=f"{int((off > _AGREE).sum())} cells that differ, by up to {off.max():.3g}",
                    )
            self.land = total
        elif self.land is not None:
            self.land = np.where(mesh.mask, self.land, 0.0)

    def prepare(self, mesh: Mesh, mapped: NDArray[np.float64], area: NDArray[np.float64], comm: Communicator) -> None:
        """Find for each land cell of the host without mapped land the nearest cell that has some. Collective.

        Parameters
        ----------
        mapped:
            Share of each owned cell that the map covers with land.
        area:
            Of the owned cells (m2).

        Raises
        ------
        GridError
            The map has land in no cell of the host at all, and the host has land.
        """
        if self.land is None:
            return
        has = mapped > LEAST
        self._lacking = (self.land > 0) & ~has
        self._fill, distance = nearest_cells(mesh, has & mesh.mask, self._lacking, comm)
        lost = has & (self.land == 0)
        here = {
            "filled_cells": float(self._lacking.sum()),
            "filled_area": float((self.land * area)[self._lacking].sum()),
            "sea_cells": float(lost.sum()),
            "sea_area": float((mapped * area)[lost].sum()),
        }
        self.counts = _sums(here, comm) | {"farthest_fill": max(comm.allgather(distance)), "cut_area": 0.0}

    def on_land(self, values: NDArray[np.float64], mapped: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares of the cell (k, cells) as the same shares of the host's land. Collective.

        The composition of the mapped land in a cell (of the nearest cell that has any) times the host's land.
        """
        if self.land is None:
            return values
        shares = np.divide(values, mapped, out=np.zeros(values.shape), where=mapped > LEAST)
        return self.filled(shares) * self.land

    def filled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (k, cells) with those of the nearest cell where the host has land and the map has none. Collective."""
        if self._fill is None:
            return values
        values = np.array(values)
        values[:, self._lacking] = self._fill.apply(np.nan_to_num(values))
        return values

    def anchor(
        self, fractions: NDArray[np.float64], area: NDArray[np.float64], comm: Communicator
    ) -> NDArray[np.float64]:
        """Fractions on the host's land as its own first year plus change (:func:`add_change`). Collective."""
        if self.base is None:
            return fractions
        if self.start is None:
            self.start = fractions
        values, cut = add_change(self.base, fractions - self.start)
        self.counts |= _sums({"cut_cells": float((cut > 0).sum()), "cut_area": float((cut * area).sum())}, comm)
        return values

    def anchor_types(
        self, profile: HostProfile, fractions: NDArray[np.float64], area: NDArray[np.float64], comm: Communicator
    ) -> NDArray[np.float64]:
        """Surface types on the host's land as its own first year plus change (:func:`add_type_change`). Collective."""
        if self.types is None or self.land is None:
            return fractions
        if self.types_start is None:
            self.types_start = fractions
        own = np.divide(self.types, self.land, out=np.zeros_like(self.types), where=self.land > 0)
        shares, cut = add_type_change(profile, fractions, self.types_start, own)
        cut = cut * self.land
        self.counts |= _sums({"cut_cells": float((cut > 0).sum()), "cut_area": float((cut * area).sum())}, comm)
        return shares * self.land


def nearest_cells(
    mesh: Mesh, has: NDArray[np.bool_], lacks: NDArray[np.bool_], comm: Communicator
) -> tuple[RegridPlan, float]:
    """Of each cell that lacks something, the nearest one over all ranks that has it; of two, the lower id. Collective.

    Returns
    -------
    A plan whose ``apply`` takes values of the owned cells to the owned cells that lack some, and the farthest distance
    on this rank (km).

    Raises
    ------
    GridError
        On every rank: cells lack something that no cell has.
    """
    points = value_points(mesh)
    ids = nearest_sources(replace(mesh, mask=has), points[lacks], comm.mpi)
    if any(comm.allgather(bool((ids < 0).any()))):
        raise GridError(
            "the map has land in no cell of the host",
            found=f"{sum(comm.allgather(ids.size))} cells of the host with land",
            remedy="check that map and grid are of the same region, and longitudes",
        )
    ones = np.ones(ids.size)
    weights = LocalWeights(np.arange(ids.size + 1), ids, ones, ones, np.ones(mesh.size), ones, {})
    plan = RegridPlan(weights, mesh.cell_ids, comm.mpi)
    away = np.linalg.norm(plan.apply(np.nan_to_num(points.T)) - points[lacks].T, axis=0).max(initial=0.0)
    return plan, float(2 * np.arcsin(away / 2) * EARTH_RADIUS / 1000)


def _sums(here: dict[str, float], comm: Communicator) -> dict[str, float]:
    parts = comm.allgather(here)
    return {name: sum(part[name] for part in parts) for name in here}

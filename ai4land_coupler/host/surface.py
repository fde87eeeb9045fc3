"""A host's own surface: its land mask replaces that of the map, and change is added to its own classes.

The map and the host have different coasts, lakes, and land cover in the first year. A host with its own surface data
keeps them: it gets the change of the map since the first year, on its own land.
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

#: Parts of a host's own surface, in the order of :attr:`HostSurface.parts`.
PARTS = ("land fraction", "classes", "types")
#: A cell with a smaller share of mapped land counts as a cell without land.
LEAST = 1e-9
#: Largest difference allowed between the sum of classes and the land fraction.
_AGREE = 1e-6


class HostSurface:
    """The host's own land and classes on the owned cells of one grid.

    Attributes
    ----------
    land:
        Land fraction of each cell in the host, (cells,); ``None`` to use that of the map.
    base:
        The host's own fractions in the first year, (class, cells); ``None`` to use those of the map.
    start:
        Fractions of the map on the host's land in the first year, (class, cells).
    types, types_start:
        As ``base`` and ``start``, by type of the host profile. A host gives ``base`` or ``types``, not both.
    parts:
        Whether the host gave its land, its classes, and its types (``PARTS``).
    counts:
        Cells and areas (m2) that were filled or cut off, and the farthest fill (km), over all ranks.
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
        """Which ``PARTS`` exist. Before :meth:`check`, which adds the land of the classes: the parts of the host."""
        return (self.land is not None, self.base is not None, self.types is not None)

    def check(self, mesh: Mesh, classes: tuple[str, ...], profile: HostProfile | None = None) -> None:
        """Check the values of the owned cells; masked cells are set to 0.

        Raises
        ------
        FieldError
            Wrong shape, values outside 0 to 1, or classes that do not sum to the land fraction.
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

    def prepare(
        self,
        mesh: Mesh,
        mapped: NDArray[np.float64],
        area: NDArray[np.float64],
        comm: Communicator,
        max_fill_distance: float,
    ) -> None:
        """Find the nearest cell with mapped land for each land cell of the host without it. Collective.

        Parameters
        ----------
        mapped:
            Share of each owned cell that is land on the map.
        area:
            Areas of the owned cells (m2).
        max_fill_distance:
            Largest distance between the centres of a cell and the cell that fills it (km).

        Raises
        ------
        GridError
            The map has no land in any cell of the host, or none within the largest distance of a land cell.
        """
        if self.land is None:
            return
        has = mapped > LEAST
        self._lacking = (self.land > 0) & ~has
        self._fill, distance = nearest_cells(mesh, has & mesh.mask, self._lacking, comm)
        _refuse_far(mesh, self._lacking, distance, max_fill_distance, comm)
        lost = has & (self.land == 0)
        here = {
            "filled_cells": float(self._lacking.sum()),
            "filled_area": float((self.land * area)[self._lacking].sum()),
            "sea_cells": float(lost.sum()),
            "sea_area": float((mapped * area)[lost].sum()),
        }
        self.counts = _sums(here, comm) | {"farthest_fill": max(comm.allgather(_farthest(distance))), "cut_area": 0.0}

    def on_land(self, values: NDArray[np.float64], mapped: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put shares of mapped land (k, cells) on the host's land. Collective.

        The result is the composition of the mapped land in the cell (or in the nearest cell with mapped land), times
        the host's land fraction.
        """
        if self.land is None:
            return values
        shares = np.divide(values, mapped, out=np.zeros(values.shape), where=mapped > LEAST)
        return self.filled(shares) * self.land

    def filled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Replace values (k, cells) in cells without mapped land by those of the nearest cell with it. Collective."""
        if self._fill is None:
            return values
        values = np.array(values)
        values[:, self._lacking] = self._fill.apply(np.nan_to_num(values))
        return values

    def add_to_base(
        self, fractions: NDArray[np.float64], area: NDArray[np.float64], comm: Communicator
    ) -> NDArray[np.float64]:
        """The host's own fractions plus change since the first year (:func:`add_change`). Collective."""
        if self.base is None:
            return fractions
        if self.start is None:
            self.start = fractions
        values, cut = add_change(self.base, fractions - self.start)
        self.counts |= _sums({"cut_cells": float((cut > 0).sum()), "cut_area": float((cut * area).sum())}, comm)
        return values

    def add_to_types(
        self, profile: HostProfile, fractions: NDArray[np.float64], area: NDArray[np.float64], comm: Communicator
    ) -> NDArray[np.float64]:
        """The host's own surface types plus change since the first year (:func:`add_type_change`). Collective."""
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
) -> tuple[RegridPlan, NDArray[np.float64]]:
    """Find the nearest cell that ``has`` a value for each cell that ``lacks`` it, over all ranks. Collective.

    If two cells are equally near, the lower id counts.

    Returns
    -------
    A plan whose ``apply`` gives values of the nearest cells to the owned cells that lack them, and the distance between
    the centres of each pair (km).

    Raises
    ------
    GridError
        On every rank, if no cell has a value.
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
    chord = np.linalg.norm(plan.apply(np.nan_to_num(points.T)) - points[lacks].T, axis=0)
    return plan, np.asarray(2 * np.arcsin(np.minimum(chord / 2, 1.0)) * EARTH_RADIUS / 1000)


def _farthest(distance: NDArray[np.float64]) -> float:
    return float(distance.max(initial=0.0))


def _refuse_far(
    mesh: Mesh, lacking: NDArray[np.bool_], distance: NDArray[np.float64], limit: float, comm: Communicator
) -> None:
    """Refuse land of the host that is farther from mapped land than a limit (km). Collective."""
    far = distance > limit
    worst = (0.0, 0.0, 0.0)
    if far.any():
        lon, lat = (values[lacking][distance.argmax()] for values in mesh.centres())
        worst = _farthest(distance), float(lat), float(lon)
    parts = comm.allgather((int(far.sum()), distance.size, worst))
    number, every, (farthest, lat, lon) = sum(p[0] for p in parts), sum(p[1] for p in parts), max(p[2] for p in parts)
    if number:
        raise GridError(
            "land of the host is far from all land on the map",
            expected=f"mapped land within {limit:g} km of each land cell of the host (exports.max_fill_distance)",
            found=f"{number} of {every} land cells without mapped land are farther away; the farthest, at "
            f"{lat:.2f} N {lon:.2f} E, by {farthest:.0f} km",
            where=mesh.name,
            remedy="check that map and grid are of the same region; give such cells the land fraction 0, or raise "
            "exports.max_fill_distance in the configuration: they then get the classes of the nearest mapped land",
        )


def _sums(here: dict[str, float], comm: Communicator) -> dict[str, float]:
    parts = comm.allgather(here)
    return {name: sum(part[name] for part in parts) for name in here}

"""All exports of one host grid for one state: regridded from the map, and combined with the host's own surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.state import LandState
from ai4land_coupler.host.exchange import HostGrid
from ai4land_coupler.host.field_table import TRANSITIONS, FieldTable
from ai4land_coupler.host.pass_through import PassThrough
from ai4land_coupler.host.profiles import TYPES, HostProfile
from ai4land_coupler.host.surface import LEAST, HostSurface
from ai4land_coupler.parallel import Communicator


class HostFields:
    """Makes the exports of one host grid. Collective.

    Parameters
    ----------
    surface:
        The host's own surface, after its check.
    field_table:
        The exports, and the profile whose surface types and variables are made too.
    pass_through:
        ``None`` if hosts get no variables of the forcing.
    max_fill_distance:
        Largest distance over which land of the host without land on the map is filled (km).

    Attributes
    ----------
    land_cells:
        Number of cells with land of the map, over all ranks; known after the first :meth:`at`.
    """

    def __init__(
        self,
        host: HostGrid,
        surface: HostSurface,
        field_table: FieldTable,
        pass_through: PassThrough | None,
        comm: Communicator,
        max_fill_distance: float,
    ) -> None:
        self.host, self.surface, self._max_fill_distance = host, surface, max_fill_distance
        self._table, self._profile = field_table.exports, field_table.profile
        self._pass_through, self._comm = pass_through, comm
        self._prepared = False
        self.land_cells = 0

    def at(self, state: LandState, before: LandState | None, made: list[str]) -> dict[str, NDArray[np.float64]]:
        """The fields of a state.

        Parameters
        ----------
        before:
            The state one step before; ``None`` for the first state.
        made:
            Names of the continuous fields that the state has, on any rank.

        Returns
        -------
        Name to values, (types, cells) or (cells,); read-only.
        """
        host, surface = self.host, self.surface
        classes = host.land_cover_fraction(state)
        mapped = classes.sum(axis=0)
        if not self._prepared:
            self.land_cells = sum(self._comm.allgather(int((mapped > LEAST).sum())))
            surface.prepare(host.mesh, mapped, host.area, self._comm, self._max_fill_distance)
            self._prepared = True
        fractions = surface.add_to_base(surface.on_land(classes, mapped), host.area, self._comm)
        land = mapped if surface.land is None else surface.land
        fields = {"land_cover_fraction": fractions, "land_area_fraction": np.array(land)}
        if TRANSITIONS in self._table and before is not None:
            pairs = host.transitions(before, state)
            fields[TRANSITIONS] = surface.on_land(pairs.reshape(len(pairs) ** 2, pairs.shape[-1]), mapped)
        for name in made:
            samples = max(1, len(self._table[name].types))
            values = surface.filled(host.continuous(state, name, samples))
            if surface.land is not None:
                values = np.where(surface.land > 0, values, np.nan)
            fields[name] = values if samples > 1 else values[0]
        if self._profile is not None:
            fields |= self._profiled(self._profile, state, mapped)
        if self._pass_through is not None:
            fields |= self._pass_through.fields(state.year)
        for values in fields.values():
            values.flags.writeable = False
        return fields

    def _profiled(
        self, profile: HostProfile, state: LandState, mapped: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """The host's surface types, and the profile's variables made from them."""
        types = self.surface.on_land(self.host.surface_type_fraction(state, profile), mapped)
        types = self.surface.add_to_types(profile, types, self.host.area, self._comm)
        return {TYPES: types} | profile.values(types)

"""Variables of the forcing that are regridded to host grids: harvest, fertiliser, irrigation, transitions.

No predictor reads them, but a host with a carbon cycle does. The regridding conserves each variable; the key
``share_of`` in ``schemas/fields.yaml`` says how:

* a share of the cell (``primf_to_secdf``, ``primf_harv``, states): area-weighted mean over the host's cell;
* an amount per cell (``*_bioh``, kg yr-1): sum over the host's cell;
* a rate or share of a crop's area (``fertl_*``, ``irrig_*``): mean over the crop's area in the host's cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Regridder
from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.field_info import YEAR_WINDOW, ExportInfo
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.inputs.checks import field_rules
from ai4land_coupler.inputs.readers import ForcingReader
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.regrid.apply import RegridPlan

#: How a variable is averaged.
Kind = Literal["cell", "amount", "crop"]


@cache
def shares_of() -> Mapping[str, str]:
    """Name of each variable to what its values refer to: ``cell``, ``amount``, or the name of a crop."""
    found = {}
    for pattern, rule in field_rules().items():
        if rule.share_of is not None:
            for parts in product(rule.stars, repeat=pattern.count("*")):
                name = pattern.replace("*", "{}").format(*parts)
                found[name] = rule.share_of.replace("*", "".join(parts))
    return found


class PassedVariable(NamedTuple):
    """A variable of the forcing for hosts: how it is averaged, and over the area of which crop."""

    name: str
    units: str
    kind: Kind
    crop: str = ""

    @property
    def needs(self) -> set[tuple[str, str]]:
        """Variables to read, as (name, units): the variable, and the area of its crop."""
        return {(self.name, self.units)} | ({(self.crop, "1")} if self.crop else set())

    @property
    def info(self) -> ExportInfo:
        crop = f"mean over the area of {self.crop}"
        over = {"cell": "share of the cell", "amount": "amount in the cell", "crop": crop}[self.kind]
        return ExportInfo(self.name, self.units, (), "cell", f"{self.name} of the forcing, {over}", window=YEAR_WINDOW)


def passed_variables(names: Sequence[str], forcing: Catalogue) -> list[PassedVariable]:
    """The variables of the configuration's ``exports.pass_through``.

    Raises
    ------
    ConfigError
        No adapter of the forcing has the variable, or ``schemas/fields.yaml`` has no ``share_of`` for it.
    """
    found = []
    for name in names:
        share_of = shares_of().get(name)
        if share_of is None:
            raise ConfigError(
                f"{name!r} cannot be put on another grid: it is not known what it is a share of",
                expected="states, <state>_to_<state>, *_harv, *_bioh, fertl_<crop>, irrig_<crop>, crpbf_<crop>",
                found=name,
                where="exports.pass_through",
            )
        kind, crop = _kind(share_of)
        for wanted in filter(None, (name, crop)):
            if wanted not in forcing:
                raise ConfigError(
                    f"no forcing adapter has {wanted!r}",
                    found=name,
                    where="exports.pass_through",
                    remedy=nearest(wanted, forcing.names),
                )
        found.append(PassedVariable(name, forcing.offer(name)[1].units, kind, crop))
    return found


def _kind(share_of: str) -> tuple[Kind, str]:
    """How a variable is averaged, and the crop."""
    if share_of == "cell":
        return "cell", ""
    return ("amount", "") if share_of == "amount" else ("crop", share_of)


class PassThrough:
    """Regrids forcing variables to one host grid. Collective.

    Parameters
    ----------
    variables:
        See :func:`passed_variables`.
    reader:
        The forcing; only the ranks that predict read it.
    holders:
        The ranks that predict: forcing cells are distributed over them.
    """

    def __init__(
        self,
        variables: Sequence[PassedVariable],
        reader: ForcingReader,
        holders: Sequence[int],
        mesh: Mesh,
        regridder: Regridder,
        comm: Communicator,
    ) -> None:
        self._variables, self._reader, self._comm = variables, reader, comm
        cells = np.arange(reader.grid.size, dtype=np.int64)
        parts = np.array_split(cells, len(holders))
        self._ids = parts[list(holders).index(comm.rank)] if comm.rank in holders else cells[:0]
        source = latlon_mesh(reader.grid, "forcing", self._ids)
        self._weights: Any = regridder.build(source, mesh, "conservative", "destination", comm.mpi)
        self._plan = RegridPlan(self._weights, self._ids, comm.mpi)

    def fields(self, year: int) -> dict[str, NDArray[np.float64]]:
        """The variables of a year on the owned cells, (cells,) by name; 0 in cells without forcing.

        Raises
        ------
        TimeError
            The forcing does not have the year (transitions end a year before the states).
        """
        with self._comm.guard():
            values = self._stacked(self._read(year))
        sums = self._plan.apply(values)
        area = np.asarray(self._weights.destination_area, np.float64)
        found = {}
        for index, variable in enumerate(self._variables):
            over, whole = sums[2 * index], sums[2 * index + 1]
            if variable.kind == "crop":
                found[variable.name] = np.divide(over, whole, out=np.zeros_like(over), where=whole > 0)
            else:
                found[variable.name] = over * area if variable.kind == "amount" else over
        return found

    def _read(self, year: int) -> Mapping[str, NDArray[np.float32]]:
        if not self._ids.size:
            return {}
        return self._reader.read(dict(pair for v in self._variables for pair in sorted(v.needs)), year)

    def _stacked(self, read: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """For each variable its weighted values and the weights, (2 x variables, owned forcing cells)."""
        values = np.zeros((2 * len(self._variables), self._ids.size))
        if read:
            area = np.asarray(self._weights.source_area, np.float64)
            for index, variable in enumerate(self._variables):
                own = np.nan_to_num(read[variable.name].reshape(-1)[self._ids].astype(np.float64))
                weight = np.ones_like(own)
                if variable.kind == "amount":
                    weight = 1.0 / area
                elif variable.kind == "crop":
                    weight = np.nan_to_num(read[variable.crop].reshape(-1)[self._ids].astype(np.float64))
                    # the area of the crop counts only in cells with a rate
                    weight = np.where(np.isnan(read[variable.name].reshape(-1)[self._ids]), 0.0, weight)
                values[2 * index : 2 * index + 2] = own * weight, weight
        return values

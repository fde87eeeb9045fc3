"""Variables of the forcing that go on to a host's grid as they are: harvest, fertiliser, irrigation, transitions.

No predictor reads them; a host with a carbon cycle does. Each is put on the grid so that what it stands for is
conserved:

* a share of the cell (``primf_to_secdf``, ``primf_harv``, states): mean over the host's cell, by area;
* an amount of the cell (``*_bioh``, kg yr-1): the sum of what lies in the host's cell;
* a rate or share of a crop's own area (``fertl_*``, ``irrig_*``): mean over the crop's area in the host's cell.

Names and what they are shares of: Hurtt et al. 2020, https://doi.org/10.5194/gmd-13-5425-2020.
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
    """What each variable refers to: ``cell``, ``amount``, or the name of a crop; from ``schemas/fields.yaml``."""
    found = {}
    for pattern, rule in field_rules().items():
        if rule.share_of is not None:
            for parts in product(rule.stars, repeat=pattern.count("*")):
                name = pattern.replace("*", "{}").format(*parts)
                found[name] = rule.share_of.replace("*", "".join(parts))
    return found


class PassedVariable(NamedTuple):
    """A variable that goes on to hosts: how it is averaged, and over which crop."""

    name: str
    units: str
    kind: Kind
    crop: str = ""

    @property
    def needs(self) -> set[tuple[str, str]]:
        """What is read for it, as names and units: itself, and the area of its crop."""
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
        A variable that no adapter of the forcing has, or of which it is not known what it is a share of.
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
    """Puts them on one host grid. Collective.

    Parameters
    ----------
    variables:
        See :func:`passed_variables`.
    reader:
        The forcing; read on the ranks that predict only.
    holders:
        The ranks that predict: forcing cells are dealt out to them.
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
        """The variables of a year on the owned cells, (cells,) by name; 0 where the forcing has none.

        Raises
        ------
        TimeError
            The forcing does not have the year: transitions end a year before the states.
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
        """Per variable what is summed and what it is summed over, (2 variables, owned forcing cells)."""
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
                    # where the rate is not told, the crop's area does not count
                    weight = np.where(np.isnan(read[variable.name].reshape(-1)[self._ids]), 0.0, weight)
                values[2 * index : 2 * index + 2] = own * weight, weight
        return values

"""Land cells without input data. A run with too many of them is refused before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.core.state import LandState
from ai4land_coupler.inputs.catalogue import Mended
from ai4land_coupler.inputs.gaps import LandGaps, gaps_on_land, refuse_gaps
from ai4land_coupler.inputs.land_sums import LargestSum, count_small_sums, largest_sum
from ai4land_coupler.land.forcing import LandForcing, static_needs
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.parallel import Block


@dataclass
class Gaps:
    """Gaps by kind (``forcing``, ``static``, ``climate``) and variable; the largest sum of the states of land use."""

    found: dict[tuple[str, str], LandGaps] = field(default_factory=dict)
    states: LargestSum = field(default_factory=LargestSum)

    def add(self, key: tuple[str, str], gaps: LandGaps) -> None:
        self.found[key] = self.found[key] + gaps if key in self.found else gaps


def find_gaps(
    setup: LandSetup, forcing: LandForcing, state: LandState, climate: Mapping[str, NDArray[np.float32]]
) -> Gaps:
    """Count the land cells of this rank's blocks without data in the inputs of the next step. Local.

    Nothing is read for blocks without land.

    Parameters
    ----------
    climate:
        A month of each field of the climate data, (rows, cols) on the forcing grid.
    """
    gaps = Gaps()
    blocks = setup.own_blocks
    coarse, units = _next_forcing(setup, forcing, state) if blocks else ({}, {})
    statics = {name: spec for name, spec in static_needs(setup).items() if name in setup.static}
    units |= {name: spec.units for name, spec in statics.items()}
    for block in blocks:
        land = setup.legend.to_view(state.cover[block.id]) != OUTSIDE
        if not land.any():
            continue
        cells = setup.grid.sub(block.core)
        places = np.ix_(*setup.plan.forcing_of(block.core))
        read = {("forcing", name): values[places] for name, values in coarse.items()}
        for name, spec in statics.items():
            read["static", name] = setup.static.read({name: spec.units}, cells)[name]
        for key, values in read.items():
            gaps.add(key, gaps_on_land(key[1], values, land, units[key[1]]))
        for name, values in climate.items():  # whose values were checked when they were read
            gaps.add(("climate", name), LandGaps(int(land.sum()), int((land & np.isnan(values[places])).sum()), 0))
        part = {name: values[block.forcing.slices()] for name, values in coarse.items()}
        full = land_share(setup, block, land) == 1
        gaps.states += largest_sum(part, full)
    return gaps


def land_share(setup: LandSetup, block: Block, land: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the map's cells that are land, in each forcing cell of a block; NaN where the map has no cells."""
    shape = block.forcing.shape
    rows, cols = setup.plan.forcing_of(block.core)
    places = np.ix_(rows - block.forcing.row0, cols - block.forcing.col0)
    count, cells = np.zeros(shape), np.zeros(shape)
    np.add.at(count, places, land)
    np.add.at(cells, places, 1.0)
    share: NDArray[np.float64] = np.divide(count, cells, out=np.full(shape, np.nan), where=cells > 0)
    return share


def refuse_large_gaps(setup: LandSetup, parts: Iterable[Gaps]) -> None:
    """Refuse inputs that have no data on too much of the land.

    Parameters
    ----------
    parts:
        The gaps that each rank found.

    Raises
    ------
    DataError
        A gap is too large. The message names the variable and its files.
    """
    everything = Gaps()
    for part in parts:
        everything.states += part.states
        for key, gaps in part.found.items():
            everything.add(key, gaps)
    quality = setup.config.quality
    where = setup.forcing.at(setup.config.time.start)
    small = count_small_sums(everything.states, where, quality.policy)
    if small:
        setup.forcing.mended[Mended(setup.forcing.adapters[0].name, "small_sums", None, setup.plan.forcing.hash)] = (
            small
        )
    for (kind, name), gaps in sorted(everything.found.items()):
        catalogue = {"static": setup.static, "climate": setup.climate}.get(kind, setup.forcing)
        limit = quality.missing_static if kind == "static" else quality.missing_forcing
        refuse_gaps(name, gaps, limit, catalogue.source(name), quality.policy, catalogue.cause_of_gaps)


def _next_forcing(
    setup: LandSetup, forcing: LandForcing, state: LandState
) -> tuple[Mapping[str, NDArray[np.float32]], dict[str, str]]:
    """The forcing variables that the next step reads, and their units. No variables at the end of the run."""
    clock = setup.clock.at(state.year)
    units = {field.name: field.units for entry in setup.predictors for field in entry.spec.inputs}
    if clock.done:
        return {}, units
    step = clock.next()
    fields = sorted(forcing.of_step(step).fields.items(), key=lambda item: item[0][1] * clock.direction)
    coarse = {name: values for (name, _), values in fields}  # of the newest year
    if setup.follows_scenario:
        chosen = setup.forcing.choose(setup.map_maker.crosswalk, step.now)
        states = {name: "1" for names in chosen.values() for name in names}
        coarse |= forcing.reader.read(states, step.now)
        units |= states
    return coarse, units

"""Land cells without input data. A run with too many of them is refused before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.core.state import LandState
from ai4land_coupler.inputs.checks import LandGaps, gaps_on_land, refuse_gaps
from ai4land_coupler.land.forcing import LandForcing, static_needs
from ai4land_coupler.land.setup import LandSetup

#: Gaps by kind (``forcing``, ``static``) and variable.
Gaps = dict[tuple[str, str], LandGaps]


def find_gaps(setup: LandSetup, forcing: LandForcing, state: LandState) -> Gaps:
    """Count the land cells of this rank's blocks without data in the inputs of the next step. Local."""
    found: Gaps = {}
    blocks = setup.own_blocks
    land = {block.id: setup.legend.to_view(state.cover[block.id]) != OUTSIDE for block in blocks}
    coarse, units = _next_forcing(setup, forcing, state) if blocks else ({}, {})
    statics = {name: spec for name, spec in static_needs(setup).items() if name in setup.static}
    units |= {name: spec.units for name, spec in statics.items()}
    for block in blocks:
        cells = setup.grid.sub(block.core)
        places = np.ix_(*setup.plan.forcing_of(block.core))
        read = {("forcing", name): values[places] for name, values in coarse.items()}
        for name, spec in statics.items():
            read["static", name] = setup.static.read({name: spec.units}, cells)[name]
        for key, values in read.items():
            part = gaps_on_land(key[1], values, land[block.id], units[key[1]])
            found[key] = found[key] + part if key in found else part
    return found


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
    found: Gaps = {}
    for part in parts:
        for key, gaps in part.items():
            found[key] = found[key] + gaps if key in found else gaps
    quality = setup.config.quality
    for (kind, name), gaps in sorted(found.items()):
        catalogue = setup.static if kind == "static" else setup.forcing
        limit = quality.missing_static if kind == "static" else quality.missing_forcing
        refuse_gaps(name, gaps, limit, catalogue.source(name), quality.policy)


def _next_forcing(
    setup: LandSetup, forcing: LandForcing, state: LandState
) -> tuple[Mapping[str, NDArray[np.float32]], dict[str, str]]:
    """The forcing variables that the next step reads, and their units. No variables at the end of the run."""
    clock = setup.clock.at(state.year)
    units = {field.name: field.units for entry in setup.predictors for field in entry.spec.inputs}
    if clock.done:
        return {}, units
    step = clock.next()
    coarse = {name: values for (name, _), values in forcing.of_step(step).fields.items()}
    if setup.follows_scenario:
        chosen = setup.forcing.choose(setup.map_maker.crosswalk, step.now)
        states = {name: "1" for names in chosen.values() for name in names}
        coarse |= forcing.reader.read(states, step.now)
        units |= states
    return coarse, units

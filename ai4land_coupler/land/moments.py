"""Which moment each input of a predictor is of, and where its values are.

A predictor with steps of years predicts the state of a year, before that year begins. A monthly predictor predicts the
twelve months before that state: a host has then lived them. So the state of year Y has the map and the yearly fields of
Y, and the monthly fields of Y-1. Offsets count from the predicted moment in the steps of the predictor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS
from ai4land_coupler.core.fields import FieldSpec, PredictorSpec
from ai4land_coupler.core.state import Blocks, LandState

if TYPE_CHECKING:
    from ai4land_coupler.land.predictors import NamedPredictor

#: Year and month; the month is 0 for a whole year.
Moment = tuple[int, int]
#: Name of the map in the history of a state.
COVER = "land_cover"
#: A year whose number does not matter.
_ANY = 2000


def moment_of(spec: PredictorSpec, time: Moment, offset: int) -> Moment:
    """The moment of an offset, in a step that predicts ``time``."""
    return spec.interval.shift(time, offset * spec.direction)


def predicted(spec: PredictorSpec, year: int) -> list[Moment]:
    """The moments that a predictor predicts in the step to the state of a year."""
    return [(year - 1, month) for month in range(1, 13)] if spec.monthly else [(year, 0)]


def forcing_years(spec: PredictorSpec, field: FieldSpec, year: int) -> set[int]:
    """The years of a forcing field that the step to the state of a year reads."""
    return {moment_of(spec, time, offset)[0] for time in predicted(spec, year) for offset in field.offsets}


def states_back(spec: PredictorSpec, time: Moment, offset: int, *, monthly: bool) -> int:
    """How many steps before the new state the state with the values of an offset is: 0 is the new one, 1 the last one.

    ``monthly``: whether the values are those of a month, and not of a map or of another year's field.
    """
    new = time[0] + 1 if spec.monthly else time[0]
    size = 1 if spec.monthly else spec.interval.years
    return (new - moment_of(spec, time, offset)[0]) * spec.direction // size - monthly


def monthly_outputs(predictors: Iterable[NamedPredictor]) -> frozenset[str]:
    """Names of the outputs with one value in each month."""
    return frozenset(field.name for entry in predictors if entry.spec.monthly for field in entry.spec.outputs)


def history_depths(predictors: Sequence[NamedPredictor]) -> dict[str, int]:
    """How many states before the last one a run keeps of the map and of each field; without those that need none."""
    monthly, depths = monthly_outputs(predictors), dict[str, int]()
    for entry in predictors:
        for name, field in _on_land(entry.spec):
            first = predicted(entry.spec, _ANY)[0]
            back = max(states_back(entry.spec, first, o, monthly=name in monthly) for o in field.offsets)
            depths[name] = max(depths.get(name, 0), back - 1)
    return {name: depth for name, depth in sorted(depths.items()) if depth > 0}


def next_history(state: LandState, depths: Mapping[str, int]) -> dict[str, tuple[Blocks, ...]]:
    """The history of the state after this one."""
    return {name: (_values(state, name), *state.history.get(name, ()))[:depth] for name, depth in depths.items()}


@dataclass(frozen=True)
class LandSource:
    """Where an input on the land grid comes from.

    ``key`` tells the sources of a step apart: name, year and month.
    """

    key: tuple[str, int, int]
    blocks: Blocks

    @property
    def is_cover(self) -> bool:
        return self.key[0] == COVER


def land_sources(
    spec: PredictorSpec,
    time: Moment,
    state: LandState,
    new: LandState,
    own: Mapping[str, Sequence[Blocks]],
    monthly: Collection[str],
) -> dict[tuple[str, int], LandSource]:
    """The maps and fields that a predictor reads to predict a moment, by name and offset.

    Parameters
    ----------
    state, new:
        The last state, and the next one as far as it is known.
    own:
        The predictor's own outputs of the months so far, (1, rows, cols), by name.
    monthly:
        Names of the outputs with one value in each month (:func:`monthly_outputs`).
    """
    found = {}
    for name, field in _on_land(spec):
        for offset in field.offsets:
            year, month = moment_of(spec, time, offset)
            back = states_back(spec, time, offset, monthly=name in monthly)
            if name not in monthly:
                month = 0  # all months of a year have one map, and one value of a yearly field
            if back == 0 and name in own:
                blocks = own[name][month - 1]
            elif back < 2:
                blocks = _values(state if back else new, name)
            else:
                blocks = _earlier(state, name, back - 2)
            if name != COVER:
                blocks = {i: _layer(values, month) for i, values in blocks.items()}
            found[field.name, offset] = LandSource((name, year, month), blocks)
    return found


def coarse_fields(
    spec: PredictorSpec,
    time: Moment,
    forcing: Mapping[tuple[str, int], NDArray[np.float32]],
    imports: Mapping[str, NDArray[np.float32]],
) -> dict[tuple[str, int], NDArray[np.float32]]:
    """The inputs of a predictor on the forcing grid, by name and offset.

    Parameters
    ----------
    forcing:
        By name and year; empty on ranks that do not predict, which get none of these fields.
    imports:
        The months before the new state, (months, rows, cols); the last one is December.
    """
    found = {}
    for field in spec.inputs:
        for offset in field.offsets:
            if field.source == "forcing" and forcing:
                found[field.name, offset] = forcing[field.name, moment_of(spec, time, offset)[0]]
            elif field.source == "import":
                months = imports[field.name]
                if spec.monthly:
                    found[field.name, offset] = months[len(months) - 13 + time[1] + offset]
                else:
                    end = len(months) + (offset + 1) * spec.interval.months
                    found[field.name, offset] = months[end - spec.interval.months : end].mean(axis=0)
    return found


def import_months(predictors: Iterable[NamedPredictor]) -> dict[str, tuple[int, int]]:
    """By name of an import: how many months before a state a step reads, and how many of these earlier steps read."""
    months: dict[str, tuple[int, int]] = {}
    for entry in predictors:
        for field in entry.spec.inputs:
            if field.source == "import":
                lived = 12 if entry.spec.monthly else entry.spec.interval.months
                first = min(field.offsets)
                all_months = lived - first if entry.spec.monthly else -first * lived
                months[field.name] = max(months.get(field.name, (0, 0)), (all_months, max(0, all_months - lived)))
    return months


def _on_land(spec: PredictorSpec) -> Iterator[tuple[str, FieldSpec]]:
    """The inputs that are maps or outputs of predictors, with their names in a state."""
    for field in spec.inputs:
        if field.source == "cover":
            yield COVER, field
        elif field.source == "output":
            yield field.name, field


def _values(state: LandState, name: str) -> Blocks:
    """The map or a field of a state; empty if no step made it."""
    return state.cover if name == COVER else state.fields.get(name, {})


def _earlier(state: LandState, name: str, index: int) -> Blocks:
    held = state.history.get(name, ())
    return held[index] if index < len(held) else {}


def _layer(values: NDArray[Any], month: int) -> NDArray[Any]:
    """A month, or the mean of all times that a state holds."""
    one = values[0] if len(values) == 1 else values[month - 1] if month else values.mean(axis=0)
    return np.asarray(one)


def made_in_the_same_step(reader: PredictorSpec, field: FieldSpec, maker: PredictorSpec) -> bool:
    """Whether a predictor reads values that another one, or itself, makes in the same step."""
    if field.source not in ("cover", "output"):
        return False
    read = LOGITS if field.source == "cover" else field.name
    if all(output.name != read for output in maker.outputs):
        return False
    last = predicted(reader, _ANY)[-1]
    return any(states_back(reader, last, offset, monthly=maker.monthly) <= 0 for offset in field.offsets)

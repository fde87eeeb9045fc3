"""The inputs and outputs of predictors, and the batches of named arrays that predictors receive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.clock import Step
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import PluginError

#: Origin of a field: the forcing, a static map, the host (``import``), the land map (``cover``), the output of
#: another predictor, or the memory of the same predictor.
Source = Literal["forcing", "static", "import", "cover", "output", "memory"]


@dataclass(frozen=True)
class FieldSpec:
    """One input or output of a predictor.

    Parameters
    ----------
    name:
        Variable name in adapters and hosts (``primf``, ``elevation``, ``air_temperature``).
    units:
        CF units that the predictor expects. The component converts to them.
    source:
        Origin of the field.
    grid:
        ``land``: values for every land cell of the window. ``forcing``: values on the whole forcing grid.
        ``coarse``: values on the forcing cells under the window; ``Batch.coarse`` tells in which of them each land cell
        lies. Only for the sources ``forcing`` and ``import``. It needs far less memory than ``land``.
    offsets:
        Steps of the predictor relative to the predicted one: 0 is the predicted step, -1 the step before. A predictor
        with steps of months counts in months, one with steps of years in its steps, in the direction of the run. A
        static field is the same at all offsets. ``docs/plugins.md`` says which offsets each source has.
    missing:
        ``error``: the run stops if no adapter, host or predictor has the variable. ``fill``: the predictor gets the
        value ``fill`` instead, and the provenance records this. Single missing cells, and outputs of predictors before
        the first step, always get the value ``fill``.
    """

    name: str
    units: str
    source: Source
    grid: Literal["land", "forcing", "coarse"] = "land"
    offsets: tuple[int, ...] = (0,)
    missing: Literal["error", "fill"] = "error"
    fill: float = 0.0


@dataclass(frozen=True)
class PredictorSpec:
    """What a predictor needs and returns. The component plans tiles, order and time steps from it.

    Parameters
    ----------
    inputs, outputs:
        The fields. Outputs are ``land_cover_logits`` (float32, one channel per class of the legend's view) or
        continuous fields.
    legend:
        Name of the legend whose view classes the predictor uses. ``None`` if it neither reads nor predicts classes.
    step:
        The time step for which it was trained. The component never uses it with another step.
    direction:
        +1 forward in time, -1 backward. Backward runs need their own weights.
    align:
        Windows start and end at multiples of this number of land cells (for pooling in the network).
    halo:
        Number of land cells around the core on which the prediction depends.
    memory:
        Continuous fields on the land grid that are carried from step to step, with their first value.
    """

    inputs: tuple[FieldSpec, ...]
    outputs: tuple[FieldSpec, ...]
    legend: str | None
    step: str = "P1Y"
    direction: Literal[1, -1] = 1
    align: int = 1
    halo: int = 0
    memory: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interval.months != 1 and self.interval.months % 12:
            raise PluginError(
                "a predictor has a step that the component does not take",
                expected="P1M, or whole years",
                found=self.step,
            )
        if self.align < 1 or self.halo < 0:
            raise PluginError("a predictor declares an impossible window", found=(self.align, self.halo))
        names = [f.name for f in self.outputs]
        if not names or len(set(names)) != len(names):
            raise PluginError("a predictor must declare outputs of distinct names", found=names)
        read = [*(f.name for f in self.inputs), *self.memory]
        if len(set(read)) != len(read):
            raise PluginError("a predictor must declare inputs and memories of distinct names", found=read)
        for item in self.inputs:
            _check_offsets(item)
        wrong = [f.name for f in self.inputs if f.grid == "coarse" and f.source not in ("forcing", "import")]
        if wrong:
            raise PluginError(
                "a predictor declares a coarse field that is not on the forcing grid",
                expected='source "forcing" or "import"',
                found=", ".join(wrong),
                remedy='set grid="land" for this field',
            )

    @property
    def interval(self) -> Step:
        return Step.parse(self.step)

    @property
    def monthly(self) -> bool:
        """Whether it predicts months. All others predict the state of a year."""
        return self.interval.months == 1


def _check_offsets(item: FieldSpec) -> None:
    """Refuse an input that no step can have."""
    what = f"input {item.name!r} of a predictor"
    if item.source == "memory":
        raise PluginError(f"{what} is a memory", remedy="declare it in spec.memory, and not as an input")
    if not item.offsets or any(int(offset) != offset for offset in item.offsets):
        raise PluginError(f"{what} has no offsets", expected="offsets: at least one whole number", found=item.offsets)
    if item.source not in ("forcing", "static") and max(item.offsets) > 0:
        raise PluginError(
            f"{what} has an offset after the predicted step",
            expected="offsets of 0 or less; forcing alone is known ahead",
            found=item.offsets,
        )


@dataclass(frozen=True)
class Tile:
    """One piece of the land grid: the predictor reads ``window`` and predicts ``core``.

    ``core`` is a block of whole forcing cells, or the part of it that has land; ``window`` is the core plus the halo,
    rounded outward to global multiples of ``align``.
    """

    id: int
    core: Box
    window: Box


@dataclass(frozen=True)
class CoarseIndex:
    """Where the land cells of a window lie in the coarse fields of a batch.

    ``rows`` (Y,) and ``cols`` (X,), int64: the row and the column of the forcing cell that holds the centre of a land
    cell, and -1 for land cells outside of the domain. The last row and the last column of a coarse field hold the
    field's ``fill``, so ``values[..., rows[:, None], cols]`` is the field on the land cells.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The input of ``Predictor.predict``.

    ``fields`` maps names to float32 numpy arrays (B, T, Y, X). T has the offsets of the field's spec (length 1 for
    memory). Land cover is ``land_cover``: int8 classes of the view, -1 outside. Fields with
    ``grid="forcing"`` and ``"coarse"`` have the rows and columns of forcing cells instead of Y and X. ``time`` is the
    (year, month) that is predicted. Steps of years predict the state that holds from 1 January of the year, and the
    month is 0. ``grid`` is the land grid, to which the rows and columns
    of the tiles' boxes refer. It is ``None`` only if a predictor is tested outside the component. ``coarse`` has one
    index for each tile.
    """

    tiles: tuple[Tile, ...]
    time: tuple[int, int]
    fields: Mapping[str, Any]
    grid: LatLonGrid | None = None
    coarse: tuple[CoarseIndex, ...] = ()


@dataclass(frozen=True)
class FieldInfo:
    """An adapter's description of a variable that it can read.

    Parameters
    ----------
    years, gaps:
        The first and the last year, and the missing years between them.
    monthly:
        Whether it has values for each month (for the section ``climate`` of a run).
    month_gaps:
        (year, month) of the missing months in all years but ``gaps``.
    """

    name: str
    units: str
    long_name: str = ""
    years: tuple[int, int] | None = None
    gaps: tuple[int, ...] = ()
    monthly: bool = False
    month_gaps: frozenset[tuple[int, int]] = frozenset()


def gaps_of(years: Iterable[int]) -> tuple[int, ...]:
    """The years between the first and the last that are not among them: ``FieldInfo.gaps`` of a list of years."""
    held = set(years)
    return tuple(sorted(set(range(min(held), max(held) + 1)) - held)) if held else ()

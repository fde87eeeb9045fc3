"""What a predictor needs and gives, and the windows of named arrays it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ai4land_coupler.core.clock import Step
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import PluginError

#: Where a field comes from: the forcing, a static map, the host, the land map itself, another predictor's
#: output, or this predictor's own memory.
Source = Literal["forcing", "static", "import", "cover", "output", "memory"]


@dataclass(frozen=True)
class FieldSpec:
    """One input or output of a predictor.

    Parameters
    ----------
    name:
        Variable name, as adapters and hosts give it (``primf``, ``elevation``, ``air_temperature``).
    units:
        CF units in which the predictor wants it; the component converts.
    source:
        Where it comes from.
    grid:
        ``land``: delivered at every fine cell of the window. ``forcing``: delivered on the coarse cells that
        the window touches.
    offsets:
        Steps relative to the one that is predicted: -1 is the step before, 0 the step itself. A monthly
        predictor counts in months. Ignored for static fields.
    missing:
        ``error``: the run stops when no adapter has the variable. ``fill``: ``fill`` is delivered instead,
        and the provenance says so. Single missing cells are always filled with ``fill``.
    """

    name: str
    units: str
    source: Source
    grid: Literal["land", "forcing"] = "land"
    offsets: tuple[int, ...] = (0,)
    missing: Literal["error", "fill"] = "error"
    fill: float = 0.0


@dataclass(frozen=True)
class PredictorSpec:
    """The contract that a predictor signs; the component plans tiles, order and cadence from it.

    Parameters
    ----------
    inputs, outputs:
        The fields. Outputs are ``land_cover_logits`` (float32, one channel per class of the legend's view) or
        continuous fields.
    legend:
        Name of the legend whose view the predictor speaks; ``None`` where it neither reads nor writes classes.
    step:
        The interval it was trained for; the component never applies it to another.
    direction:
        +1 forward in time, -1 backward. Backward runs have their own weights.
    align:
        Windows start and end on multiples of this many fine cells (pooling of the network).
    halo:
        Fine cells around the core that the prediction depends on.
    memory:
        Continuous fields carried from step to step, on the land grid, with the value they start from.
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
        Step.parse(self.step)
        if self.align < 1 or self.halo < 0:
            raise PluginError("a predictor declares an impossible window", found=(self.align, self.halo))
        names = [f.name for f in self.outputs]
        if not names or len(set(names)) != len(names):
            raise PluginError("a predictor must declare outputs of distinct names", found=names)

    @property
    def interval(self) -> Step:
        return Step.parse(self.step)


@dataclass(frozen=True)
class Tile:
    """One piece of the land grid: ``core`` is predicted, ``window`` is what the predictor sees.

    ``core`` is a block of whole forcing cells; ``window`` is the core plus the halo, rounded outward to
    global multiples of ``align``.
    """

    id: int
    core: Box
    window: Box


@dataclass(frozen=True)
class Batch:
    """What ``Predictor.predict`` is given.

    ``fields`` maps a name to a float32 numpy array (B, T, Y, X); T runs over the offsets of the field's spec
    (1 for static fields and memory). Land cover arrives as ``land_cover``: int8 classes of the view, -1 outside.
    ``time`` is the (year, month) that is predicted, month 0 for a step of years. ``grid`` is the land grid whose
    rows and columns the tiles' boxes count; ``None`` only where a predictor is tried outside the component.
    """

    tiles: tuple[Tile, ...]
    time: tuple[int, int]
    fields: Mapping[str, Any]
    grid: LatLonGrid | None = None


@dataclass(frozen=True)
class FieldInfo:
    """How an adapter describes a variable that it can deliver.

    ``years`` are the first and the last one, ``gaps`` those between them that are not there.
    """

    name: str
    units: str
    long_name: str = ""
    years: tuple[int, int] | None = None
    gaps: tuple[int, ...] = ()

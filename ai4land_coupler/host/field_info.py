"""The table of fields between the component and a host: what is on offer, what is wanted, and what each one means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STATE_WINDOW = "instant, 1 January of the state's year"
MONTHS_WINDOW = "means of the twelve months before 1 January of the state's year"
STEP_WINDOW = "sum over the step that ends on 1 January of the state's year"
YEAR_WINDOW = "the state's year"
VALIDITY = "from 1 January of the state's year to the next step"


@dataclass(frozen=True)
class ExportInfo:
    """One field that a host can get, float64 (types, cells) in C order, or (cells,) where it has no types.

    Attributes
    ----------
    units:
        As UDUNITS spells them.
    types:
        Names along the leading axis, in their order (classes, or months as 1 to 12); empty for a field (cells,).
    norm:
        What a fraction or mean refers to: the host's whole ``cell``, the ``land`` in it, or the ``types`` in it that
        ``norm_types`` names.
    norm_types:
        The set of surface types of the host profile that ``norm`` refers to: always given for ``types``; for ``land``
        only if the profile has its own set ``land`` (JSBACH: without lakes); else empty.
    grid:
        ``land``: the field is made on the land grid and averaged to host grids. ``host``: it exists on host grids only.
    long_name, standard_name:
        For a person, and CF's name where there is one.
    window, validity:
        The time that values stand for, and how long they hold.
    default:
        Value of a cell without land; NaN where there is nothing to tell.
    anchored:
        Whether it follows the host's own surface data where these were set (base + change).
    interpolates:
        Whether dates between two states are on offer (linear).
    ahead:
        Whether ``at="next"`` is on offer.
    """

    name: str
    units: str
    types: tuple[str, ...] = ()
    norm: Literal["cell", "land", "types"] = "cell"
    long_name: str = ""
    standard_name: str = ""
    window: str = STATE_WINDOW
    validity: str = VALIDITY
    default: float = 0.0
    anchored: bool = False
    interpolates: bool = False
    ahead: bool = False
    norm_types: str = ""
    grid: Literal["land", "host"] = "host"

    @property
    def layout(self) -> str:
        """The axes, slowest first."""
        return "(types, cells)" if self.types else "(cells,)"


@dataclass(frozen=True)
class ImportInfo:
    """One field that a host gives, real (cells,).

    Attributes
    ----------
    units:
        In which predictors take it; others that UDUNITS converts may be named with the values.
    window:
        How values given at dates are averaged.
    default:
        What stands in where the host gives none, one value or twelve in ``units``; ``None``: the run stops.
    missing:
        ``stop`` or ``fill``: what happens to months that the host did not give whole.
    """

    name: str
    units: str
    window: str = "monthly means of the twelve months before 1 January, weighted by time"
    default: tuple[float, ...] | None = None
    missing: str = "stop"
    long_name: str = ""
    standard_name: str = ""

"""Description of the fields that a host gets and gives: units, types, time and meaning."""

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
    """One field that a host can get, float64 (types, cells) in C order, or (cells,) for a field without types.

    Attributes
    ----------
    units:
        In the spelling of UDUNITS.
    types:
        Names along the first axis, in order (classes, or months as 1 to 12); empty for a field (cells,).
    norm:
        What a fraction or mean refers to: the host's whole ``cell``, the ``land`` in it, or the ``types`` in it that
        ``norm_types`` names.
    norm_types:
        The set of surface types of the host profile that ``norm`` refers to: always given for ``types``; for ``land``
        only if the profile has its own set ``land`` (JSBACH: without lakes); else empty.
    grid:
        ``land``: the field is made on the land grid and averaged to host grids. ``host``: it exists on host grids only.
    long_name, standard_name:
        A description, and the CF standard name if one exists.
    window, validity:
        The time that the values describe, and the time for which they are valid.
    default:
        Value of a cell without land; NaN if the field is undefined there.
    anchored:
        Whether the field follows the host's own surface data, if these were set (base + change).
    interpolates:
        Whether values between two states are available (linear in time).
    ahead:
        Whether ``at="next"`` is available.
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
        """The axes; the slowest comes first."""
        return "(types, cells)" if self.types else "(cells,)"


@dataclass(frozen=True)
class ImportInfo:
    """One field that a host gives, real (cells,).

    Attributes
    ----------
    units:
        Units of the predictors. A host can give other units with the values; UDUNITS converts them.
    window:
        How values given at dates are averaged.
    default:
        One value or twelve in ``units``, used if the host gives none. If this is ``None``, the run stops.
    missing:
        What happens to months that the host gave only in part: ``stop`` or ``fill``.
    optional:
        Whether predictors do without months that nobody gives (``missing="fill"`` in their specs).
    months, history:
        How many months before 1 January a step reads, and how many of them earlier steps have read too.
    """

    name: str
    units: str
    window: str = "monthly means of the twelve months before 1 January, weighted by time"
    default: tuple[float, ...] | None = None
    missing: str = "stop"
    long_name: str = ""
    standard_name: str = ""
    optional: bool = False
    months: int = 12
    history: int = 0

"""The table of fields between the component and a host: what is on offer, what is wanted, and what each one means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.legend import Legend

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
        What a fraction or mean is taken over: the host's whole ``cell``, or the ``land`` in it.
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
    norm: str = "cell"
    long_name: str = ""
    standard_name: str = ""
    window: str = STATE_WINDOW
    validity: str = VALIDITY
    default: float = 0.0
    anchored: bool = False
    interpolates: bool = False
    ahead: bool = False

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


def exports_of(
    legend: Legend, continuous: Mapping[str, tuple[str, int]], *, ahead: bool = False, late: Iterable[str] = ()
) -> dict[str, ExportInfo]:
    """The fields on offer: land cover always, and what the predictors make.

    Parameters
    ----------
    continuous:
        Name to units and samples a year.
    ahead:
        Whether the component is one step ahead of its host.
    late:
        Continuous fields that wait for the host's imports of the year, and so are never ahead.
    """
    waiting = set(late)
    table = {
        "land_cover_fraction": ExportInfo(
            "land_cover_fraction",
            "1",
            legend.classes,
            "cell",
            "share of the cell that each class covers",
            "area_fraction",
            anchored=True,
            interpolates=ahead,
            ahead=ahead,
        ),
        "land_area_fraction": ExportInfo(
            "land_area_fraction",
            "1",
            (),
            "cell",
            "share of the cell that is mapped land or inland water",
            "land_area_fraction",
            anchored=True,
            interpolates=ahead,
            ahead=ahead,
        ),
    }
    for name, (units, samples) in continuous.items():
        types = tuple(str(i + 1) for i in range(samples)) if samples > 1 else ()
        table[name] = ExportInfo(
            name,
            units,
            types,
            "land",
            f"mean of {name} over the land of the cell",
            _STANDARD_NAMES.get(name, ""),
            window=MONTHS_WINDOW if types else STATE_WINDOW,
            default=float("nan"),
            ahead=ahead and name not in waiting,
        )
    return table


def transitions_info(legend: Legend, *, ahead: bool) -> ExportInfo:
    """Gross change from class to class: what stayed is there too, so that sums are the fractions before and after."""
    return ExportInfo(
        "land_cover_transition",
        "1",
        tuple(f"{a} to {b}" for a in legend.classes for b in legend.classes),
        "cell",
        "share of the cell that went from one class to another in the step",
        window=STEP_WINDOW,
        ahead=ahead,
    )


def imports_of(
    specs: Iterable[FieldSpec], defaults: Mapping[str, tuple[float, ...]], missing: Mapping[str, str]
) -> dict[str, ImportInfo]:
    """The fields that predictors want of a host; ``defaults`` and ``missing`` are the configuration's."""
    return {
        spec.name: ImportInfo(
            spec.name,
            spec.units,
            default=defaults.get(spec.name),
            missing=missing.get(spec.name, "stop"),
            standard_name=spec.name if spec.name in _CF_IMPORTS else "",
        )
        for spec in specs
    }


#: Names of the CF standard name table that fields of ours carry under another name.
_STANDARD_NAMES = {"lai": "leaf_area_index"}
_CF_IMPORTS = {
    "air_temperature",
    "precipitation_flux",
    "surface_downwelling_shortwave_flux_in_air",
    "mass_content_of_water_in_soil",
    "land_area_fraction",
}

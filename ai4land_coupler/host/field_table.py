"""The fields that hosts can get and should give in one run; they follow from the configuration and its predictors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS
from ai4land_coupler.config.sections import ImportSection
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.units import convert, factor
from ai4land_coupler.errors import ConfigError, FieldError
from ai4land_coupler.host.field_info import MONTHS_WINDOW, STATE_WINDOW, STEP_WINDOW, ExportInfo, ImportInfo
from ai4land_coupler.host.pass_through import PassedVariable, passed_variables
from ai4land_coupler.host.profiles import HostProfile, get_profile, profile_exports
from ai4land_coupler.host.values import check_range, missing_values
from ai4land_coupler.land.moments import import_months
from ai4land_coupler.land.predictors import order_predictors, waiting_for_imports
from ai4land_coupler.land.setup import LandSetup

#: The gross change between classes in the step that led to the state.
TRANSITIONS = "land_cover_transition"


@dataclass(frozen=True)
class FieldTable:
    """The exports and imports of a run.

    Attributes
    ----------
    exports, imports:
        By name.
    profile:
        The host profile of the configuration, or ``None``.
    pass_through:
        Variables of the forcing that hosts get unchanged.
    """

    exports: Mapping[str, ExportInfo]
    imports: Mapping[str, ImportInfo]
    profile: HostProfile | None
    pass_through: tuple[PassedVariable, ...]

    @property
    def pass_through_inputs(self) -> set[tuple[str, str]]:
        """Forcing variables that are read for hosts each year, as (name, units)."""
        return {pair for item in self.pass_through for pair in item.needs}


def make_field_table(setup: LandSetup) -> FieldTable:
    """Make the field table of a run.

    Raises
    ------
    ConfigError
        A profile that does not fit the legend, a variable of the forcing that cannot be regridded, an import that does
        not fit, or ``exports.lookahead`` although the next map needs imports.
    """
    config = setup.config
    named = config.exports.profile
    profile = None if named is None else get_profile(named, config.base)
    if profile is not None:
        profile.table(setup.legend)  # raises ConfigError if the profile has no rule for a class
    pass_through = tuple(passed_variables(config.exports.pass_through, setup.forcing))
    _refuse_lookahead(setup)
    return FieldTable(_exports(setup, profile, pass_through), _imports(setup), profile, pass_through)


def configured_import(setup: LandSetup, name: str) -> NDArray[np.float32]:
    """The value of the configuration for an import, float32 (months, rows, cols) on the forcing grid.

    The months are those before 1 January that a step reads; the last one is December.

    Raises
    ------
    FieldError
        The configuration has no value for it.
    """
    section, info = setup.config.imports.get(name), _imports(setup)[name]
    if section is None and info.optional:
        return np.broadcast_to(np.float32(np.nan), (info.months, *setup.plan.forcing.shape))
    spec = _import_specs(setup)[name]
    if section is None:
        raise FieldError(
            f"import {name!r} was never set",
            expected=f"values in {spec.units} from every rank of the host",
            remedy=f"give the import before the step, or set imports.{name} with `missing: fill` in the configuration; "
            "a run without a host can read it from files (`climate`)",
        )
    months = _monthly(section, spec)[np.arange(-info.months, 0) % 12]
    return np.broadcast_to(months[:, None, None], (info.months, *setup.plan.forcing.shape))


def _exports(
    setup: LandSetup, profile: HostProfile | None, pass_through: Sequence[PassedVariable]
) -> dict[str, ExportInfo]:
    late = waiting_for_imports(order_predictors(setup.predictors))
    continuous, waiting = {}, set()
    for entry in setup.predictors:
        for field in entry.spec.outputs:
            if field.name != LOGITS:
                continuous[field.name] = (field.units, 1 if entry.spec.interval.years else 12)
                if entry.name in late:
                    waiting.add(field.name)
    ahead = setup.config.exports.lookahead
    table = exports_of(setup.legend, continuous, ahead=ahead, late=waiting)
    if setup.config.exports.transitions:
        table[TRANSITIONS] = transitions_info(setup.legend, ahead=ahead)
    if profile is not None:
        table |= profile_exports(profile, ahead=ahead)
    return table | {item.name: replace(item.info, ahead=ahead) for item in pass_through}


def _import_specs(setup: LandSetup) -> dict[str, FieldSpec]:
    """The fields that predictors need from a host."""
    return {f.name: f for entry in setup.predictors for f in entry.spec.inputs if f.source == "import"}


def _imports(setup: LandSetup) -> dict[str, ImportInfo]:
    specs = _import_specs(setup)
    sections = {name: setup.config.imports[name] for name in specs if name in setup.config.imports}
    defaults = {n: tuple(float(v) for v in _monthly(s, specs[n])) for n, s in sections.items()}
    table = imports_of(specs.values(), defaults, {name: s.missing for name, s in sections.items()})
    for name, (months, history) in import_months(setup.predictors).items():
        fields = [f for entry in setup.predictors for f in entry.spec.inputs if (f.source, f.name) == ("import", name)]
        optional = all(field.missing == "fill" for field in fields)
        table[name] = replace(table[name], optional=optional, months=months, history=history)
    return table


def _refuse_lookahead(setup: LandSetup) -> None:
    """Refuse ``exports.lookahead`` if the next map depends on imports of the year before it."""
    late = waiting_for_imports(order_predictors(setup.predictors))
    maker = next((entry.name for entry in setup.predictors if entry.makes_maps and entry.name in late), None)
    if setup.config.exports.lookahead and maker is not None:
        raise ConfigError(
            "the next map cannot be made a step ahead: its predictor imports fields of the year before it",
            found=f"predictor {maker!r}",
            where="exports.lookahead",
            remedy="leave lookahead out, or take a predictor of land cover that imports nothing",
        )


def _monthly(section: ImportSection, spec: FieldSpec) -> NDArray[np.float32]:
    """Twelve monthly values of an offline import, in the units of the predictor."""
    where = f"imports.{spec.name}"
    months = np.atleast_1d(np.asarray(section.values, np.float32))
    if months.size not in (1, 12):
        raise ConfigError("an import is one value or twelve", found=f"{months.size} values", where=f"{where}.values")
    if missing_values(months.astype(np.float64)).any():
        raise ConfigError("an import has values that are no numbers", found=section.values, where=f"{where}.values")
    remedy = f"correct {where}.units"
    try:
        months = months * np.float32(factor(section.units, spec.units, f"{where}.units", remedy))
    except FieldError:  # no factor: units with another zero (degC)
        months = np.asarray(convert(months, section.units, spec.units, f"{where}.units", remedy), np.float32)
    check_range(spec.name, months, spec.units, where)
    return np.broadcast_to(months, (12,))


def exports_of(
    legend: Legend, continuous: Mapping[str, tuple[str, int]], *, ahead: bool = False, late: Iterable[str] = ()
) -> dict[str, ExportInfo]:
    """The exports: land cover, and the fields that the predictors make.

    Parameters
    ----------
    continuous:
        Name to units and samples per year.
    ahead:
        Whether the component is one step ahead of its host.
    late:
        Continuous fields that need the host's imports of the year, so they are never one step ahead.
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
            grid="land",
        )
    return table


def transitions_info(legend: Legend, *, ahead: bool) -> ExportInfo:
    """Gross change from class to class. It includes unchanged shares: sums are the fractions before or after."""
    return ExportInfo(
        TRANSITIONS,
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
    """The imports; ``defaults`` and ``missing`` come from the configuration."""
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


#: CF standard names of fields that have another name here.
_STANDARD_NAMES = {"lai": "leaf_area_index"}
_CF_IMPORTS = {
    "air_temperature",
    "precipitation_flux",
    "surface_downwelling_shortwave_flux_in_air",
    "mass_content_of_water_in_soil",
    "mole_fraction_of_carbon_dioxide_in_air",
    "land_area_fraction",
}

"""Refuses, before a run starts, what predictors ask for and no step can give them."""

from __future__ import annotations

from collections.abc import Sequence

from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.units import factor, is_convertible, is_known
from ai4land_coupler.errors import ConfigError, FieldError
from ai4land_coupler.inputs.checks import field_rule
from ai4land_coupler.land.predictors import NamedPredictor


def refuse_what_is_not_carried(predictors: Sequence[NamedPredictor], clock: Clock) -> None:
    """Check the specs of the predictors of a run, alone and against each other.

    Raises
    ------
    ConfigError, FieldError
        The error names the predictor and its input or output.
    """
    makers = {output.name: entry for entry in predictors for output in entry.spec.outputs}
    units: dict[tuple[str, str], tuple[FieldSpec, str]] = {}
    for entry in predictors:
        if entry.spec.monthly:
            _refuse_months(entry, clock)
        for field in (*entry.spec.inputs, *entry.spec.outputs):
            _refuse_units(entry, field)
        for field in entry.spec.inputs:
            if field.source == "output":
                _refuse_output(entry, field, makers.get(field.name))
            if field.source == "import" and not entry.spec.monthly and 0 in field.offsets:
                raise _not_lived(entry, field)
            if field.source in ("forcing", "static", "import"):
                first, by = units.setdefault((field.source, field.name), (field, entry.name))
                if first.units != field.units:
                    raise FieldError(
                        f"two predictors read {field.name!r} in different units",
                        expected=f"{first.units}, as predictor {by!r}",
                        found=field.units,
                        where=_where(entry),
                        remedy="let one of them convert it",
                    )


def _refuse_months(entry: NamedPredictor, clock: Clock) -> None:
    wrong = None
    if entry.makes_maps:
        wrong = "a predictor of land cover has steps of months", "whole years: the map of a year is one map"
    elif entry.spec.direction < 0:
        wrong = "a monthly predictor goes backward in time", "forward: run it over the maps of a backward run (replay)"
    elif clock.step > 1:
        wrong = f"a monthly predictor beside maps of several years, P{clock.step}Y", "land cover with steps of P1Y"
    if wrong:
        raise ConfigError(wrong[0], expected=wrong[1], where=_where(entry))


def _refuse_units(entry: NamedPredictor, field: FieldSpec) -> None:
    rule = field_rule(field.name)
    if rule is not None and rule.units == field.units:
        return
    if not is_known(field.units):
        raise FieldError(
            f"{field.name!r} of a predictor has units that nobody knows",
            expected="units of UDUNITS, such as 1, K, m2 m-2, kg m-2 s-1",
            found=field.units,
            where=_where(entry),
        )
    if rule is not None and rule.units is not None and not is_convertible(rule.units, field.units):
        raise FieldError(
            f"{field.name!r} of a predictor has units of something else",
            expected=rule.units,
            found=field.units,
            where=f"{_where(entry)}; schemas/fields.yaml",
        )


def _refuse_output(entry: NamedPredictor, field: FieldSpec, maker: NamedPredictor | None) -> None:
    if maker is None:
        if field.missing == "error":
            raise ConfigError(
                f"no predictor makes {field.name!r}",
                expected=f"a predictor with the output {field.name!r}",
                where=_where(entry),
                remedy="add such a predictor to `predictors`, before or after this one",
            )
        return
    made = next(output for output in maker.spec.outputs if output.name == field.name)
    if not is_convertible(made.units, field.units) or factor(made.units, field.units) != 1:
        raise FieldError(
            f"an input has other units than the predictor that makes {field.name!r}",
            expected=made.units,
            found=field.units,
            where=_where(entry),
            remedy="read it in the units of the predictor that makes it",
        )
    if maker.spec.monthly and not entry.spec.monthly and 0 in field.offsets:
        raise _not_lived(entry, field)


def _not_lived(entry: NamedPredictor, field: FieldSpec) -> ConfigError:
    return ConfigError(
        f"{field.name!r} of a year is not known on its 1 January, when the state of the year is predicted",
        expected="offsets of -1 or less: the mean of the step before has -1",
        found=field.offsets,
        where=_where(entry),
        remedy="a predictor with steps of months has the month that it predicts at offset 0",
    )


def _where(entry: NamedPredictor) -> str:
    return f"predictor {entry.name!r}"

"""Finds the variables of a file from which a static field is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ai4land_coupler.api import DataError, factor, nearest
from ai4land_static.known import KNOWN
from ai4land_static.options import StaticOptions, StaticVariable

#: Attributes of categories that the adapter delivers too.
_FLAGS = ("flag_values", "flag_meanings")


@dataclass(frozen=True)
class FieldSource:
    """The variables of a file whose weighted sum is a field.

    Parameters
    ----------
    variables, weights:
        One variable, or the layers of the soil from the top; each with its weight.
    units:
        Units of each variable in the file.
    delivered:
        Units of the delivered field.
    """

    variables: tuple[str, ...]
    weights: tuple[float, ...]
    units: Mapping[str, str]
    delivered: str
    kind: Literal["continuous", "category", "count"] = "continuous"
    flags: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if len(self.variables) == 1:
            return f"{self.kind} from {self.variables[0]!r} ({self.units[self.variables[0]] or 'no units'})"
        parts = (f"{weight:.4f} {name!r}" for name, weight in zip(self.variables, self.weights, strict=True))
        return f"mean over depth, {' + '.join(parts)} ({self.units[self.variables[0]] or 'no units'})"


def find_sources(dataset: Any, options: StaticOptions) -> dict[str, FieldSource]:
    """Find the variables of each field, by the name of the field.

    Raises
    ------
    DataError
        A variable is missing or ambiguous, or categories are requested as a continuous field.
    FieldError
        Units do not fit.
    """
    found = {}
    for name, entry in _single(dataset, options).items():
        found[name] = _source(dataset, options, name, entry, (entry.name,), (1.0,))
    if options.layers is not None:
        weights = options.layers.normalised
        for name, layers in options.layers.variables.items():
            found[name] = _source(dataset, options, name, StaticVariable(name=layers[0]), layers, weights)
    if not found:
        raise DataError(
            "a file holds none of the static fields",
            expected=f"some of {', '.join(KNOWN)}, by name or CF standard name",
            found=", ".join(dataset.variables),
            where=options.path,
            remedy="say which is which with `variables`",
        )
    return found


def _source(
    dataset: Any,
    options: StaticOptions,
    name: str,
    entry: StaticVariable,
    variables: tuple[str, ...],
    weights: tuple[float, ...],
) -> FieldSource:
    units = {}
    for variable in variables:
        if variable not in dataset.variables:
            raise DataError(
                f"variable {variable!r} is missing from the static file",
                where=options.path,
                remedy=nearest(variable, dataset.variables),
            )
        where = f"{options.path}, variable {variable!r}"
        if entry.kind != "category":
            _refuse_categories(dataset[variable], where)
        found = str(getattr(dataset[variable], "units", ""))
        units[variable] = entry.file_units if entry.file_units is not None else found
    first = variables[0]
    if entry.kind == "category":
        flags = {a: dataset[first].getncattr(a) for a in _FLAGS if hasattr(dataset[first], a)}
        return FieldSource(variables, weights, {first: "1"}, "1", "category", flags)
    delivered = KNOWN[name].units if name in KNOWN else "m-2" if entry.kind == "count" else units[first]
    for variable, given in units.items():
        where = f"{options.path}, variable {variable!r}"
        # A count has no units, whatever the file says. As a density it must have the units of the field.
        factor("m-2" if entry.kind == "count" else given, delivered, where=where)
    return FieldSource(variables, weights, units, delivered, entry.kind)


def _single(dataset: Any, options: StaticOptions) -> dict[str, StaticVariable]:
    """Fields of one variable each: those of the options, or those found by name or CF standard name."""
    if options.variables is not None:
        return {n: StaticVariable(name=v) if isinstance(v, str) else v for n, v in options.variables.items()}
    layered = options.layers.variables if options.layers is not None else {}
    found = {}
    for name, known in KNOWN.items():
        named = [
            v
            for v, variable in dataset.variables.items()
            if known.standard_name and getattr(variable, "standard_name", "") == known.standard_name
        ]
        if name in layered:
            continue
        if name in dataset.variables:
            found[name] = StaticVariable(name=name)
        elif len(named) == 1:
            found[name] = StaticVariable(name=named[0])
        elif named:
            raise DataError(
                f"several variables could be {name!r}",
                found=", ".join(named),
                where=options.path,
                remedy=f"choose one: `variables: {{{name}: {named[0]}}}`; or list them as `layers`",
            )
    return found


def _refuse_categories(variable: Any, where: str) -> None:
    if hasattr(variable, "flag_values") or hasattr(variable, "flag_meanings"):
        raise DataError(
            "a static field holds categories, which cannot be interpolated",
            expected="a continuous field",
            found="the attribute flag_values or flag_meanings",
            where=where,
            remedy="give it `kind: category`, which takes the nearest cell, or make a field of fractions of each",
        )

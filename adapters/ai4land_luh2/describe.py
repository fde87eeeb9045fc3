"""Describes the data of an adapter of land use, for users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ai4land_luh2.joint import Joint
from ai4land_luh2.series import Series
from ai4land_luh2.variables import Kind

_NOTES: Mapping[Kind, str] = {
    "transitions": "a transition belongs to the year it starts from: it leads to 1 January of the next",
    "management": "rates and fractions refer to the area of their own crop or harvest, not to the cell",
}

#: Names of variables on a line: all of them, or the first ones.
_ALL, _FIRST = 15, 6


def describe(
    attrs: Mapping[str, str],
    series: Mapping[Kind, Series],
    tolerance: float,
    policy: str,
    joints: Sequence[Joint],
) -> str:
    """Lines of text: files, variables with units, years, grid, what is masked, and how sums are scaled."""
    scenario = f", scenario {attrs['scenario']}" if "scenario" in attrs else ""
    lines = [f"{attrs['source']}{scenario}"]
    for kind, entry in series.items():
        span = "" if kind == "static" else f" {entry.first} to {entry.last}"
        lines.append(f"  {kind}{span}: {len(entry.variables)} variables")
        by_units: dict[str, list[str]] = {}
        for name, variable in entry.variables.items():
            by_units.setdefault(variable.units, []).append(name)
        lines += [f"    in {units}: {_listed(names)}" for units, names in by_units.items()]
        read = {layout.where: years for layout, years in entry.owned()}
        lines += [f"    from {layout.where}{_years(read[layout.where])}" for layout in entry.layouts]
        lines += [f"    {note}" for note in _no_plantations(entry)]
        if kind in _NOTES:
            lines.append(f"    {_NOTES[kind]}")
    lines += [f"  {joint.line()}" for joint in joints]
    stop = "stop the run" if policy == "stop" else "become missing and are counted"
    return "\n".join(
        [
            *lines,
            f"  grid: {series['states'].grid}; from cell centres, the bounds in the files are not used",
            "  masked: values above 1e19 and those that CF attributes name; infinite values and such as a variable "
            f"cannot have {stop}",
            f"  closed: states that sum to more than 1 are scaled to 1, up to {tolerance:g} beyond it"
            + ("" if policy == "stop" else " and, by policy, above that"),
        ]
    )


def _no_plantations(series: Series) -> list[str]:
    """A line for each file of states without data of plantations in its first or its last year."""
    if series.kind != "states":
        return []
    return [
        f"no data of plantations in {layout.source.stem}: read as no plantations"
        for layout in series.layouts
        if any(series.no_data(layout, "pltns", year) for year in (layout.first, layout.last))
    ]


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _ALL:
        return " ".join(names)
    return f"{' '.join(names[:_FIRST])} ... ({len(names)} in all)"


def _years(years: Sequence[int]) -> str:
    return f" ({min(years)} to {max(years)})" if years else ""

"""Finds out which inputs a run needs: variables, units, years and files."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from ai4land_coupler.config.sections import PluginChoice
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.prepare.layout import LAND_COVER, PreparedLayout, PreparedVariable
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue, Mended
from ai4land_coupler.inputs.checks import field_rule
from ai4land_coupler.land.forcing import LandForcing, static_needs
from ai4land_coupler.land.setup import LandSetup


def plan_layout(setup: LandSetup, maps: Iterable[int] = ()) -> PreparedLayout:
    """The layout of a store with everything that a run reads.

    Parameters
    ----------
    maps:
        Years whose maps are stored in addition to the initial map.

    Raises
    ------
    Ai4LandError
        As in the run itself: if no adapter has a variable or a year.
    """
    config = setup.config
    forcing = setup.forcing
    return PreparedLayout(
        land=setup.grid,
        legend=setup.legend.name,
        forcing=setup.plan.forcing if config.forcing else None,
        lattice=forcing.lattice if config.forcing else None,
        variables=(_maps(setup, maps), *_forcing(setup, forcing), *_static(setup)),
    )


def _maps(setup: LandSetup, maps: Iterable[int]) -> PreparedVariable:
    info = setup.initial.adapter.fields()[LAND_COVER]
    years = tuple(sorted({setup.initial_year, *setup.earlier_years, *maps}))
    return PreparedVariable("maps", LAND_COVER, "1", info.long_name, years, setup.initial.name)


def _forcing(setup: LandSetup, catalogue: Catalogue) -> Iterator[PreparedVariable]:
    years: dict[str, set[int]] = {}
    wanted: dict[str, set[str]] = {}
    passed = make_field_table(setup).pass_through_inputs
    for year, needs in LandForcing(setup, passed).needs().items():
        for name, units in needs:
            years.setdefault(name, set()).add(year)
            wanted.setdefault(name, set()).add(units)
    for name in sorted(years):
        offers = [catalogue.offer(name, year) for year in sorted(years[name])]
        # Store the units of the source if all files agree: then a run converts values exactly as from the raw files.
        choices = {info.units for _, info in offers}
        choices = choices if len(choices) == 1 else wanted[name]
        if len(choices) != 1:
            raise ConfigError(
                f"forcing {name!r} comes in several units and is wanted in several",
                found=f"wanted in {', '.join(sorted(choices))}",
                where="forcing",
                remedy="give the adapters the same units",
            )
        fixed = all(info.years is None for _, info in offers)
        source = ", ".join(dict.fromkeys(entry.name for entry, _ in offers))
        stored = None if fixed else tuple(sorted(years[name]))
        yield PreparedVariable("forcing", name, choices.pop(), offers[0][1].long_name, stored, source)


def _static(setup: LandSetup) -> Iterator[PreparedVariable]:
    for name in sorted(static_needs(setup)):
        entry, info = setup.static.offer(name)
        yield PreparedVariable("static", name, info.units, info.long_name, None, entry.name)


def check_joints(setup: LandSetup, layout: PreparedLayout) -> dict[Mended, int]:
    """Compare data sets at the year where one follows another, as a run does. Returns counts of the accepted jumps.

    Raises
    ------
    DataError
        If values jump between two data sets and the policy is ``stop``.
    """
    catalogue = setup.forcing
    joints: dict[tuple[int, int], list[str]] = {}
    for variable in layout.of("forcing"):
        rule = field_rule(variable.name)
        if rule is not None and rule.kind == "fraction":
            served = [catalogue.find(variable.name, year) for year in variable.years or ()]
            for pair in sorted({(a, b) for a, b in pairwise(served) if a != b}):
                joints.setdefault(pair, []).append(variable.name)
    for (one, other), names in joints.items():
        catalogue.compare(one, other, names, setup.plan.forcing)
    return {key: count for key, count in catalogue.mended.items() if key.fault == "jump"}


def source_files(setup: LandSetup, layout: PreparedLayout) -> list[tuple[str, str, Path | None]]:
    """The sources of the store: name of the adapter, path or URL, and the file (``None`` for a remote URL).

    Asks the adapter for its files. If it names none, takes the paths and URLs in its options, and replaces ``{year}``
    by each prepared year.
    """
    config = setup.config
    coarse = layout.years("forcing")
    parts: list[tuple[PluginChoice, NamedAdapter, tuple[int, ...]]]
    parts = [(config.initial, setup.initial, layout.years("maps"))]
    for choices, catalogue in ((config.forcing, setup.forcing), (config.static, setup.static)):
        parts += [(choice, entry, coarse) for choice, entry in zip(choices, catalogue.adapters, strict=True)]
    found: list[tuple[str, str, Path | None]] = []
    for choice, entry, years in parts:
        named = entry.input_files(years)
        if named:
            found += [(choice.name, name, path) for name, path in named.items()]
            continue
        options = setup.plugins.find("adapter", choice.name).options.model_validate(
            choice.options, context={"base": config.base}
        )
        for value in _leaves(dict(options)):
            for item in _expand(value, years):
                found.append((choice.name, str(item), item if isinstance(item, Path) else None))
    return list(dict.fromkeys(found))


def _leaves(value: Any) -> Iterator[Path | str]:
    """All paths and URLs in an adapter's options."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Path) or (isinstance(value, str) and "://" in value):
        yield value


def _expand(value: Path | str, years: Iterable[int]) -> Iterator[Path | str]:
    if isinstance(value, str):
        yield value
        return
    for text in dict.fromkeys(str(value).replace("{year}", str(year)) for year in (*years, "{year}")):
        if Path(text).exists():
            yield Path(text)
        elif glob.has_magic(text):
            yield from map(Path, sorted(glob.glob(text, recursive=True)))  # noqa: PTH207 - may be absolute

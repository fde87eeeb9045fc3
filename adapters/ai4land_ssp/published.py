"""The names of the published scenario files, and how the files of a scenario are found in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ai4land_coupler.api import ConfigError, DataError, InputFile, find_in_folder, nearest
from ai4land_luh2.variables import Kind

#: LUH2 scenarios of ScenarioMIP in CMIP6, as in the names of the files (534 without OS).
SCENARIOS = (
    "IMAGE-ssp119",
    "IMAGE-ssp126",
    "MESSAGE-ssp245",
    "AIM-ssp370",
    "GCAM-ssp434",
    "GCAM-ssp460",
    "MAGPIE-ssp534",
    "MAGPIE-ssp585",
)

#: Markers of LUH3 scenarios of ScenarioMIP in CMIP7.
MARKERS = ("vl", "ln", "l", "ml", "m", "hl", "h")

_LUH2 = re.compile(rf"_UofMD-({'|'.join(SCENARIOS)})-2-1-[ef]_gn_")
_LUH3 = re.compile(rf"_UofMD-landState-({'|'.join(MARKERS)})(?:-ext)?-3-\d")


def published_name(file: str) -> str | None:
    """The scenario in the name of a published file: ``IMAGE-ssp126``, or ``h`` for LUH3; else None."""
    match = _LUH2.search(file) or _LUH3.search(file)
    return None if match is None else match[1]


def short_names() -> dict[str, str]:
    """Names that a configuration may use for a scenario -> its published name."""
    names = {name.partition("-")[2]: name for name in SCENARIOS}
    return names | {name: name for name in (*SCENARIOS, *MARKERS)} | {"ssp534-over": "MAGPIE-ssp534"}


def _patterns(kind: Kind, name: str) -> Iterator[str]:
    """Patterns of the names of a scenario's file and of its extension, for any years."""
    for version in ("f", "e") if name in SCENARIOS else ("", "-ext"):
        middle = f"{name}-2-1-{version}" if name in SCENARIOS else f"landState-{name}{version}-3-[0-9]*"
        yield f"multiple-{kind}_input4MIPs_landState_*_UofMD-{middle}_gn_*.nc"


def published_files(folder: Path | str, scenario: str, kinds: tuple[Kind, ...]) -> dict[Kind, tuple[InputFile, ...]]:
    """Find the files of a scenario in a folder, by kind, with its extension if there is one.

    Parameters
    ----------
    scenario:
        A name of :func:`short_names`. Or a name such as ``h-ext``: a LUH3 scenario whose extension is required.

    Raises
    ------
    ConfigError
        No scenario has this name.
    DataError
        The folder does not have its states.
    """
    known = short_names()
    base = scenario.removesuffix("-ext")
    if base not in known:
        raise ConfigError("unknown scenario", found=scenario, remedy=nearest(scenario, known))
    files: dict[Kind, tuple[InputFile, ...]] = {}
    for kind in kinds:
        found = [find_in_folder(folder, pattern) for pattern in _patterns(kind, known[base])]
        if kind == "states" and not (found[0] and (found[1] or base == scenario)):
            raise DataError(
                f"a folder does not hold the states of scenario {scenario!r}",
                expected=" and ".join([*_patterns(kind, known[base])][: 1 if base == scenario else 2]),
                found=", ".join(sorted(s.stem for s in find_in_folder(folder, "multiple-states*.nc")))
                or "no such files",
                where=folder,
                remedy="download the file under its published name, or give its path as `states`",
            )
        if found[0]:
            files[kind] = (*found[0], *found[1])
    return files

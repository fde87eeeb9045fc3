"""The names of the published scenario files, and how the files of a scenario are found in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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

#: Markers of the scenarios of ScenarioMIP in CMIP7 (Van Vuuren et al., https://doi.org/10.5194/egusphere-2024-3765).
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


def newest(files: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The files of the newest version of LUH3 among files that differ in it: 3-1-2 rather than 3-1-1 or 3-1.

    The later versions have the same data and better attributes, and 3-0 was retracted.
    """
    versions = {file: _version(file.stem) for file in files}
    latest = max(versions.values(), default=())
    return tuple(file for file in files if versions[file] == latest)


def _version(name: str) -> tuple[int, ...]:
    match = re.search(r"_UofMD-landState-(?:\w+-)*?(3(?:-\d+)+)_gn", name)
    return () if match is None else tuple(int(part) for part in match[1].split("-"))


def history_files(folder: Path | str, kinds: tuple[Kind, ...]) -> dict[Kind, tuple[InputFile, ...]]:
    """Find the history in a folder, by kind: that of LUH3, else that of LUH2 v2h.

    Raises
    ------
    DataError
        The folder does not have its states.
    """
    files: dict[Kind, tuple[InputFile, ...]] = {}
    for kind in kinds:
        patterns = (f"multiple-{kind}_input4MIPs_landState_CMIP_UofMD-landState-3-[0-9]*_gn_*.nc", f"{kind}.nc")
        found = newest(find_in_folder(folder, patterns[0])) or find_in_folder(folder, patterns[1])
        if kind == "states" and not found:
            raise DataError(
                "a folder does not hold the states of the history",
                expected=" or ".join(patterns),
                found="no such files",
                where=folder,
                remedy="download the file under its published name, or give its path as `history`",
            )
        if found:
            files[kind] = found
    return files


def static_file(folder: Path | str) -> tuple[InputFile, ...]:
    """The static file of LUH3 in a folder, or () if there is none. The scenarios have no static file of their own."""
    return newest(find_in_folder(folder, "multiple-static_input4MIPs_landState_*_UofMD-landState-*_gn.nc"))


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
        found = [newest(find_in_folder(folder, pattern)) for pattern in _patterns(kind, known[base])]
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

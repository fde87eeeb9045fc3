"""Writes a twin's land use as CMIP7 publishes it: the history 3-1-2, and scenarios without data of plantations.

The history ends in 2024. The scenarios start in 2022 and repeat its last three years, so both hold 2022 to 2024. The
extensions start in 2100, the last year of the scenarios (https://github.com/PCMDI/input4MIPs_CVs, August 2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.twin.luh_land_use import LandUse, land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import Kind, write_published
from ai4land_coupler.experiments.twin.report import TwinReport

#: The scenarios of CMIP7's ScenarioMIP, from very low to high emissions (https://doi.org/10.5194/egusphere-2024-3765).
MARKERS = ("vl", "ln", "l", "ml", "m", "hl", "h")
HISTORY_FIRST, HISTORY_LAST, SCENARIO_FIRST, SCENARIO_LAST, EXTENSION_LAST = 850, 2024, 2022, 2100, 2500

#: The land use of a scenario is that of the twin so many years earlier, so that no two scenarios are equal.
_LAG = 4


def history_of(land_use: LandUse, first: int = HISTORY_FIRST) -> LandUse:
    """The history. Before the first year of the twin, nothing changes."""
    held = land_use.years[0]
    return land_use.retimed(first, [max(year, held) for year in range(first, HISTORY_LAST + 1)])


def scenario_of(land_use: LandUse, marker: str) -> LandUse:
    """The land use of a scenario (``h``) or an extension (``h-ext``).

    Land use rests after 2024: for ``vl`` not at all, for each next scenario four years longer. It also rests after the
    last year of the twin.
    """
    lag = _LAG * MARKERS.index(marker.removesuffix("-ext"))
    first, last = SCENARIO_FIRST, SCENARIO_LAST
    if marker.endswith("-ext"):
        first, last = SCENARIO_LAST, EXTENSION_LAST
    source = [year if year <= HISTORY_LAST else max(year - lag, HISTORY_LAST) for year in range(first, last + 1)]
    return land_use.retimed(first, [min(year, land_use.years[-1]) for year in source])


def write_cmip7(
    folder: Path, land_use: LandUse, scenarios: Iterable[str] = MARKERS, first: int = HISTORY_FIRST
) -> dict[str, dict[Kind, Path]]:
    """Write the history and the scenarios of a twin under their published names.

    Parameters
    ----------
    land_use:
        Land use of LUH3 without plantations, with the years 2022 to 2024. Kinds without variables are not written.
    scenarios:
        Scenarios (``h``) and extensions (``h-ext``).
    first:
        First year of the history.

    Returns
    -------
    Scenario, or ``history``, to its files by kind. The static file is one of the history.

    Raises
    ------
    ConfigError
        The twin does not have the years that history and scenarios share.
    """
    _check_years(land_use.years)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"history": write_published(folder, "luh3", history_of(land_use, first))}
    for name in scenarios:
        paths[name] = write_published(folder, "luh3-scenario", scenario_of(land_use, name), name)
    return paths


def _check_years(years: Sequence[int]) -> None:
    if years[0] > SCENARIO_FIRST or years[-1] < HISTORY_LAST:
        raise ConfigError(
            "the twin does not have the years that the history and the scenarios of CMIP7 share",
            expected=f"at least {SCENARIO_FIRST} to {HISTORY_LAST}",
            found=f"{years[0]} to {years[-1]}",
            where="years",
            remedy="make a twin with these years (`--years`)",
        )


def write_cmip7_of(report: TwinReport) -> dict[str, dict[Kind, Path]]:
    """Write the land use of a twin as CMIP7 publishes it to the folder ``cmip7`` of the twin, with all scenarios.

    Raises
    ------
    ConfigError
        See :func:`write_cmip7`.
    """
    _check_years(report.options.years)
    land_use = land_use_of(report, luh3=True, plantations=False)
    return write_cmip7(report.folder / "cmip7", land_use, (*MARKERS, "h-ext"))

"""Registers the adapter ``ssp``."""

from __future__ import annotations

import re

from ai4land_coupler.api import DataAdapter, DataError, Registry, hookimpl
from ai4land_luh2.states import StatesAdapter, StatesOptions

#: Scenarios of the published files, as their names spell them (534 without OS).
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

#: What a file is called whose name tells no scenario.
UNNAMED = "unnamed"

_PUBLISHED = re.compile(rf"_UofMD-({'|'.join(SCENARIOS)})-2-1-[ef]_gn_")


class SspOptions(StatesOptions):
    """Options of ``ssp``.

    Parameters
    ----------
    scenario:
        The scenario's name, where the name of the file does not tell; checked against it where it does
        (``ssp126`` fits ``IMAGE-ssp126``).
    """

    scenario: str | None = None


def scenario_name(options: SspOptions) -> str:
    """The scenario of a file.

    Raises
    ------
    DataError
        When the options and the file's name contradict each other.
    """
    match = _PUBLISHED.search(options.states.name)
    if match is None:
        return options.scenario or UNNAMED
    published = match[1]
    if options.scenario not in (None, published, published.partition("-")[2]):
        raise DataError(
            "a file holds another scenario than the configuration says",
            expected=options.scenario,
            found=published,
            where=options.states,
            remedy="choose the file of the scenario, or correct or drop `scenario`",
        )
    return published


def ssp(options: SspOptions) -> DataAdapter:
    """The states of a LUH2 future; the attribute ``scenario`` names it."""
    attrs = {"source": "LUH2 future", "scenario": scenario_name(options), "file": options.states.name}
    return StatesAdapter(options, attrs)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("ssp", ssp, SspOptions)

"""Registers the adapter ``ssp``."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from ai4land_coupler.api import DataAdapter, DataError, InputFile, Location, Registry, find_files, hookimpl
from ai4land_luh2.adapter import LandUseAdapter, LandUseOptions
from ai4land_luh2.variables import Kind
from ai4land_ssp.published import MARKERS, published_files, published_name, short_names

#: Name of the scenario if neither the file name nor the options have one.
UNNAMED = "unnamed"


class SspOptions(LandUseOptions):
    """Options of ``ssp``.

    Parameters
    ----------
    states:
        The netCDF file of the states.
    folder:
        Instead of ``states``: a folder with the published files of the scenario. The adapter finds states, transitions,
        management, and the extension beyond 2100 by their names.
    scenario:
        The scenario's name: ``ssp119, ssp126, ssp245, ssp370, ssp434, ssp460, ssp534`` (or ``ssp534-over``),
        ``ssp585``; of CMIP7 ``vl, m, h`` and others, ``h-ext``. With ``states`` it is needed only if the name of the
        file has no scenario; otherwise the two must agree.
    history:
        The states of the history, for the years before the first year of the scenario. If both have that year, they
        must agree (``joint_tolerance``).
    """

    states: Location | None = None
    folder: Location | None = None
    scenario: str | None = None
    history: Location | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.states is None) == (self.folder is None):
            raise ValueError("give either `states`, a file, or `folder`, with the `scenario` to look for in it")
        if self.folder is not None and self.scenario is None:
            raise ValueError("`folder` needs the `scenario` to look for in it")
        return self


def scenario_name(options: SspOptions, file: str) -> str:
    """The scenario of a file, from its name and the options.

    Raises
    ------
    DataError
        They contradict each other.
    """
    published = published_name(file)
    if published is None:
        return options.scenario or UNNAMED
    if options.scenario is not None and short_names().get(options.scenario.removesuffix("-ext")) != published:
        raise DataError(
            "a file holds another scenario than the configuration says",
            expected=options.scenario,
            found=published,
            where=file,
            remedy="choose the file of the scenario, or correct or drop `scenario`",
        )
    return published


def ssp(options: SspOptions) -> DataAdapter:
    """A scenario of LUH2 or LUH3, joined to its history if one is given. The attribute ``scenario`` has its name."""
    files: dict[Kind, tuple[InputFile, ...]] = {}
    if options.folder is not None and options.scenario is not None:
        files = published_files(options.folder, options.scenario, ("states", "transitions", "management"))
    elif options.states is not None:
        files["states"] = find_files(options.states)
    for kind in ("transitions", "management", "static"):
        location: Location | None = getattr(options, kind)
        if location is not None:
            files[kind] = find_files(location)
    own = files["states"][0].stem
    name = scenario_name(options, own)
    history = () if options.history is None else find_files(options.history)
    source = "LUH3 future" if name in MARKERS else "LUH2 future"
    return LandUseAdapter(options, files, {"source": source, "scenario": name, "file": own}, history)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("ssp", ssp, SspOptions)

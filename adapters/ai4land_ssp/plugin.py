"""Registers the adapter ``ssp``."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from ai4land_coupler.api import DataAdapter, DataError, InputFile, Location, Registry, find_files, hookimpl
from ai4land_luh2.adapter import LandUseAdapter
from ai4land_luh2.layout import source_id
from ai4land_luh2.options import LandUseOptions
from ai4land_luh2.variables import Kind
from ai4land_ssp.published import (
    MARKERS,
    history_files,
    published_files,
    published_name,
    short_names,
    static_file,
)

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
        must agree (``joint_tolerance``). Or a folder with the published files of the history: its states, transitions
        and management are joined to those of the scenario.
    joint_year:
        The first year that is read from the scenario, if the two overlap. Default: the first year of the scenario (2022
        in CMIP7, as its protocol says).
    """

    states: Location | None = None
    folder: Location | None = None
    scenario: str | None = None
    history: Location | None = None
    joint_year: int | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.states is None) == (self.folder is None):
            raise ValueError("give either `states`, a file, or `folder`, with the `scenario` to look for in it")
        if self.folder is not None and self.scenario is None:
            raise ValueError("`folder` needs the `scenario` to look for in it")
        if self.joint_year is not None and self.history is None:
            raise ValueError("`joint_year` needs a `history`, from which the years before it are read")
        return self


def scenario_name(options: SspOptions, file: InputFile) -> str:
    """The scenario of a file, from its published name, else its attribute ``source_id``, and the options.

    A name of the user's own is kept if the file has another name than the published one.

    Raises
    ------
    DataError
        They contradict each other.
    """
    published, given = published_name(file.stem), options.scenario
    known = None if given is None else short_names().get(given.removesuffix("-ext"))
    if published is None:
        published = published_name(f"_{source_id(file)}_gn_")
        if published is None or (given is not None and known is None):
            return given or UNNAMED
    if given is not None and known != published:
        raise DataError(
            "a file holds another scenario than the configuration says",
            expected=given,
            found=published,
            where=file.name,
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
    first = files["states"][0]
    name = scenario_name(options, first)
    history = {} if options.history is None else _history(options.history)
    if name in MARKERS and "static" not in files:
        folders = [place for place in (options.folder, options.history) if place is not None and _is_folder(place)]
        static = next((found for place in folders if (found := static_file(place))), ())
        files |= {"static": static} if static else {}
    source = "LUH3 future" if name in MARKERS else "LUH2 future"
    attrs = {"source": source, "scenario": name, "file": first.stem}
    return LandUseAdapter(options, files, attrs, history, options.joint_year)


def _history(location: Location) -> dict[Kind, tuple[InputFile, ...]]:
    if _is_folder(location):
        return history_files(location, ("states", "transitions", "management"))
    return {"states": find_files(location)}


def _is_folder(location: Location) -> bool:
    return location.is_dir() if isinstance(location, Path) else location.endswith("/")


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("ssp", ssp, SspOptions)

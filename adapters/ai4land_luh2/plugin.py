"""Registers the adapter ``luh2``."""

from __future__ import annotations

from ai4land_coupler.api import DataAdapter, InputFile, Location, Registry, find_files, hookimpl
from ai4land_luh2.adapter import LandUseAdapter
from ai4land_luh2.options import LandUseOptions
from ai4land_luh2.variables import Kind


class Luh2Options(LandUseOptions):
    """Options of ``luh2``.

    Parameters
    ----------
    states:
        The netCDF file of the states: LUH2 v2h, LUH3, or a file with their layout.
    """

    states: Location


def luh2(options: Luh2Options) -> DataAdapter:
    """The history of land use: LUH2 v2h, LUH3, or files with their layout."""
    files: dict[Kind, tuple[InputFile, ...]] = {"states": find_files(options.states)}
    for kind in ("transitions", "management", "static"):
        location: Location | None = getattr(options, kind)
        if location is not None:
            files[kind] = find_files(location)
    name = "LUH3" if "UofMD-landState-3" in files["states"][0].stem else "LUH2"
    return LandUseAdapter(options, files, {"source": name, "file": files["states"][0].stem})


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("luh2", luh2, Luh2Options)

"""The options of all adapters of land use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ai4land_coupler.api import Location, Options


class LandUseOptions(Options):
    """Options of all adapters of land use.

    Each file is a path, a glob or a URL of fsspec. The files of a glob are joined along time.

    Parameters
    ----------
    transitions:
        The netCDF file of the transitions, ``<a>_to_<b>``, and of wood harvest, ``*_harv`` and ``*_bioh``. A transition
        belongs to the year in which it starts: those of 2014 are from 1 January 2014 to 1 January 2015.
    management:
        The netCDF file of the management: fertilizer, irrigation, biofuels, uses of wood.
    static:
        The static file (``staticData_quarterdeg.nc``) with ``icwtr, fstnf, carea, ptbio, ccode``.
    tolerance:
        The states of a cell may sum to 1 plus this. Such sums are scaled to 1 and counted.
    joint_tolerance:
        Largest mean absolute difference of a state (fraction of the cell) between two files in the first year of the
        later one. The futures of LUH2 are harmonized: they repeat 2015 of the history. In the British Isles a scenario
        changes a state by up to 0.008 a year in the mean. If it is not given, it is 0.02, and the area of a group of
        states (forest, other natural land, cropland, pasture, urban) must not differ by more than it usually changes
        in a year either.
    balance_tolerance:
        Largest difference of a state (fraction of the cell) from the one that the states and transitions of the year
        before give. Checked whenever a transition is read, if states and transitions are configured; this reads all
        transitions and two years of states. Default: not checked.
    policy:
        ``stop``: impossible values, larger sums and jumps end the run. ``mend``: impossible values become missing,
        larger sums are scaled to 1, and all are counted; cells out of balance are counted as ``unbalanced``. ``stop``
        also refuses LUH3 3-0, which was retracted.
    """

    transitions: Location | None = None
    management: Location | None = None
    static: Location | None = None
    tolerance: float = Field(default=0.01, ge=0.0, lt=1.0)
    joint_tolerance: float | None = Field(default=None, ge=0.0)
    balance_tolerance: float | None = Field(default=None, gt=0.0, lt=1.0)
    policy: Literal["stop", "mend"] = "stop"


#: The default of ``joint_tolerance``.
JOINT_TOLERANCE = 0.02

"""The report on the inputs of a run, which :func:`.inputs.check_inputs` fills."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.gaps import LandGaps


@dataclass
class VariableReport:
    """Values of one variable, as the run reads it.

    Parameters
    ----------
    sources:
        The adapters that have the variable, with their files.
    available, read:
        Years that each adapter has, as text, and years that were read here. Empty for static fields.
    low, high:
        Range of the values, in ``units``. NaN if nothing could be read.
    missing:
        Share of the land without data; the largest over the years.
    """

    kind: str
    name: str
    sources: list[str]
    units: str
    available: list[str] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    low: float = math.nan
    high: float = math.nan
    missing: float = math.nan

    def add(self, values: NDArray[np.float32], gaps: LandGaps) -> None:
        """Extend the range by new values, and the share of land without data by their gaps."""
        if np.isfinite(values).any():
            self.low = float(np.fmin(self.low, np.nanmin(values)))
            self.high = float(np.fmax(self.high, np.nanmax(values)))
        if gaps.land:
            self.missing = float(np.fmax(self.missing, gaps.missing / gaps.land))


@dataclass
class InputReport:
    """The report of all inputs of a run.

    Parameters
    ----------
    adapters:
        One line for each adapter, with its files and grid.
    descriptions:
        Maps such a line to the adapter's description of its data (``describe()``), if it has one.
    closure:
        Maps the name of a sum (``land use``) to its smallest and largest value over the cells with data.
    mended:
        Number of values that were mended or counted while reading, by adapter and fault. If there are faults, also
        the values that the policy ``mend`` would mend.
    warnings:
        What a run accepts, though it may be other than meant.
    faults:
        Messages of all faults that would stop the run. A fault that several years have is listed once.
    """

    policy: str
    land: str = ""
    forcing: str = ""
    adapters: list[str] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)
    variables: list[VariableReport] = field(default_factory=list)
    closure: dict[str, tuple[float, float]] = field(default_factory=dict)
    mended: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON; NaN becomes null."""
        content = asdict(self)
        for variable in content["variables"]:
            for key in ("low", "high", "missing"):
                variable[key] = None if math.isnan(variable[key]) else variable[key]
        return content

    def add_adapter(self, kind: str, entry: NamedAdapter) -> None:
        """Add an adapter and its description."""
        line = f"{kind} {entry}: {entry.adapter.grid() or 'interpolates to the land'}"
        self.adapters.append(line)
        try:
            description = entry.adapter.describe()
        except Ai4LandError as error:
            self.add_fault(error)
        else:
            if description:
                self.descriptions[line] = description

    def add_fault(self, error: Ai4LandError) -> None:
        """Add a fault, unless another year already has the same one."""
        if not any(fault.splitlines()[0] == str(error).splitlines()[0] for fault in self.faults):
            self.faults.append(str(error))

"""The performance sheet of a run: its speed, its cost, and where its time went.

Measures and names follow CPMIP (Balaji et al. 2017, https://doi.org/10.5194/gmd-10-19-2017, section 3):

* SYPD, simulated years per day: simulated years by the days of wall time that they took;
* CHSY, core hours per simulated year: wall hours times allocated cores (ranks times threads) by simulated years;
* JPSY, joules per simulated year.

The sheets are in ``year/performance.json`` of the store: one for each part of a run that was restarted.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai4land_coupler.component.energy import EnergyCounters
from ai4land_coupler.config.sections import Config
from ai4land_coupler.errors import DataError
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.store.layout import YEAR

#: In the folder of the commit marker: zarr warns about unknown files in its groups.
NAME = f"{YEAR}/performance.json"
#: Use of each phase of the timers; phases ``predict ...`` belong to ``network``.
USES = {
    "wait for allocation": "allocation",
    "read forcing": "reading",
    "wait for inputs": "reading",
    "exchange": "coupling",
    "regrid": "coupling",
    "regrid weights": "coupling",
    "write output": "output",
    "write restart": "output",
}
ORDER = ("network", "allocation", "reading", "coupling", "output", "other")
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class RankCost:
    """What one rank used: wall seconds, seconds by phase, peak memory (bytes), energy of its node (J), its node."""

    wall: float
    phases: Mapping[str, float]
    memory: int
    joules: float | None
    node: str


class Meter:
    """Measures one part of a run on one rank, from its creation on."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._energy = EnergyCounters()

    def sample(self) -> None:
        """Read the energy counters. To be called in each step, because they start again from 0 after some minutes."""
        self._energy.sample()

    def cost(self, phases: Mapping[str, float]) -> RankCost:
        """What this rank has used so far."""
        self.sample()
        wall = time.perf_counter() - self._begin
        return RankCost(wall, dict(phases), peak_memory(), self._energy.joules, platform.node())

    def sheet(self, config: Config, comm: Communicator, phases: Mapping[str, float], years: tuple[int, int]) -> Any:
        """The sheet of this part of the run. Collective; see :func:`make_sheet`."""
        return make_sheet(comm.allgather(self.cost(phases)), config, years)


def make_sheet(costs: list[RankCost], config: Config, years: tuple[int, int]) -> dict[str, Any]:
    """The sheet from the costs of all ranks, plain JSON.

    Parameters
    ----------
    years:
        Year of the state before the first measured step, and after the last one.

    Returns
    -------
    ``seconds`` is the wall time of the slowest rank, with the start of the run. ``shares`` are means over ranks; their
    sum exceeds 1 where phases run at the same time. ``memory`` is the sum of the peaks of all ranks (bytes). ``joules``
    and ``grams_co2e`` are ``None`` where nothing is known; ``energy_from`` says where the energy comes from.
    """
    cores = len(costs) * config.parallel.threads
    wall = max(cost.wall for cost in costs)
    simulated = abs(years[1] - years[0])
    joules, source = _energy(costs, config.performance.watts_per_core, cores, wall)
    grams = config.performance.grams_co2e_per_kwh
    return {
        "years": list(years),
        "ranks": len(costs),
        "threads": config.parallel.threads,
        "seconds": wall,
        "SYPD": simulated / (wall / 86400),
        "CHSY": cores * wall / 3600 / simulated,
        "JPSY": None if joules is None else joules / simulated,
        "shares": _shares(costs),
        "memory": sum(cost.memory for cost in costs),
        "joules": joules,
        "energy_from": source,
        "grams_co2e": None if joules is None or grams is None else joules / 3.6e6 * grams,
    }


def _energy(costs: list[RankCost], watts: float | None, cores: int, wall: float) -> tuple[float | None, str]:
    """Joules of the run, and where they come from. The counters of a node are the same on all of its ranks."""
    nodes = {cost.node: cost.joules for cost in costs}
    measured = [joules for joules in nodes.values() if joules is not None]
    if len(measured) == len(nodes):
        return sum(measured), "counters of whole processors (RAPL), with all that ran on them"
    if watts is not None:
        return watts * cores * wall, f"{watts:g} W for each core (performance.watts_per_core)"
    return None, "no readable counters, and no performance.watts_per_core"


def _shares(costs: list[RankCost]) -> dict[str, float]:
    whole = sum(cost.wall for cost in costs)
    seconds = dict.fromkeys(ORDER, 0.0)
    for cost in costs:
        for phase, spent in cost.phases.items():
            use = "network" if phase.startswith("predict ") else USES.get(phase, "other")
            seconds[use] += spent
        seconds["other"] += max(0.0, cost.wall - sum(cost.phases.values()))
    return {use: spent / whole for use, spent in seconds.items()}


def peak_memory() -> int:
    """Peak resident memory of this process (bytes)."""
    try:
        # Unlike ru_maxrss, VmHWM does not count the program that started this one.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def sheet_lines(sheet: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A sheet for people: pairs of name and value."""
    first, last = sheet["years"]
    ranks, threads = sheet["ranks"], sheet["threads"]
    cores = f"{ranks} {'rank' if ranks == 1 else 'ranks'} of {threads} {'thread' if threads == 1 else 'threads'}"
    joules, grams = sheet["joules"], sheet["grams_co2e"]
    energy = f"{NOT_MEASURED}: {sheet['energy_from']}"
    if joules is not None:
        energy = f"{joules / 3.6e6:.3g} kWh, {sheet['JPSY']:.3g} J a simulated year (JPSY): {sheet['energy_from']}"
    co2e = f"{NOT_MEASURED}: needs the energy, and performance.grams_co2e_per_kwh"
    return [
        ("measured", f"from {first} to {last}, {cores}, {sheet['seconds']:.1f} s with the start"),
        ("simulated years a day (SYPD)", f"{sheet['SYPD']:.4g}"),
        ("core hours a simulated year (CHSY)", f"{sheet['CHSY']:.3g}"),
        ("share of the time", ", ".join(f"{use} {100 * share:.0f} %" for use, share in sheet["shares"].items())),
        ("peak memory of all ranks", f"{sheet['memory'] / 2**20:.0f} MiB"),
        ("energy", energy),
        ("CO2e", co2e if grams is None else f"{grams:.3g} g"),
    ]


def write_sheet(store: Path, sheet: Mapping[str, Any]) -> None:
    """Add the sheet of a part of the run to those of the parts before it."""
    write_durably(store / NAME, _content([*read_sheets(store), sheet]))


def joined_sheets(stores: Iterable[Path]) -> bytes:
    """The file of a store that is joined from others, with the sheets of all."""
    return _content([sheet for store in stores for sheet in read_sheets(store)])


def _content(sheets: Sequence[Mapping[str, Any]]) -> bytes:
    return (json.dumps({"parts": sheets}, indent=1) + "\n").encode()


def read_sheets(store: Path) -> list[dict[str, Any]]:
    """The sheets of a store, the oldest first. Empty if it has none.

    Raises
    ------
    DataError
        The file is damaged.
    """
    path = store / NAME
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text())["parts"]
        return found
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "the performance sheet of a store cannot be read",
            expected="JSON with the key parts",
            found=error,
            where=path,
            remedy="delete the file; the results do not depend on it",
        ) from error

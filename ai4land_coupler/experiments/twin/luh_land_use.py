"""A twin's land use like LUH2: states, transitions between them, and management.

Fractions are multiples of 2**-20 of a cell (740 m2 at the equator), so that they and all their sums and differences are
exact in float32: the next state is exactly the state plus the transitions to it minus the transitions from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.twin.report import TwinReport
from ai4land_coupler.experiments.twin.states import FRACTIONS

Array = NDArray[np.float32]
Whole = NDArray[np.int64]

#: Number of quanta in a cell.
QUANTA = 2**20
CROPS = ("c3ann", "c4ann", "c3per", "c4per", "c3nfx")
#: Transitions that are only wood harvest in the published files.
_HARVESTED = {("primf", "secdf"): "primf_harv", ("primn", "secdn"): "primn_harv"}
#: Harvest that does not change the state: name, state, and divisor of the harvested part.
_THINNED = (("secmf", "secdf", 64), ("secyf", "secdf", 128), ("secnf", "secdn", 128))
#: Shifting cultivation: each year, the smaller of the two states divided by this number changes place.
_SHIFTING = 32


class _Fields(Mapping[str, Array]):
    """Fields at other years. They are made when they are asked for: a thousand years of all transitions are large."""

    def __init__(self, fields: Mapping[str, Array], index: Whole, factors: Whole | None = None) -> None:
        self._fields, self._index, self._factors = fields, index, factors

    def __getitem__(self, name: str) -> Array:
        values = self._fields[name][self._index]
        return values if self._factors is None else values * self._factors[:, None, None].astype(np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True)
class LandUse:
    """Land use by kind and name: (year, lat, lon); static fields (lat, lon); float32, NaN where missing.

    Parameters
    ----------
    years:
        Years of the states and the management. Transitions have all of them except the last.
    """

    grid: LatLonGrid
    years: tuple[int, ...]
    states: Mapping[str, Array]
    transitions: Mapping[str, Array]
    management: Mapping[str, Array]
    static: Mapping[str, Array]

    def part(self, first: int, last: int) -> LandUse:
        """The years from ``first`` to ``last``."""
        start, stop = self.years.index(first), self.years.index(last) + 1
        return replace(
            self,
            years=self.years[start:stop],
            states={n: v[start:stop] for n, v in self.states.items()},
            transitions={n: v[start : stop - 1] for n, v in self.transitions.items()},
            management={n: v[start:stop] for n, v in self.management.items()},
        )

    def moved(self, first: int) -> LandUse:
        """The same land use with another first year."""
        return replace(self, years=tuple(range(first, first + len(self.years))))

    def retimed(self, first: int, source: Sequence[int]) -> LandUse:
        """Land use whose years from ``first`` on are the years ``source`` of this one.

        Parameters
        ----------
        source:
            Each year is that of the entry before or the one after it. In a year that is repeated, no land changes.
        """
        index = np.array([self.years.index(year) for year in source])
        moves = np.diff(index)
        if not np.isin(moves, (0, 1)).all():
            raise ValueError(f"the years must not go back, and not skip a year: {source}")
        # The last year has no transitions; they are not used, because a step that starts there only repeats it.
        start = np.minimum(index[:-1], len(self.years) - 2)
        return replace(
            self,
            years=tuple(range(first, first + index.size)),
            states=_Fields(self.states, index),
            transitions=_Fields(self.transitions, start, moves),
            management=_Fields(self.management, index),
        )


def land_use_of(report: TwinReport, luh3: bool = False, plantations: bool = True) -> LandUse:
    """The land use of a twin, with all years.

    Parameters
    ----------
    luh3:
        Use the plantations and management variables of LUH3 instead of LUH2.
    plantations:
        A quarter of the secondary forest is plantations. If false, there are none, as in the published history.
    """
    grid, years, raw = _states(report)
    missing = np.isnan(raw["primf"])
    whole = _quantised({n: np.nan_to_num(raw[n]) for n in FRACTIONS})
    if luh3:
        whole["pltns"] = whole["secdf"] // 4 if plantations else np.zeros_like(whole["secdf"])
        whole["secdf"] = whole["secdf"] - whole["pltns"]
    static = _static(report)
    states = {n: _fraction(v, missing) for n, v in whole.items()}
    transitions = _transitions(whole)
    flows = {n: _fraction(v, missing[:-1]) for n, v in transitions.items()}
    biomass = raw["secmb"][:-1].astype(np.float64) * static["carea"] * 1e6
    flows |= {
        n.replace("_harv", "_bioh"): (flows[n].astype(np.float64) * biomass).astype(np.float32)
        for n in transitions
        if n.endswith("_harv")
    }
    states |= {n: raw[n] for n in ("secma", "secmb")}
    return LandUse(grid, years, states, flows, _management(states, luh3), static)


def _states(report: TwinReport) -> tuple[LatLonGrid, tuple[int, ...], dict[str, Array]]:
    """Read the historical states, then the scenario."""
    import netCDF4

    parts: dict[str, list[Array]] = {}
    years: list[int] = []
    for key, base in (("states", 850), ("scenario", report.options.scenario_start)):
        if key not in report.paths:  # the twin ends where its scenario would start
            continue
        with netCDF4.Dataset(report.paths[key]) as dataset:
            held = [int(base + t) for t in dataset["time"][:]]
            new = [year not in years for year in held]
            years += [year for year in held if year not in years]
            for name in (*FRACTIONS, "secma", "secmb"):
                values = np.ma.getdata(dataset[name][:])[new]
                parts.setdefault(name, []).append(np.where(values > 1e19, np.float32(np.nan), values))
            grid = LatLonGrid.from_centres(np.asarray(dataset["lon"][:]), np.asarray(dataset["lat"][:]))
    return grid, tuple(years), {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _static(report: TwinReport) -> dict[str, Array]:
    import netCDF4

    with netCDF4.Dataset(report.paths["static_luh2"]) as dataset:
        return {n: np.ma.getdata(dataset[n][:]) for n in ("ptbio", "fstnf", "carea", "icwtr", "ccode")}


def _quantised(states: dict[str, Array]) -> dict[str, Whole]:
    """Round the states down to whole quanta. The rest goes to ``secdn``, so that the sum of a cell is constant in time.

    Rounding down ensures that primary land never grows.
    """
    whole = {n: np.floor(v.astype(np.float64) * QUANTA).astype(np.int64) for n, v in states.items()}
    total = np.floor(np.sum([v[0].astype(np.float64) for v in states.values()], axis=0) * QUANTA).astype(np.int64)
    whole["secdn"] = total - np.sum([v for n, v in whole.items() if n != "secdn"], axis=0)
    return whole


def _fraction(whole: Whole, missing: NDArray[np.bool_]) -> Array:
    return np.where(missing, np.float32(np.nan), (whole / QUANTA).astype(np.float32))


def _transitions(whole: dict[str, Whole]) -> dict[str, Whole]:
    """Transitions between all pairs of states: losses are assigned to gains in the order of the states."""
    steps: list[dict[str, Whole]] = []
    for year, _ in enumerate(pairwise(next(iter(whole.values())))):
        change = {n: v[year + 1] - v[year] for n, v in whole.items()}
        loss, gain = ({n: np.maximum(sign * v, 0) for n, v in change.items()} for sign in (-1, 1))
        flows: dict[str, Whole] = {}
        for a in whole:
            for b in whole:
                if a == b or b.startswith("prim"):
                    continue
                flow = np.minimum(loss[a], gain[b])
                loss[a], gain[b] = loss[a] - flow, gain[b] - flow
                flows[_HARVESTED.get((a, b), f"{a}_to_{b}")] = flow
        shifting = np.minimum(whole["secdf"][year], whole["c3ann"][year]) // _SHIFTING
        flows["secdf_to_c3ann"] = flows["secdf_to_c3ann"] + shifting
        flows["c3ann_to_secdf"] = flows["c3ann_to_secdf"] + shifting
        for name, state, part in _THINNED:
            flows[f"{name}_harv"] = whole[state][year] // part
        if "pltns" in whole:
            flows["pltns_harv"] = whole["pltns"][year] // 16
        steps.append(flows)
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


def _management(states: dict[str, Array], luh3: bool) -> dict[str, Array]:
    """Rates and fractions that differ between cells, years and variables. The values have no meaning."""
    found: dict[str, NDArray[Any]] = {}
    for number, crop in enumerate(CROPS):
        found[f"fertl_{crop}"] = 40 + 120 * states[crop] + 5 * number
        found[f"irrig_{crop}"] = states[crop] / 2
        for name in ("cpbf1", "cpbf2") if luh3 else ("crpbf",):
            found[f"{name}_{crop}"] = states[crop] / (4 + number + 2 * (name == "cpbf2"))
    for crop in ("c3per", "c4per"):
        found[f"fharv_{crop}"] = 1 - states[crop] / 3
    found["flood"] = states["c3ann"] / 16
    found["rndwd"] = 0.25 + states["urban"] / 2
    found["combf"] = states["urban"] / 8
    found["fulwd"] = 1 - found["rndwd"] - found["combf"]
    if luh3:
        found["addtc"] = states["secdf"] / 256
        found["pltns_bfuel"] = states["pltns"] / 2
        found |= {f"prtct_{n}": states[n] / 2 for n in ("primf", "primn", "secdf", "secdn", "pltns")}
    else:
        found["crpbf_total"] = states["c4per"] / 2
    return {name: values.astype(np.float32) for name, values in found.items()}

"""The variables of LUH2 and LUH3: names, units, meaning, and the largest possible value of each.

Names and units are those of the published files: LUH2 v2h and its futures (Hurtt et al. 2020,
https://doi.org/10.5194/gmd-13-5425-2020; headers at https://www.wdc-climate.de, entries I4M_5359597 and
I4M_5359830), LUH3 (https://pcmdi.github.io/input4MIPs_CVs/docs/dataset-overviews/land-use.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ai4land_coupler.api import factor

Kind = Literal["states", "transitions", "management", "static"]

CROPS = ("c3ann", "c4ann", "c3per", "c4per", "c3nfx")

#: The states, fractions of the cell; with `pltns` of LUH3. Their sum is 1 - icwtr.
FRACTIONS = ("primf", "primn", "secdf", "secdn", "urban", *CROPS, "pastr", "range", "pltns")

#: Spellings in published files -> ours. LUH2 gives a year's transitions as a plain fraction, LUH3 per year.
_SPELLINGS = {
    "kg ha-1 yr-1 (crop season)": "kg ha-1 yr-1",
    "1 yr-1": "1",
    "kg C yr-1": "kg yr-1",
    "kgC yr-1": "kg yr-1",
    "kgC/yr": "kg yr-1",
}

#: No published value in these units is larger. Averages of fill values and other values are.
_LARGEST = {"1": 1.0, "kg m-2": 1e4, "year": 1e5, "m2": 1e10, "kg ha-1 yr-1": 1e4, "kg yr-1": 1e11}


@dataclass(frozen=True)
class LuhVariable:
    """A variable in the units that the adapter delivers.

    Parameters
    ----------
    largest:
        The largest possible value, in ``units``.
    """

    units: str
    long_name: str
    largest: float

    def scale(self, found: str, where: object) -> float:
        """The factor from the units of a file to ``units``. Raises ``FieldError`` if they cannot be converted."""
        return factor(_SPELLINGS.get(found.strip(), found), self.units, where=where)


def _variables(entries: Mapping[str, tuple[str, str]]) -> dict[str, LuhVariable]:
    return {name: LuhVariable(units, text, _LARGEST[units]) for name, (units, text) in entries.items()}


_NAMES = {
    "primf": "forested primary land",
    "primn": "non-forested primary land",
    "secdf": "potentially forested secondary land",
    "secdn": "potentially non-forested secondary land",
    "urban": "urban land",
    "c3ann": "C3 annual crops",
    "c4ann": "C4 annual crops",
    "c3per": "C3 perennial crops",
    "c4per": "C4 perennial crops",
    "c3nfx": "C3 nitrogen-fixing crops",
    "pastr": "managed pasture",
    "range": "rangeland",
    "pltns": "forest plantations",
}

#: `crop` is the sum of the five crop states, as in derived data sets. secmb and secma are not fractions.
STATES = _variables(
    {name: ("1", text) for name, text in _NAMES.items()}
    | {
        "crop": ("1", "cropland, all crop states together"),
        "secmb": ("kg m-2", "secondary mean biomass carbon density"),
        "secma": ("year", "secondary mean age"),
    }
)

_HARVESTED = {
    "primf": "primary forest",
    "primn": "primary non-forest",
    "secmf": "mature secondary forest",
    "secyf": "young secondary forest",
    "secnf": "secondary non-forest",
    "pltns": "forest plantations",
}

#: No land becomes primary land. Primary land becomes secondary land by harvest only: ``primf_harv`` for forest,
#: ``primn_harv`` for other land.
TRANSITIONS = _variables(
    {
        f"{a}_to_{b}": ("1", f"transition from {_NAMES[a]} to {_NAMES[b]}")
        for a in FRACTIONS
        for b in FRACTIONS
        if a != b and b not in ("primf", "primn")
    }
    | {f"{name}_harv": ("1", f"wood harvest area from {text}") for name, text in _HARVESTED.items()}
    | {f"{name}_bioh": ("kg yr-1", f"wood harvest biomass carbon from {text}") for name, text in _HARVESTED.items()}
)

MANAGEMENT = _variables(
    {f"fertl_{c}": ("kg ha-1 yr-1", f"nitrogen fertilization rate for {_NAMES[c]}") for c in CROPS}
    | {f"irrig_{c}": ("1", f"irrigated fraction of {_NAMES[c]}") for c in CROPS}
    | {f"crpbf_{c}": ("1", f"{_NAMES[c]}, fraction of their area grown as biofuels") for c in CROPS}
    | {f"cpbf1_{c}": ("1", f"{_NAMES[c]}, fraction for first-generation biofuels") for c in CROPS}
    | {f"cpbf2_{c}": ("1", f"{_NAMES[c]}, fraction for second-generation biofuels") for c in CROPS}
    | {f"fharv_{c}": ("1", f"{_NAMES[c]}, fraction of their area harvested each year") for c in ("c3per", "c4per")}
    | {f"prtct_{s}": ("1", f"protected fraction of {_NAMES[s]}") for s in ("primf", "primn", "secdf", "secdn", "pltns")}
    | {
        "crpbf_total": ("1", "fraction of cropland grown as second-generation biofuels"),
        "flood": ("1", "flooded fraction of C3 annual crops"),
        "rndwd": ("1", "industrial roundwood fraction of wood harvest"),
        "fulwd": ("1", "fuelwood fraction of wood harvest"),
        "combf": ("1", "commercial biofuels fraction of wood harvest"),
        "pltns_wdprd": ("1", "fraction of forest plantations for wood products"),
        "pltns_bfuel": ("1", "fraction of forest plantations for biofuels"),
        "addtc": ("1", "added tree cover"),
    }
)

STATIC = _variables(
    {
        "icwtr": ("1", "ice and water fraction"),
        "fstnf": ("1", "potentially forested (1) or not (0)"),
        "carea": ("m2", "area of the grid cell"),
        "ptbio": ("kg m-2", "potential biomass carbon density"),
    }
) | {"ccode": LuhVariable("1", "country code (ISO 3166-1 numeric)", 1000.0)}

#: Variables of each kind of file.
KINDS: Mapping[Kind, Mapping[str, LuhVariable]] = {
    "states": STATES,
    "transitions": TRANSITIONS,
    "management": MANAGEMENT,
    "static": STATIC,
}

ALL: Mapping[str, LuhVariable] = {name: variable for known in KINDS.values() for name, variable in known.items()}

#: The scenarios of LUH3 hold these variables without any value: "the harmonized LUH3 data does not provide any
#: information on these variables at this stage" (attribute ``comment`` of the published files).
PLANTATIONS = frozenset(name for name in ALL if "pltns" in name)

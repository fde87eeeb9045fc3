"""Host profiles: the surface types and variables of a host model, as data in ``schemas/hosts/``.

A profile lists the host's surface types, a crosswalk from the classes of a legend to these types, and the host's
variables. The crosswalk can depend on the bioclimate, for classes such as grass that are other types in the tropics.
Fractions are made first and dominant types last. If the host gives its own surface, the first year equals it and later
change is added (:mod:`ai4land_coupler.host.delta`).

A user can write a profile as a YAML file, and give its path in place of a name.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ai4land_coupler.config.faults import config_error
from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.host.field_info import ExportInfo
from ai4land_coupler.inputs.climate_zones import bioclimates

#: Name of the export with the share of each surface type, and of the host's own surface types.
TYPES = "surface_type_fraction"
#: Smaller shares are rounding errors.
LEAST_SHARE = 1e-12


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SurfaceType(_Part):
    """A surface type of the host.

    Parameters
    ----------
    id:
        The host's number of the type; ``dominant`` variables contain it.
    group:
        Types of a group change together if the host gives its own surface: the change of the group is divided in the
        proportions of the host.
    keep:
        The type never changes and is never made from a map: the host's own share stays (glaciers).
    """

    id: int
    group: str
    keep: bool = False
    long_name: str = ""


class Rule(_Part):
    """The types of a class. The first rule that fits counts; rules for native classes come first."""

    class_: str = Field(alias="class")
    bioclimates: tuple[str, ...] = ()
    to: dict[str, Annotated[float, Field(gt=0, le=1)]]


class Variable(_Part):
    """A variable of the host.

    Parameters
    ----------
    kind:
        ``shares``: one value for each of its types. ``cover``: the sum of its types. ``dominant``: the ``id`` of its
        largest type, or ``none`` in cells without these types.
    types:
        A set of the profile, or a list of types; ``all`` for every type.
    of:
        What shares refer to: the ``cell``, the ``land`` (all types, unless the profile has a set with this name), or a
        set of types.
    empty:
        In cells without any cover of ``of``, this type gets the share 1.
    units:
        ``1`` or ``%``.
    """

    kind: Literal["shares", "cover", "dominant"]
    types: str | tuple[str, ...]
    of: str = "cell"
    empty: str | None = None
    none: int = 0
    units: Literal["1", "%"] = "1"
    long_name: str


class HostProfile(_Part):
    """The surface types of a host model, and the rules that make them; see the module."""

    name: str
    title: str
    sources: tuple[str, ...] = Field(min_length=1)
    bioclimates: bool = False
    types: dict[str, SurfaceType] = Field(min_length=1)
    crosswalk: tuple[Rule, ...] = Field(min_length=1)
    sets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    variables: dict[str, Variable] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        def known(names: Any, where: str) -> None:
            for name in names:
                if name not in self.types:
                    raise ValueError(f"{where} names the unknown type {name!r}; {nearest(name, self.types)}")

        for name, members in self.sets.items():
            known(members, f"set {name!r}")
        for rule in self.crosswalk:
            known(rule.to, f"the crosswalk of {rule.class_!r}")
            if any(self.types[name].keep for name in rule.to):
                raise ValueError(f"the crosswalk of {rule.class_!r} makes a type that is kept as the host has it")
            if abs(sum(rule.to.values()) - 1) > LEAST_SHARE:
                raise ValueError(f"the shares of {rule.class_!r} sum to {sum(rule.to.values())}, not 1")
            for name in rule.bioclimates:
                if not self.bioclimates or name not in bioclimates():
                    raise ValueError(f"unknown bioclimate {name!r}; {nearest(name, bioclimates())}")
        for name, variable in self.variables.items():
            if isinstance(variable.types, str):
                if variable.types not in ("all", *self.sets):
                    raise ValueError(f"variable {name!r} takes the unknown set {variable.types!r}")
            else:
                known(variable.types, f"variable {name!r}")
            if variable.of not in ("cell", "land", *self.sets):
                raise ValueError(f"variable {name!r} is a share of {variable.of!r}, which is no set")
            known([variable.empty] if variable.empty else [], f"variable {name!r}")
        numbers = [item.id for item in self.types.values()]
        if len(set(numbers)) < len(numbers):
            raise ValueError("two types have one id")
        return self

    # ---- from a map to types --------------------------------------------------------------------------------

    @property
    def zones(self) -> tuple[str, ...]:
        """The bioclimates that codes distinguish; a single one if the profile needs none."""
        return tuple(bioclimates()) if self.bioclimates else ("any",)

    def table(self, legend: Legend) -> NDArray[np.float64]:
        """Share of each type in each code: float64 (type, native class x bioclimate), columns sum to 1.

        Raises
        ------
        ConfigError
            The profile has no rule for a class of the legend.
        """
        view = {code: item.name for item in legend.view for code in item.codes}
        columns = []
        for code in legend.codes:
            for zone in self.zones:
                rule = self._rule((legend.names[code], view[code]), zone)
                if rule is None:
                    raise ConfigError(
                        f"host profile {self.name!r} does not say what becomes of a class",
                        expected=f"a rule for {legend.names[code]!r} or {view[code]!r} in bioclimate {zone!r}",
                        found=f"legend {legend.name!r}",
                    )
                columns.append([rule.to.get(name, 0.0) for name in self.types])
        return np.ascontiguousarray(np.array(columns).T)

    def _rule(self, names: tuple[str, ...], zone: str) -> Rule | None:
        fits = (
            rule
            for name in names
            for rule in self.crosswalk
            if rule.class_ == name and (not rule.bioclimates or zone in rule.bioclimates)
        )
        return next(fits, None)

    def codes(self, legend: Legend, cover: NDArray[np.uint8], zones: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Columns of :meth:`table` for cells of a map: class x bioclimate; ``OUTSIDE`` for ocean and no data.

        Parameters
        ----------
        cover, zones:
            Native codes, and indices into :attr:`zones` (unused if the profile needs none); both have the same shape.
        """
        position = np.full(256, OUTSIDE, np.int16)
        position[list(legend.codes)] = np.arange(len(legend.codes)) * len(self.zones)
        codes = position[cover]
        return np.where(codes >= 0, codes + zones, codes).astype(np.int16) if self.bioclimates else codes

    # ---- from types to variables ----------------------------------------------------------------------------

    def members(self, types: str | tuple[str, ...]) -> NDArray[np.int64]:
        """Rows of a set of types."""
        if isinstance(types, str):
            types = tuple(self.types) if types == "all" else self.sets[types]
        order = list(self.types)
        return np.array([order.index(name) for name in types], np.int64)

    def values(self, cover: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The host's variables.

        Parameters
        ----------
        cover:
            Share of the cell that each type covers, float64 (type, cells).

        Returns
        -------
        Name to float64 (types of the variable, cells) for ``shares``, (cells,) for ``cover`` and ``dominant``.
        """
        return {name: self._value(variable, cover) for name, variable in self.variables.items()}

    def _value(self, variable: Variable, cover: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = self.members(variable.types)
        part = cover[rows]
        if variable.kind == "dominant":
            numbers = np.array([item.id for item in self.types.values()], np.float64)[rows]
            largest = numbers[np.argmax(part, axis=0)]
            return np.where(part.max(axis=0) > LEAST_SHARE, largest, float(variable.none))
        if variable.of != "cell":
            whole = cover.sum(axis=0) if variable.of not in self.sets else cover[self.members(variable.of)].sum(axis=0)
            there = whole > LEAST_SHARE
            part = np.divide(part, whole, out=np.zeros_like(part), where=there)
            if variable.empty is not None:
                part[np.flatnonzero(rows == self.members((variable.empty,))[0]), :] += ~there
        if variable.kind == "cover":
            part = part.sum(axis=0)
        return part * (100.0 if variable.units == "%" else 1.0)


def profile_exports(profile: HostProfile, *, ahead: bool) -> dict[str, ExportInfo]:
    """The exports of a profile: ``surface_type_fraction`` and the variables of the profile."""
    table = {
        TYPES: ExportInfo(
            TYPES,
            "1",
            tuple(profile.types),
            "cell",
            f"share of the cell that each surface type of {profile.title} covers",
            anchored=True,
            ahead=ahead,
        )
    }
    for name, variable in profile.variables.items():
        types = profile.members(variable.types) if variable.kind == "shares" else np.empty(0, np.int64)
        norm = _norm(variable)
        table[name] = ExportInfo(
            name,
            variable.units,
            tuple(list(profile.types)[row] for row in types),
            norm,
            variable.long_name,
            anchored=True,
            ahead=ahead,
            norm_types=variable.of if norm != "cell" and variable.of in profile.sets else "",
        )
    return table


def _norm(variable: Variable) -> Literal["cell", "land", "types"]:
    """What the values of a variable refer to; a dominant type refers to the whole cell."""
    if variable.kind == "dominant" or variable.of == "cell":
        return "cell"
    return "land" if variable.of == "land" else "types"


def profile_names() -> list[str]:
    """Names of the profiles in ``schemas/hosts``."""
    folder = resources.files("ai4land_coupler.schemas") / "hosts"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def get_profile(name: str, base: Path | None = None) -> HostProfile:
    """A profile by its name, or by the path of its file (relative to ``base``).

    Raises
    ------
    ConfigError
        No profile has this name, or the file has faults, which the message lists.
    """
    if name in profile_names():
        return _shipped(name)
    path = (base or Path()) / name
    if not path.is_file():
        raise ConfigError(
            "unknown host profile",
            expected=f"{', '.join(profile_names())}, or the path of a profile",
            found=name,
            remedy=nearest(name, profile_names()),
        )
    return _parse(path.read_text(), str(path))


@cache
def _shipped(name: str) -> HostProfile:
    file = resources.files("ai4land_coupler.schemas") / "hosts" / f"{name}.yaml"
    return _parse(file.read_text(), name)


def _parse(text: str, where: str) -> HostProfile:
    try:
        return HostProfile.model_validate(parse_yaml(text, where, "the host profile"))
    except ValidationError as error:
        raise config_error(error, where, HostProfile, "the host profile") from error

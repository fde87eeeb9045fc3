"""Legends: the meaning of the native codes of a map, and the coarser *view* of classes that predictors use.

Maps keep their native codes. Predictors, demand and host fields use the classes of the legend's view,
numbered 0 .. n-1. ``OUTSIDE`` (-1) marks ocean and cells without data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError, DataError, FieldError, nearest

OUTSIDE = -1


@dataclass(frozen=True)
class ViewClass:
    """One class of the view: its native codes, and the code of cells that change to this class."""

    name: str
    codes: tuple[int, ...]
    new: int
    colour: str
    fixed: bool = False


@dataclass(frozen=True)
class Legend:
    """A legend, read from ``schemas/legends/<name>.yaml`` or from a file of the user."""

    name: str
    title: str
    ocean: tuple[int, ...]
    names: dict[int, str]
    area_types: dict[int, str]
    view: tuple[ViewClass, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the view's classes, in order."""
        return tuple(v.name for v in self.view)

    @property
    def codes(self) -> tuple[int, ...]:
        return tuple(self.names)

    @property
    def fixed(self) -> NDArray[np.bool_]:
        """Which classes of the view never change (water)."""
        return np.array([v.fixed for v in self.view])

    @property
    def new_codes(self) -> NDArray[np.uint8]:
        """Native code of cells that change to each class of the view."""
        return np.array([v.new for v in self.view], np.uint8)

    @property
    def no_data(self) -> int:
        """The code of cells without data: the last code outside of the land."""
        return self.ocean[-1]

    def describe(self) -> dict[str, Any]:
        """The legend as plain JSON, from which :func:`make_legend` makes it again."""
        classes = {str(code): {"name": self.names[code], "area_type": self.area_types[code]} for code in self.names}
        view = {v.name: {"codes": list(v.codes), "new": v.new, "colour": v.colour, "fixed": v.fixed} for v in self.view}
        return {"name": self.name, "title": self.title, "ocean": list(self.ocean), "classes": classes, "view": view}

    @property
    def identity(self) -> str:
        """The name; for a legend of the user with a digest of its content, because the file may change."""
        if self.name in legend_names():
            return self.name
        return f"{self.name} {hashlib.sha256(json.dumps(self.describe()).encode()).hexdigest()[:16]}"

    def _table(self) -> NDArray[np.int8]:
        table = np.full(256, OUTSIDE, np.int8)
        for index, item in enumerate(self.view):
            table[list(item.codes)] = index
        return table

    def to_view(self, codes: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Convert native codes to classes of the view. ``OUTSIDE`` for ocean and no data. Any shape."""
        return self._table()[codes]

    def same_view(self, other: Legend) -> bool:
        """Whether the classes of the other legend's view mean the same as the classes of this view.

        Both views must have the same classes in the same order, and the same fixed classes. Codes in both legends must
        be in the same class and have the same CF area type. So HILDA+ v1.0-f agrees with v2.x, whose additional codes
        are parts of cropland, but not with v1.0, whose code 44 is all forest.
        """
        shared = self.area_types.keys() & other.area_types.keys()
        mine, others = ({code: item.name for item in x.view for code in item.codes} for x in (self, other))
        return (
            self.classes == other.classes
            and self.fixed.tolist() == other.fixed.tolist()
            and all(mine[c] == others[c] and self.area_types[c] == other.area_types[c] for c in shared)
        )

    def check(self, codes: NDArray[Any], where: object = None) -> None:
        """Refuse a map with codes that are not in this legend.

        Raises
        ------
        DataError
            The map has unknown codes. The message lists them with their numbers of cells.
        """
        codes = np.asarray(codes)
        known = set(self.names) | set(self.ocean)
        # Fast check: delete all known codes and see whether any bytes remain. Ten times as fast as counting codes.
        if codes.dtype == np.uint8 and not codes.tobytes().translate(None, bytes(known)):
            return
        if codes.size and codes.dtype.kind in "iu" and codes.min() >= 0 and codes.max() < 256:
            counted = np.bincount(codes.reshape(-1))  # ten times as fast as sorting a map
            found = np.flatnonzero(counted)
            counts = counted[found]
        else:
            found, counts = np.unique(codes, return_counts=True)
        unknown = {int(c): int(n) for c, n in zip(found, counts, strict=True) if int(c) not in known}
        if unknown:
            raise DataError(
                f"a map holds class codes that legend {self.name!r} does not know",
                expected=sorted(known),
                found=", ".join(f"code {code} in {n} cells" for code, n in unknown.items()),
                where=where,
                remedy=f"choose the legend of this data set; known legends: {', '.join(legend_names())}",
            )


def legend_names() -> list[str]:
    """Names of the legends in ``schemas/legends``."""
    folder = resources.files("ai4land_coupler.schemas") / "legends"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


#: Legends and crosswalks of the user that this process has read, by name.
_own_legends: dict[str, Legend] = {}
_own_crosswalks: dict[str, Crosswalk] = {}


def get_legend(name: str) -> Legend:
    """Get a legend by its name: one that comes with the package, or one that :func:`know_legend` was given.

    Raises
    ------
    ConfigError
        No legend has this name. The message suggests the most similar name.
    """
    return _own_legends.get(name) or _shipped_legend(name)


def know_legend(legend: Legend) -> Legend:
    """Let :func:`get_legend` find a legend of the user from now on. Returns it.

    Raises
    ------
    ConfigError
        Another legend has its name.
    """
    shipped = legend.name in legend_names()
    other = _shipped_legend(legend.name) if shipped else _own_legends.get(legend.name, legend)
    if other != legend:
        raise ConfigError(
            "two legends have the same name",
            expected="a name of its own for each legend",
            found=legend.name + (", which comes with the package" if shipped else ""),
            remedy="change `name` in the file of the legend",
        )
    if not shipped:
        _own_legends[legend.name] = legend
    return legend


@cache
def _shipped_legend(name: str) -> Legend:
    if name not in legend_names():
        raise ConfigError(
            "unknown legend",
            found=name,
            remedy=f"{nearest(name, [*legend_names(), *_own_legends])}; or give the path of a legend file (.yaml)",
        )
    path = resources.files("ai4land_coupler.schemas") / "legends" / f"{name}.yaml"
    return make_legend(parse_yaml(path.read_text(), path, "the legend"))


def make_legend(raw: Mapping[str, Any]) -> Legend:
    """Make a legend from the content of its file."""
    return Legend(
        name=raw["name"],
        title=raw["title"],
        ocean=tuple(raw["ocean"]),
        names={int(code): item["name"] for code, item in raw["classes"].items()},
        area_types={int(code): item["area_type"] for code, item in raw["classes"].items()},
        view=tuple(
            ViewClass(key, tuple(item["codes"]), item["new"], item["colour"], item.get("fixed", False))
            for key, item in raw["view"].items()
        ),
    )


@dataclass(frozen=True)
class Crosswalk:
    """The mapping of scenario states to groups of view classes, read from ``schemas/crosswalks/<name>.yaml``.

    ``instead`` may replace all ``states`` of a group. ``optional`` states are added if a data set has them.
    """

    name: str
    groups: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]
    states: dict[str, tuple[str, ...]]
    instead: dict[str, tuple[str, ...]]
    optional: dict[str, tuple[str, ...]]

    def group_of_class(self, legend: Legend) -> NDArray[np.int8]:
        """Group of each class of the legend's view. ``OUTSIDE`` for classes without a group."""
        table = np.full(len(legend.view), OUTSIDE, np.int8)
        for index, group in enumerate(self.groups):
            for name in self.classes[group]:
                if name not in legend.classes:
                    raise ConfigError(
                        f"crosswalk {self.name!r} names a class that legend {legend.name!r} lacks",
                        found=name,
                        remedy=nearest(name, legend.classes),
                    )
                table[legend.classes.index(name)] = index
        return table

    def choose(self, available: Collection[str], where: object = None) -> dict[str, tuple[str, ...]]:
        """Choose the states of each group from the states that a data set has.

        Raises
        ------
        FieldError
            A state is missing. Without this error, the group would show a change that is not in the scenario.
        """
        chosen = {}
        for group in self.groups:
            instead, states = self.instead[group], self.states[group]
            missing = [name for name in states if name not in available]
            if missing and not (instead and all(name in available for name in instead)):
                raise FieldError(
                    f"the scenario lacks {', '.join(missing)} of group {group!r}",
                    expected=" ".join(states) + (f", or {' '.join(instead)}" if instead else ""),
                    found=" ".join(sorted(available)) or "none",
                    where=where,
                    remedy=f"add an adapter that has them, or choose another crosswalk than {self.name!r}",
                )
            chosen[group] = (instead if missing else states) + tuple(n for n in self.optional[group] if n in available)
        return chosen


def get_crosswalk(name: str) -> Crosswalk:
    """Get a crosswalk by its name. Raises ``ConfigError`` if no crosswalk has this name."""
    return _own_crosswalks.get(name) or _shipped_crosswalk(name)


def know_crosswalk(crosswalk: Crosswalk) -> Crosswalk:
    """Let :func:`get_crosswalk` find a crosswalk of the user from now on, in place of an earlier one. Returns it."""
    _own_crosswalks[crosswalk.name] = crosswalk
    return crosswalk


@cache
def _shipped_crosswalk(name: str) -> Crosswalk:
    folder = resources.files("ai4land_coupler.schemas") / "crosswalks"
    names = sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))
    if name not in names:
        raise ConfigError(
            "unknown crosswalk",
            found=name,
            remedy=f"{nearest(name, names)}; or give the path of a crosswalk file (.yaml)",
        )
    return make_crosswalk(parse_yaml((folder / f"{name}.yaml").read_text(), f"{name}.yaml", "the crosswalk"))


def make_crosswalk(raw: Mapping[str, Any]) -> Crosswalk:
    """Make a crosswalk from the content of its file."""
    return Crosswalk(
        name=raw["name"],
        groups=tuple(raw["groups"]),
        classes={g: tuple(item["classes"]) for g, item in raw["groups"].items()},
        states={g: tuple(item["states"]) for g, item in raw["groups"].items()},
        instead={g: tuple(item.get("instead", ())) for g, item in raw["groups"].items()},
        optional={g: tuple(item.get("optional", ())) for g, item in raw["groups"].items()},
    )

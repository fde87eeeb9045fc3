"""Reads legends and crosswalks from files of the user (docs/adapters-maps.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ai4land_coupler.config.faults import config_error
from ai4land_coupler.config.sections import read_yaml
from ai4land_coupler.core.legend import (
    Crosswalk,
    Legend,
    get_crosswalk,
    get_legend,
    know_crosswalk,
    know_legend,
    make_crosswalk,
    make_legend,
)
from ai4land_coupler.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

#: Codes are bytes. 255 marks the cells of a store that are not written yet.
Code = Annotated[int, Field(ge=0, le=254)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][\w.-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassEntry(_Part):
    """A native code: its name, and its area type (https://cfconventions.org, area_type table)."""

    name: Name
    long_name: str = ""
    area_type: str


class ViewEntry(_Part):
    """A class of the view: its codes, the code of cells that change to it, its colour, and whether it never changes."""

    codes: tuple[Code, ...] = Field(min_length=1)
    new: Code
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    fixed: bool = False


class LegendFile(_Part):
    """The content of a legend file.

    Parameters
    ----------
    ocean:
        Codes outside of the land; the last one marks cells without data.
    """

    name: Name
    title: str
    ocean: tuple[Code, ...] = Field(min_length=1)
    classes: dict[Code, ClassEntry] = Field(min_length=1)
    view: dict[Name, ViewEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_code_has_one_class(self) -> Self:
        seen: dict[int, str] = dict.fromkeys(self.ocean, "ocean")
        for name, item in self.view.items():
            for code in item.codes:
                if code in seen:
                    raise ValueError(f"code {code} is in {seen[code]} and in {name}")
                seen[code] = name
            if item.new not in item.codes:
                raise ValueError(f"`new` of {name} is {item.new}, which is none of its codes")
        for code in self.classes:
            if code not in seen:
                raise ValueError(f"code {code} is in no class of the view")
        lost = [str(code) for code, name in seen.items() if name != "ocean" and code not in self.classes]
        if lost:
            raise ValueError(f"the view has codes without an entry in `classes`: {', '.join(lost)}")
        both = [str(code) for code in self.ocean if code in self.classes]
        if both:
            raise ValueError(f"codes are in `ocean` and in `classes`: {', '.join(both)}")
        if len({entry.name for entry in self.classes.values()}) < len(self.classes):
            raise ValueError("two codes in `classes` have the same name")
        return self


class GroupEntry(_Part):
    """A group of view classes and the scenario's states whose area it has."""

    classes: tuple[str, ...] = Field(min_length=1)
    states: tuple[str, ...] = Field(min_length=1)
    instead: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class CrosswalkFile(_Part):
    """The content of a crosswalk file."""

    name: Name
    groups: dict[Name, GroupEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_class_is_in_one_group(self) -> Self:
        for part in ("classes", "states"):
            names = [name for group in self.groups.values() for name in getattr(group, part)]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{part} are in two groups: {', '.join(twice)}")
        return self


def is_file_name(given: str) -> bool:
    """Whether a text names a legend or crosswalk file, not a legend or crosswalk that is known by its name."""
    return given.lower().endswith((".yaml", ".yml"))


def find_legend(given: str, base: Path) -> Legend:
    """Get a legend by its name, or read it from a file; :func:`get_legend` knows it by its name from then on.

    Parameters
    ----------
    base:
        The folder in which a relative path starts.

    Raises
    ------
    ConfigError
        There is no such legend or file, or the file is wrong. The error lists each fault.
    """
    if not is_file_name(given):
        return get_legend(given)
    content = _read(LegendFile, base / given, "the legend")
    return know_legend(make_legend(content.model_dump()))


def find_crosswalk(given: str, base: Path) -> Crosswalk:
    """Get a crosswalk by its name, or read it from a file; errors and parameters as :func:`find_legend`."""
    if not is_file_name(given):
        return get_crosswalk(given)
    content = _read(CrosswalkFile, base / given, "the crosswalk")
    return know_crosswalk(make_crosswalk(content.model_dump()))


def _read(model: type[M], path: Path, what: str) -> M:
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(f"{what} is not a mapping of keys", found=type(raw).__name__, where=path)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise config_error(error, str(path), model, what) from None

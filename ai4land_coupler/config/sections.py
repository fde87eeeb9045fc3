"""The configuration of a run: one YAML file, checked whole before anything starts.

Relative paths are relative to the file. ``${NAME}`` and ``${NAME:-default}`` are replaced from the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.config.faults import config_error
from ai4land_coupler.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """Base of all parts of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeSection(Section):
    """The years of the run. ``stop`` before ``start`` runs backward in time."""

    start: int = Field(description="year of the initial state")
    stop: int = Field(description="last year to be reached, included")
    base_year: int | None = Field(None, description="year that the scenario's change is counted from; default: start")


class PluginChoice(Section):
    """A plugin by its registered name, with its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class RepeatSection(Section):
    """Years that are gone through again and again."""

    first: int
    last: int

    @model_validator(mode="after")
    def _order(self) -> RepeatSection:
        if self.last < self.first:
            raise ValueError("repeat.last must not be before repeat.first")
        return self


class ForcingSection(PluginChoice):
    """An adapter of the forcing. A control run takes one year, or some years over and over, for every year."""

    constant_year: int | None = Field(None, description="this year's data stand for every year")
    repeat: RepeatSection | None = Field(None, description="these years' data, again and again, stand for every year")

    @model_validator(mode="after")
    def _one_of_two(self) -> ForcingSection:
        if self.constant_year is not None and self.repeat is not None:
            raise ValueError("give constant_year or repeat, not both")
        return self

    @property
    def cycle(self) -> tuple[int, int] | None:
        """First and last year that stand for every year; ``None`` where each year stands for itself."""
        if self.constant_year is not None:
            return self.constant_year, self.constant_year
        return None if self.repeat is None else (self.repeat.first, self.repeat.last)


class QualitySection(Section):
    """What happens to faulty input data, and what counts as a fault."""

    policy: Literal["stop", "mend"] = Field("stop", description="stop the run, or mend and count; default of adapters")
    missing_static: float = Field(0.01, ge=0, le=1, description="share of land that static fields may leave out")
    missing_forcing: float = Field(0.05, ge=0, le=1, description="share of land that the forcing may leave out")
    jump: float = Field(0.02, ge=0, description="mean change of a fraction where one data set follows another")


class InitialSection(PluginChoice):
    """The adapter that reads the initial land cover."""

    year: int | None = Field(None, description="year of the map; default: time.start")


class HostSection(Section):
    """A climate model's grid that results are put on."""

    grid: Path = Field(
        description="grid file (CF, UGRID, SCRIP, ESMF mesh, ICON), or a name: O80, F32, r360x180, ne30pg2, ico5"
    )
    edges: Literal["great_circle", "latlon"] | None = Field(None, description="default: as the grid's corners tell")
    expect: Literal["global"] | None = Field(None, description="global: refuse a grid with gaps")


class ImportSection(Section):
    """What stands in for a host's field offline: one value, or twelve monthly values, everywhere."""

    values: float | tuple[float, ...]
    units: str
    missing: Literal["stop", "fill"] = Field(
        "stop", description="months that a host gave in part or not at all: stop the run, or let `values` stand in"
    )


class ExportSection(Section):
    """What hosts are offered beside the state of the year. None of it changes the results."""

    lookahead: bool = Field(False, description="stay one step ahead of the host, so that the next map is on offer")
    transitions: bool = Field(False, description="offer the change from class to class in each host cell")
    pass_through: tuple[str, ...] = Field(
        (), description="variables of the forcing (harvest, fertiliser, irrigation) that go on to the host's grid"
    )
    profile: str | None = Field(
        None, description="host profile whose variables are offered too: cf, clm, ecland, jsbach, noahmp, or a file"
    )


class RegridSection(Section):
    backend: str = Field(
        "yac", description="regridding backend, by its registered name; auto: esmf where it can be used, else yac"
    )
    options: dict[str, Any] = Field(default_factory=dict)
    cache: Path | None = Field(None, description="folder that keeps regrid weights for later runs; default: none")


class OutputSection(Section):
    """The store of the run. Restarts lie beside it."""

    store: Path
    overwrite: bool = False
    shard: int = Field(1024, ge=16, description="rows and columns of one shard file")


class RestartSection(Section):
    folder: Path | None = Field(None, description="default: the store's path with .restart")
    every: int = Field(1, ge=1, description="steps between restarts")
    keep: int = Field(2, ge=0, description="last restarts that are kept; 0 keeps all")


class ParallelSection(Section):
    block: int = Field(16, ge=1, description="forcing cells along each side of a block; part of the results' identity")
    workers: Literal["all"] | int = Field("all", description="ranks that predict; the others only take part")
    threads: int = Field(1, ge=1, description="torch threads of each rank offline; part of the results' identity")


class RandomSection(Section):
    seed: int = Field(0, ge=0)
    member: int = Field(0, ge=0)


class PluginSection(Section):
    allow: tuple[str, ...] | None = Field(None, description="distributions whose plugins may load; default: all")


class Config(Section):
    """A run."""

    title: str
    legend: str
    time: TimeSection
    initial: InitialSection
    forcing: tuple[ForcingSection, ...] = ()
    static: tuple[PluginChoice, ...] = ()
    predictors: tuple[PluginChoice, ...] = Field(min_length=1)
    quality: QualitySection = QualitySection()
    allocation: AllocationOptions = AllocationOptions()
    hosts: dict[str, HostSection] = Field(default_factory=dict)
    imports: dict[str, ImportSection] = Field(default_factory=dict)
    exports: ExportSection = ExportSection()
    regrid: RegridSection = RegridSection()
    output: OutputSection | None = None
    restart: RestartSection = RestartSection()
    parallel: ParallelSection = ParallelSection()
    random: RandomSection = RandomSection()
    plugins: PluginSection = PluginSection()

    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _workers(self) -> Config:
        if isinstance(self.parallel.workers, int) and self.parallel.workers < 1:
            raise ValueError("parallel.workers must be 'all' or at least 1")
        return self

    @property
    def base(self) -> Path:
        """Folder that relative paths start from."""
        return self._base

    def resolve(self, path: Path) -> Path:
        """An absolute path, relative ones taken from the configuration's folder."""
        return Path(os.path.normpath(self._base / path))

    @property
    def digest(self) -> str:
        """Names what decides the results: all but where outputs go, how many ranks work, and the last year."""
        content = self.model_dump(mode="json", exclude={"output", "restart", "hosts", "title", "exports"})
        content["time"].pop("stop")
        content["parallel"].pop("workers")
        content["regrid"].pop("cache")
        content["regrid"].pop("backend")  # restarts keep which one it came to
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    overrides:
        ``a.b=c`` settings that replace what the file says; values are YAML.

    Raises
    ------
    ConfigError
        Naming each faulty key, with the nearest right one where it is misspelt.
    """
    path = Path(path)
    return parse_config(read_yaml(path), path.resolve().parent, str(path), overrides)


def parse_config(raw: Any, base: Path, where: str, overrides: Sequence[str] = ()) -> Config:
    """Check a configuration that is already a mapping; see :func:`load_config`."""
    config = checked(Config, raw, where, overrides)
    config._base = base
    return config


def checked(model: type[M], raw: Any, where: str, overrides: Sequence[str] = ()) -> M:
    """A mapping as an instance of a model: settings replaced, the environment filled in, faults named."""
    if not isinstance(raw, dict):
        raise ConfigError("a configuration is not a mapping of keys", found=type(raw).__name__, where=where)
    for setting in overrides:
        override(raw, setting)
    try:
        return model.model_validate(expand(raw))
    except ValidationError as error:
        raise config_error(error, where, model) from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file; ``ConfigError`` where it is missing or malformed."""
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError("the configuration does not exist", found=str(path), remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the configuration cannot be read", found=str(error), where=str(path)) from None
    except yaml.YAMLError as error:
        raise ConfigError("the configuration is not valid YAML", found=str(error), where=str(path)) from None


def expand(value: Any) -> Any:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in all strings of a nested structure."""
    if isinstance(value, dict):
        return {key: expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", _variable, value)
    return value


def _variable(match: re.Match[str]) -> str:
    name, default = match[1], match[2]
    found = os.environ.get(name, default)
    if found is None:
        raise ConfigError(
            "the configuration uses an environment variable that is not set",
            found=f"${{{name}}}",
            remedy=f"export {name}=..., or write ${{{name}:-default}}",
        )
    return found


def override(raw: dict[str, Any], setting: str) -> None:
    """Apply one ``a.b=c`` setting in place; the value is YAML."""
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ConfigError("a setting is malformed", expected="a.b=value", found=setting, where="--set")
    keys = path.split(".")
    place: Any = raw
    for key in keys[:-1]:
        if isinstance(place, list) and key.isdigit() and int(key) < len(place):
            place = place[int(key)]
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            raise ConfigError("a setting names no place in the configuration", found=setting, where="--set")
    value = yaml.safe_load(text)
    if isinstance(place, list) and keys[-1].isdigit() and int(keys[-1]) < len(place):
        place[int(keys[-1])] = value
    elif isinstance(place, dict):
        place[keys[-1]] = value
    else:
        raise ConfigError("a setting names no place in the configuration", found=setting, where="--set")


def json_schema() -> str:
    """The JSON Schema of the configuration, as it lies in ``schemas/config.schema.json``."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"

"""The configuration of a run: one YAML file, which is checked completely before the run starts.

Paths may be relative to the file. ``${NAME}`` and ``${NAME:-default}`` are replaced by environment variables.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.config.faults import config_error
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
#: Settings that were added after restarts had stored :attr:`Config.digest`: section, key, default.
_LATER_SETTINGS: tuple[tuple[str, str, Any], ...] = (
    ("forcing", "beyond", "stop"),
    ("parallel", "memory", None),
    ("parallel", "tiling", {"method": "exact", "window": 512, "overlap": 0.5, "sigma": 0.125}),
)


class Section(BaseModel):
    """Base class of all sections of the configuration: it refuses unknown keys, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeSection(Section):
    """The years of the run. If ``stop`` is before ``start``, the run goes backward in time."""

    start: int = Field(description="year of the initial state")
    stop: int = Field(description="last year of the run; the last state holds to the end of its step")
    base_year: int | None = Field(None, description="year from which the scenario's change counts; default: start")


class PluginChoice(Section):
    """A plugin by its registered name, with its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class RepeatSection(Section):
    """Years that are repeated for ever."""

    first: int
    last: int

    @model_validator(mode="after")
    def _order(self) -> RepeatSection:
        if self.last < self.first:
            raise ValueError("repeat.last must not be before repeat.first")
        return self


class ForcingSection(PluginChoice):
    """An adapter of the forcing or the climate. A control run uses the data of one year, or repeats some years."""

    constant_year: int | None = Field(None, description="use the data of this year for every year")
    repeat: RepeatSection | None = Field(
        None, description="repeat the data of these years for ever; with `beyond: cycle` only after the last year"
    )
    beyond: Literal["stop", "hold", "cycle"] = Field(
        "stop", description="after the last year of the data: stop, hold the last year, or cycle the years of `repeat`"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> ForcingSection:
        if self.constant_year is not None and self.repeat is not None:
            raise ValueError("give constant_year or repeat, not both")
        if self.beyond != "stop" and self.constant_year is not None:
            raise ValueError("with constant_year the data have every year: leave beyond out")
        if self.beyond == "hold" and self.repeat is not None:
            raise ValueError("give `beyond: hold` or repeat, not both; `beyond: cycle` uses repeat")
        return self

    @property
    def cycle(self) -> tuple[int, int] | None:
        """First and last year of the data that are used for every year; ``None`` if each year has its own data."""
        if self.constant_year is not None:
            return self.constant_year, self.constant_year
        return None if self.beyond == "cycle" else self.repeated

    @property
    def repeated(self) -> tuple[int, int] | None:
        """First and last year of ``repeat``."""
        return None if self.repeat is None else (self.repeat.first, self.repeat.last)


class QualitySection(Section):
    """The input checks: limits, and what happens to faulty values."""

    policy: Literal["stop", "mend"] = Field(
        "stop", description="stop the run at a fault, or mend and count faulty values; also the default of adapters"
    )
    missing_static: float = Field(0.01, ge=0, le=1, description="largest share of land without data of a static field")
    missing_forcing: float = Field(0.05, ge=0, le=1, description="largest share of land without data of the forcing")
    jump: float = Field(
        0.02, ge=0, description="largest mean difference of a fraction where one data set follows another"
    )


class InitialSection(PluginChoice):
    """The adapter that reads the initial land cover."""

    year: int | None = Field(None, description="year of the map; default: time.start")


class HostSection(Section):
    """The grid of a host (a climate model), which gets the results."""

    grid: Path = Field(
        description="grid file (CF, UGRID, SCRIP, ESMF mesh, ICON), or a name: O80, F32, r360x180, ne30pg2, ico5"
    )
    edges: Literal["great_circle", "latlon"] | None = Field(None, description="kind of edges; default: from corners")
    expect: Literal["global"] | None = Field(None, description="global: refuse a grid with gaps")
    variable: str | None = Field(None, description="data variable whose grid is read, if a file has several grids")
    mask: str | None = Field(None, description="variable of the grid file that is 0 or missing in masked cells")


class ImportSection(Section):
    """Values of a field of the host in a run without a host: one value, or twelve monthly values, for all cells."""

    values: float | tuple[float, ...]
    units: str
    missing: Literal["stop", "fill"] = Field(
        "stop",
        description="months that a host gives only in part or not at all: stop the run, or use `values` (for a field "
        "that it never gives: `climate`, if that has it)",
    )


class ExportSection(Section):
    """Host fields besides the land state of the year. They do not change the results."""

    lookahead: bool = Field(False, description="compute one step ahead of the host, so that it can get the next map")
    transitions: bool = Field(False, description="give hosts the change from class to class in each host cell")
    pass_through: tuple[str, ...] = Field(
        (), description="variables of the forcing (harvest, fertiliser, irrigation) that hosts get on their grids"
    )
    profile: str | None = Field(
        None, description="host profile whose variables hosts get too: cf, clm, ecland, jsbach, noahmp, or a file"
    )
    max_fill_distance: float = Field(
        500.0,
        ge=0,
        description="a host's land without land on the map gets the nearest mapped land, up to this distance (km)",
    )


class RegridSection(Section):
    backend: str = Field(
        "yac", description="registered name of a regridding backend; auto: esmf if it can be used, else yac"
    )
    options: dict[str, Any] = Field(default_factory=dict)
    cache: Path | None = Field(None, description="folder that keeps regrid weights for later runs; default: none")


class OutputSection(Section):
    """The store of the run. The folder of the restarts is next to it."""

    store: Path
    overwrite: bool = False
    shard: int = Field(1024, ge=16, description="rows and columns of one shard file")


class RestartSection(Section):
    folder: Path | None = Field(None, description="default: the store's path with .restart")
    every: int = Field(1, ge=1, description="steps between restarts")
    keep: int = Field(2, ge=0, description="number of restarts to keep; 0 keeps all")


class TilingSection(Section):
    """The windows that predictors see."""

    method: Literal["exact", "gaussian"] = Field(
        "exact",
        description="exact: one window for each block, with the predictor's halo; gaussian: overlapping windows of one "
        "size, blended with Gaussian weights. It changes the results",
    )
    window: int = Field(512, ge=2, description="gaussian: land cells along each side of a window")
    overlap: float = Field(0.5, ge=0, lt=1, description="gaussian: share of a window that the next one overlaps")
    sigma: float = Field(0.125, gt=0, description="gaussian: standard deviation of the weights, share of a window")

    @model_validator(mode="after")
    def _only_gaussian(self) -> TilingSection:
        changed = [
            key for key in ("window", "overlap", "sigma") if getattr(self, key) != type(self).model_fields[key].default
        ]
        if self.method == "exact" and changed:
            keys = " and ".join(f"parallel.tiling.{key}" for key in changed)
            raise ValueError(f"the method exact does not use {keys}: set `method: gaussian`, or leave this out")
        return self


class ParallelSection(Section):
    block: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        16,
        description="forcing cells along each side of a block; it changes the results in the last bits. auto: about "
        "1000 land cells along each side, or fewer if `memory` is set",
    )
    memory: float | None = Field(
        None,
        gt=0,
        description="gigabytes of a rank for the windows of the predictors, which size the blocks with `block: auto`; "
        "an eighth of it is for static fields that are kept (default: 0.27)",
    )
    workers: Literal["all"] | int = Field("all", description="number of ranks that predict")
    threads: int = Field(
        1, ge=1, description="torch threads of each rank in a run without a host; it changes the results"
    )
    tiling: TilingSection = TilingSection()


class PerformanceSection(Section):
    """What the performance sheet of a run cannot measure. Results do not depend on it."""

    watts_per_core: float | None = Field(
        None, gt=0, description="power of a core, for the energy where the counters of the processors cannot be read"
    )
    grams_co2e_per_kwh: float | None = Field(None, ge=0, description="emissions of the electricity")


class RandomSection(Section):
    seed: int = Field(0, ge=0)
    member: int = Field(0, ge=0)


class PluginSection(Section):
    allow: tuple[str, ...] | None = Field(None, description="distributions whose plugins may be loaded; default: all")


class Config(Section):
    """The configuration of a run."""

    title: str
    legend: str
    time: TimeSection
    initial: InitialSection
    forcing: tuple[ForcingSection, ...] = ()
    static: tuple[PluginChoice, ...] = ()
    climate: tuple[ForcingSection, ...] = Field(
        (), description="adapters of monthly fields that predictors would get from a host, for runs without one"
    )
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
    performance: PerformanceSection = PerformanceSection()
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
        """The folder of the configuration file, for relative paths."""
        return self._base

    def resolve(self, path: Path) -> Path:
        """Make a path absolute; a relative path starts at :attr:`base`."""
        return Path(os.path.normpath(self._base / path))

    @property
    def digest(self) -> str:
        """Identifies the settings that change results. Output paths, the number of ranks and the last year do not."""
        return self.digest_with()

    def digest_with(self, threads: int | None = None) -> str:
        """The :attr:`digest` with another number of threads. Older versions stored it in restarts.

        Settings that came later are left out if they have their defaults, so that those restarts can still be read.
        """
        content = self.model_dump(
            mode="json", exclude={"output", "restart", "hosts", "title", "exports", "performance"}
        )
        content["time"].pop("stop")
        content["parallel"].pop("workers")
        content["regrid"].pop("cache")
        content["regrid"].pop("backend")  # Restarts store the backend that was used.
        if threads is not None:
            content["parallel"]["threads"] = threads
        if not content["climate"]:
            content.pop("climate")
        for section, key, default in _LATER_SETTINGS:
            for item in content[section] if isinstance(content[section], list) else [content[section]]:
                if item.get(key, default) == default:
                    item.pop(key, None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    overrides:
        Settings ``a.b=c`` that replace those of the file; values are YAML.

    Raises
    ------
    ConfigError
        The error names each faulty key, and the nearest known key if it is misspelt.
    """
    path = Path(path)
    return parse_config(read_yaml(path), path.resolve().parent, str(path), overrides)


def parse_config(raw: Any, base: Path, where: str, overrides: Sequence[str] = ()) -> Config:
    """Check a configuration that is already a mapping; see :func:`load_config`."""
    if isinstance(raw, dict) and "parts" in raw:
        raise ConfigError(
            "a run made of parts is not one run",
            expected="a configuration without the section parts",
            found=f"parts: {', '.join(map(str, raw['parts'] or ()))}",
            where=where,
            remedy="`ai4land run` runs all parts; other commands take --part NAME, and a host in Python "
            "ai4land_coupler.config.parts.load_run(FILE).part(NAME)",
        )
    config = checked(Config, raw, where, overrides)
    config._base = base
    return config


def checked(model: type[M], raw: Any, where: str, overrides: Sequence[str] = ()) -> M:
    """Apply settings and environment variables to a mapping, and validate it with a model."""
    if not isinstance(raw, dict):
        raise ConfigError("a configuration is not a mapping of keys", found=type(raw).__name__, where=where)
    for setting in overrides:
        override(raw, setting)
    try:
        return model.model_validate(expand(raw))
    except ValidationError as error:
        raise config_error(error, where, model) from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises ``ConfigError`` if it is missing or malformed."""
    try:
        return parse_yaml(path.read_text(), str(path))
    except FileNotFoundError:
        raise ConfigError("the configuration does not exist", found=str(path), remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the configuration cannot be read", found=str(error), where=str(path)) from None


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
    value = parse_yaml(text, f"--set {setting}", "the setting")
    if isinstance(place, list) and keys[-1].isdigit() and int(keys[-1]) < len(place):
        place[int(keys[-1])] = value
    elif isinstance(place, dict):
        place[keys[-1]] = value
    else:
        raise ConfigError("a setting names no place in the configuration", found=setting, where="--set")

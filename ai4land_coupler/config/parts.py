"""A run made of parts: one configuration file for a history backward in time and scenarios forward in time.

All parts start from the same map in the same year. Each part is a run of its own, with its own store and restarts. A
joined store for each scenario then has the years of the history and of the scenario.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai4land_coupler.config.sections import Config, override, parse_config, read_yaml
from ai4land_coupler.errors import ConfigError, nearest

#: The sections that a part may have. All others are the same for all parts, so that the parts fit together.
PART_SECTIONS = ("time", "forcing", "static", "climate", "predictors", "allocation", "imports", "quality")
#: Part names are names of folders.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class PartsConfig:
    """The configuration of a run made of parts.

    Attributes
    ----------
    where:
        The configuration file, for messages.
    parts:
        The configuration of each part by name, in the order of the file.
    store:
        ``output.store``, absolute.
    """

    where: str
    parts: Mapping[str, Config]
    store: Path

    @property
    def history(self) -> str:
        """Name of the part that goes backward in time."""
        return next(name for name, config in self.parts.items() if _direction(config) < 0)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the parts that go forward in time."""
        return tuple(name for name in self.parts if name != self.history)

    def part(self, name: str) -> Config:
        """The configuration of one part.

        Raises
        ------
        ConfigError
            No part has this name.
        """
        if name not in self.parts:
            raise ConfigError(
                "the run has no part of this name", found=name, where=self.where, remedy=nearest(name, self.parts)
            )
        return self.parts[name]

    def part_store(self, name: str) -> Path:
        """The store of a part."""
        config = self.part(name)
        assert config.output is not None
        return config.resolve(config.output.store)

    def joined_store(self, scenario: str) -> Path:
        """The store with the years of the history and of a scenario: ``output.store``.

        If there are several scenarios, the name of the scenario is added: ``run-ssp126.zarr``.
        """
        if len(self.scenarios) == 1:
            return self.store
        return self.store.with_name(f"{self.store.stem}-{scenario}{self.store.suffix}")


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> Config | PartsConfig:
    """Read and check a configuration file, of one run or of a run made of parts.

    Parameters
    ----------
    overrides:
        Settings ``a.b=c`` that replace those of the file; values are YAML.

    Raises
    ------
    ConfigError
        The configuration has a fault, or its parts do not fit together.
    """
    path = Path(path)
    raw, base = read_yaml(path), path.resolve().parent
    if isinstance(raw, dict) and "parts" in raw:
        return parse_parts(raw, base, str(path), overrides)
    return parse_config(raw, base, str(path), overrides)


def parse_parts(raw: Mapping[str, Any], base: Path, where: str, overrides: Sequence[str] = ()) -> PartsConfig:
    """Check a configuration with parts that is already a mapping; see :func:`load_run`."""
    common = copy.deepcopy(dict(raw))
    for setting in overrides:
        override(common, setting)
    parts = common.pop("parts")
    _check_form(parts, where)
    configs = {}
    for name, part in parts.items():
        configs[name] = parse_config(_with_own_paths(merge(common, part), name), base, f"{where}, part {name!r}")
    _check_years(configs, where)
    output = next(iter(configs.values())).output
    if output is None:
        raise ConfigError("a run made of parts needs a place for its results", expected="output.store", where=where)
    # The folder of the part stores is named after the joined store.
    folder = next(iter(configs.values())).resolve(output.store).parent
    return PartsConfig(where, configs, folder.with_name(folder.name.removesuffix(".parts")))


def merge(common: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a part: mappings are merged key by key; lists and single values replace the common ones."""
    merged = copy.deepcopy(dict(common))
    for key, value in part.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def _with_own_paths(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a part its own store, ``<store>.parts/<name>.zarr``, and its own folder of restarts."""
    output, restart = raw.get("output"), raw.get("restart")
    if isinstance(output, dict) and isinstance(output.get("store"), str):
        output["store"] = f"{output['store'].rstrip('/')}.parts/{name}.zarr"
    if isinstance(restart, dict) and isinstance(restart.get("folder"), str):
        restart["folder"] = f"{restart['folder'].rstrip('/')}/{name}"
    return raw


def _check_form(parts: Any, where: str) -> None:
    """Refuse parts that are not named mappings, and sections that a part cannot have."""
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        raise ConfigError(
            "the parts of a run are malformed",
            expected="parts: {NAME: {time: ..., predictors: ...}, ...}",
            found=parts if not isinstance(parts, dict) else {name: type(part).__name__ for name, part in parts.items()},
            where=where,
        )
    for name, part in parts.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                "the name of a part must be the name of a folder",
                expected="letters, digits, and _ . - after the first character",
                found=repr(name),
                where=where,
            )
        for key in part:
            if key in PART_SECTIONS:
                continue
            known = key in Config.model_fields
            raise ConfigError(
                "the parts of a run differ in a setting that must be the same" if known else "a part has a unknown key",
                expected=f"in a part only {', '.join(PART_SECTIONS)}",
                found=f"parts.{name}.{key}",
                where=where,
                remedy=f"give {key} once, outside of parts" if known else nearest(str(key), PART_SECTIONS),
            )


def _check_years(configs: Mapping[str, Config], where: str) -> None:
    """Refuse parts whose years do not form one series: one part must go backward and the others forward."""
    spans = {name: f"{config.time.start} to {config.time.stop}" for name, config in configs.items()}
    found = ", ".join(f"{name} {span}" for name, span in spans.items()) or "no part"
    if len({config.time.start for config in configs.values()}) > 1:
        raise ConfigError(
            "the parts of a run must start in the same year, from the same map",
            expected="the same time.start in all parts",
            found=found,
            where=where,
            remedy="let the history run backward from the year of the map, and the scenarios forward",
        )
    directions = [_direction(config) for config in configs.values()]
    if directions.count(-1) != 1 or directions.count(1) != len(directions) - 1 or len(directions) < 2:
        raise ConfigError(
            "the parts of a run are one history backward in time and one or more scenarios forward in time",
            expected="one part with time.stop before time.start, all others with time.stop after it",
            found=found,
            where=where,
            remedy="put several histories into several files",
        )


def _direction(config: Config) -> int:
    time = config.time
    return (time.stop > time.start) - (time.stop < time.start)

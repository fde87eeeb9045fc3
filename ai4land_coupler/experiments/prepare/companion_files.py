"""The two files next to a prepared store: a configuration that reads the store, and a STAC collection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.prepare.layout import PARTS, PreparedLayout
from ai4land_coupler.experiments.prepare.stac import collection_text
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.registry.loading import Plugins
from ai4land_coupler.regrid.auto import resolve

#: First line of the configuration that this module writes. Files without it are never overwritten.
HEADER = "# Made by ai4land prepare: the same run, reading its inputs from the prepared store."


def write_companion_files(
    config: Config, plugins: Plugins, layout: PreparedLayout, store: Path, provenance: dict[str, Any]
) -> tuple[Path, Path]:
    """Write ``STORE.run.yaml`` and ``STORE.stac.json``; returns both paths.

    Raises
    ------
    ConfigError
        If a file of that name exists that this module did not write.
    """
    run, stac = (store.with_name(store.name + ending) for ending in (".run.yaml", ".stac.json"))
    if run.exists() and not run.read_text().startswith(HEADER):
        raise ConfigError("the path of the new configuration is taken", where=run, remedy="move that file away")
    content = run_configuration(config, plugins, layout, store)
    parse_config(content, store.parent, str(run))
    write_durably(run, f"{HEADER}\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}".encode())
    write_durably(stac, collection_text(layout, store, provenance).encode())
    return run, stac


def run_configuration(config: Config, plugins: Plugins, layout: PreparedLayout, store: Path) -> dict[str, Any]:
    """The configuration with adapter ``prepared`` instead of all others, and paths relative to the store's folder."""
    target = store.parent
    raw: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    adapter = {part: {"name": "prepared", "options": {"store": store.name, "part": part}} for part in PARTS}
    raw["initial"] = {**adapter["maps"], **({} if config.initial.year is None else {"year": config.initial.year})}
    raw["forcing"] = [adapter["forcing"]] if config.forcing else []
    raw["static"] = [adapter["static"]] if layout.of("static") else []
    for section, choice in zip(raw["predictors"], config.predictors, strict=True):
        section["options"] = _moved_options(config, plugins, choice.name, choice.options, target, "predictor")
    if "backend" in raw.get("regrid", {}) and raw["regrid"].get("options"):
        backend, options = resolve(config.regrid.backend, 1), config.regrid.options
        raw["regrid"]["options"] = _moved_options(config, plugins, backend, options, target, "regridder")
    for host in raw.get("hosts", {}).values():
        host["grid"] = _moved(config.base, host["grid"], target)
    if "output" in raw:
        raw["output"]["store"] = _moved(config.base, raw["output"]["store"], target)
    if raw.get("restart", {}).get("folder"):
        raw["restart"]["folder"] = _moved(config.base, raw["restart"]["folder"], target)
    return raw


def _moved_options(
    config: Config, plugins: Plugins, name: str, options: dict[str, Any], target: Path, kind: Any
) -> dict[str, Any]:
    """Options of a plugin, with relative paths changed so that they start from another folder.

    An option is a path if the plugin's own model makes it absolute.
    """
    checked = plugins.find(kind, name).options.model_validate(options, context={"base": config.base})
    moved = dict(options)
    for key, value in options.items():
        absolute = getattr(checked, key, None)
        if isinstance(value, str) and not Path(value).is_absolute():
            found = os.path.normpath(config.base / value)
            if str(absolute) != value and os.path.normpath(str(absolute)) == found:
                moved[key] = _moved(config.base, value, target)
    return moved


def _moved(base: Path, path: str, target: Path) -> str:
    """The same path, relative to another folder. An absolute path stays as it is."""
    return path if Path(path).is_absolute() else os.path.relpath(base / path, target)

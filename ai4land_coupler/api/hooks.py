"""The three hooks that a plugin can implement. None of them is called for each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import pluggy

from ai4land_coupler.api.contract import Predictor

hookspec = pluggy.HookspecMarker("ai4land")
hookimpl = pluggy.HookimplMarker("ai4land")


class Registry(Protocol):
    """The argument of ``ai4land_register``: a plugin registers its names with it.

    The component calls ``factory(options)`` only if a configuration uses the name. Import heavy packages (torch takes
    seconds) inside the factory. ``options`` is an instance of the ``Options`` model.
    """

    def predictor(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Register a predictor. ``factory(options) -> Predictor``."""
        ...

    def trainer(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Register a trainer of a predictor (``ai4land train``). ``factory(options) -> Trainer``."""
        ...

    def adapter(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Register a data adapter. ``factory(options) -> DataAdapter``."""
        ...

    def regridder(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Register a regridding backend. ``factory(options) -> Regridder``."""
        ...

    def make_predictor(self, name: str, options: Mapping[str, Any], base: Path | None = None) -> Predictor:
        """Make a predictor that any plugin registered, for a predictor that uses others. Call it in a factory.

        Parameters
        ----------
        name, options:
            As in the section ``predictors`` of a run.
        base:
            The folder for relative paths in the options.

        Raises
        ------
        ConfigError, PluginError
            As for a predictor that the configuration names.
        """
        ...


@dataclass(frozen=True)
class StepEvent:
    """The argument of ``ai4land_step_done``: the year, the rank, its diagnostics, and its seconds by phase."""

    year: int
    rank: int
    diagnostics: dict[str, Any]
    timings: dict[str, float]


class HookSpecs:
    """A plugin implements any of these functions, decorated with ``@hookimpl``."""

    @hookspec
    def ai4land_register(self, registry: Registry) -> None:
        """Register predictors, trainers, adapters and regridders."""

    @hookspec
    def ai4land_step_done(self, event: StepEvent) -> None:
        """Called on every rank after a year is computed and, in a run without a host, committed to the store."""

    @hookspec
    def ai4land_commands(self, cli: click.Group) -> None:
        """Add sub-commands to ``ai4land``."""

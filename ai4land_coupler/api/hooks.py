"""The three hooks. None of them is called per cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import click
import pluggy

hookspec = pluggy.HookspecMarker("ai4land")
hookimpl = pluggy.HookimplMarker("ai4land")


class Registry(Protocol):
    """What ``ai4land_register`` is given: tells the component which names a plugin offers.

    A factory is called as ``factory(options)`` and only when a configuration names it, so import
    heavy packages (torch takes seconds) inside it. ``options`` is an instance of the ``Options`` model.
    """

    def predictor(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Offer a predictor. ``factory(options) -> Predictor``."""
        ...

    def trainer(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Offer what trains a predictor (``ai4land train``). ``factory(options) -> Trainer``."""
        ...

    def adapter(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Offer a data adapter. ``factory(options) -> DataAdapter``."""
        ...

    def regridder(self, name: str, factory: Callable[..., Any], options: type) -> None:
        """Offer a regridding backend. ``factory(options) -> Regridder``."""
        ...


@dataclass(frozen=True)
class StepEvent:
    """What ``ai4land_step_done`` is given, on every rank, after a year is committed."""

    year: int
    rank: int
    diagnostics: dict[str, Any]
    timings: dict[str, float]


class HookSpecs:
    """Implement any of these in a plugin, marked with ``@hookimpl``."""

    @hookspec
    def ai4land_register(self, registry: Registry) -> None:
        """Register predictors, trainers, adapters and regridders."""

    @hookspec
    def ai4land_step_done(self, event: StepEvent) -> None:
        """A simulated year has been computed and, offline, committed to the store."""

    @hookspec
    def ai4land_commands(self, cli: click.Group) -> None:
        """Add sub-commands to ``ai4land``."""

"""The names that a plugin registers, checked, with the origin of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ai4land_coupler.api.contract import Predictor
from ai4land_coupler.api.hooks import Registry
from ai4land_coupler.errors import PluginError

Kind = Literal["predictor", "trainer", "adapter", "regridder"]
#: Creates an object from a kind, a name, its options, the place in the configuration and the folder for paths.
Create = Callable[[Kind, str, Mapping[str, Any], str, Path | None], Any]


@dataclass(frozen=True)
class PluginSource:
    """The origin of a plugin: its entry point and its installed distribution."""

    plugin: str
    module: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} ({self.module}) of {self.distribution} {self.version}"


@dataclass(frozen=True)
class Offer:
    """A name that a plugin registered, with the factory of its object."""

    kind: Kind
    name: str
    factory: Callable[..., Any]
    options: type[BaseModel]
    source: PluginSource

    @property
    def plugin(self) -> str:
        return self.source.plugin

    @property
    def distribution(self) -> str:
        return self.source.distribution

    @property
    def version(self) -> str:
        return self.source.version

    @property
    def summary(self) -> str:
        """The first line of the docstring of the factory or of the options."""
        text = (self.factory.__doc__ or self.options.__doc__ or "").strip()
        return text.splitlines()[0] if text else ""

    @property
    def option_text(self) -> str:
        """The options with their defaults, in one line."""
        return ", ".join(
            name if field.is_required() else f"{name}={field.get_default(call_default_factory=True)!r}"
            for name, field in self.options.model_fields.items()
        )


@dataclass(frozen=True)
class Failure:
    """A plugin that cannot be used, with the reason. Errors about unknown names show it."""

    source: PluginSource
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class Collector(Registry):
    """The registry that one plugin gets. It refuses offers that cannot work."""

    def __init__(self, source: PluginSource) -> None:
        self.offers: list[Offer] = []
        #: Creates what other plugins offer; set when all plugins are loaded.
        self.create: Create | None = None
        self._source = source

    def predictor(self, name: str, factory: Callable[..., Any], options: type) -> None:
        self._offer("predictor", name, factory, options)

    def trainer(self, name: str, factory: Callable[..., Any], options: type) -> None:
        self._offer("trainer", name, factory, options)

    def adapter(self, name: str, factory: Callable[..., Any], options: type) -> None:
        self._offer("adapter", name, factory, options)

    def regridder(self, name: str, factory: Callable[..., Any], options: type) -> None:
        self._offer("regridder", name, factory, options)

    def make_predictor(self, name: str, options: Mapping[str, Any], base: Path | None = None) -> Predictor:
        if self.create is None:
            raise PluginError(
                "a plugin asks for a predictor before all plugins are loaded",
                found=name,
                where=str(self._source),
                remedy="call make_predictor in a factory",
            )
        made: Predictor = self.create("predictor", name, options, f"{self._source}: {name}", base)
        return made

    def _offer(self, kind: Kind, name: str, factory: Callable[..., Any], options: type) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
            raise PluginError(
                f"a {kind} has a name that cannot be used",
                expected="lower-case letters, digits, - and _, a letter first",
                found=name,
            )
        if not callable(factory):
            raise PluginError(f"the factory of {kind} {name!r} cannot be called", found=type(factory).__name__)
        if not (isinstance(options, type) and issubclass(options, BaseModel)):
            raise PluginError(f"the options of {kind} {name!r} are not a pydantic model", found=options)
        if options.model_config.get("extra") != "forbid":
            raise PluginError(
                f"the options of {kind} {name!r} let unknown keys pass",
                remedy="derive them from ai4land_coupler.api.Options",
            )
        self.offers.append(Offer(kind, name, factory, options, self._source))

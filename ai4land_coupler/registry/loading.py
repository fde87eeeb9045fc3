"""Finds plugins through entry points, and creates the objects that a configuration names.

The loader of pluggy stops at the first plugin that fails, and the order of its plugins depends on the file system.
This loader sorts plugins by distribution and name, so that the order is the same on all ranks and machines. A plugin
that fails does not affect the others, and errors about unknown names give the reason of its failure.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pluggy
import pydantic

from ai4land_coupler.api import DataAdapter, Predictor, Regridder, Trainer
from ai4land_coupler.api.hooks import HookSpecs
from ai4land_coupler.config.faults import config_error
from ai4land_coupler.core.fields import PredictorSpec
from ai4land_coupler.errors import Ai4LandError, PluginError, nearest
from ai4land_coupler.registry.offers import Collector, Failure, Kind, Offer, PluginSource

GROUP = "ai4land"
#: The distribution of the component is always allowed.
OWN_DISTRIBUTION = "ai4land-coupler"

HOOKS = tuple(sorted(name for name in vars(HookSpecs) if name.startswith("ai4land_")))

#: The base class of what a factory must return.
_BASES: dict[Kind, type] = {"predictor": Predictor, "trainer": Trainer, "adapter": DataAdapter, "regridder": Regridder}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One line of ``ai4land plugins``. ``kind`` is ``failed`` if a plugin cannot be used."""

    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    options: str
    summary: str


class Plugins:
    """The names that the installed plugins registered; see :func:`load_plugins`."""

    def __init__(self, manager: pluggy.PluginManager, offers: Iterable[Offer], failures: Sequence[Failure]) -> None:
        self._offers: dict[Kind, dict[str, Offer]] = {kind: {} for kind in get_args(Kind)}
        for offer in offers:
            self._offers[offer.kind][offer.name] = offer
        self._manager = manager
        self.failures: tuple[Failure, ...] = tuple(failures)

    @property
    def predictors(self) -> Mapping[str, Offer]:
        return self._offers["predictor"]

    @property
    def adapters(self) -> Mapping[str, Offer]:
        return self._offers["adapter"]

    @property
    def regridders(self) -> Mapping[str, Offer]:
        return self._offers["regridder"]

    @property
    def hook(self) -> pluggy.HookRelay:
        """Calls a hook in every plugin: ``plugins.hook.ai4land_step_done(event=...)``."""
        return self._manager.hook

    def find(self, kind: Kind, name: str, where: str | None = None) -> Offer:
        """Find the offer of a name.

        Raises
        ------
        PluginError
            No plugin offers the name. The error has the nearest name, and the plugins that failed: one of them may
            offer it.
        """
        known = self._offers[kind]
        if name in known:
            return known[name]
        remedy = nearest(name, known)
        if self.failures:
            broken = "".join(f"\n    {failure}" for failure in self.failures)
            remedy += f". These plugins could not be used, one of them may offer it:{broken}"
        raise PluginError(f"no plugin offers the {kind} {name!r}", where=where, remedy=remedy)

    def create(self, kind: Kind, name: str, options: Mapping[str, Any], where: str, base: Path | None = None) -> Any:
        """Create the predictor, trainer, adapter or regridding backend that a configuration names.

        Parameters
        ----------
        kind, name:
            The kind and the registered name.
        options:
            The options in the configuration. The model that the plugin registered validates them.
        where:
            The place in the configuration, for messages (``run.yaml: predictors[0]``).
        base:
            The folder for relative paths, that of the configuration; default: the working folder.

        Raises
        ------
        ConfigError
            The options are not valid. The error names the key and the nearest known one.
        PluginError
            The name is unknown, the factory fails, or its result has the wrong class.
        """
        offer = self.find(kind, name, where)
        try:
            checked = offer.options.model_validate(dict(options), context={"base": base})
        except pydantic.ValidationError as error:
            raise config_error(error, f"{where}, options of {kind} {name!r}", offer.options) from None
        place = f"{where}; {offer.source}"
        try:
            made = offer.factory(checked)
        except Ai4LandError:
            raise
        except Exception as error:
            raise PluginError(f"the {kind} {name!r} could not be made: {_reason(error)}", where=place) from error
        _check_class(offer, made, place)
        return made

    def describe(self) -> list[Row]:
        """One row for each registered name, then one for each plugin that failed."""
        rows = [
            Row(kind, o.name, o.plugin, o.distribution, o.version, o.option_text, o.summary)
            for kind, offers in self._offers.items()
            for o in sorted(offers.values(), key=lambda o: o.name)
        ]
        return rows + [
            Row("failed", "", f.source.plugin, f.source.distribution, f.source.version, "", f.reason)
            for f in self.failures
        ]


def load_plugins(allow: Sequence[str] | None = None) -> Plugins:
    """Load the installed plugins.

    Parameters
    ----------
    allow:
        Distributions that may add plugins, besides our own; ``None`` allows all. The code of others is not imported.

    Raises
    ------
    PluginError
        Two plugins register the same name (the error names both), or an allowed distribution has no plugin.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    offers: dict[tuple[Kind, str], Offer] = {}
    failures: list[Failure] = []
    collectors: list[Collector] = []
    for source in _sources(allow):
        try:
            collector = _load(manager, source)
        except (Exception, SystemExit) as error:
            failures.append(Failure(source, _reason(error)))
            _log.warning("not used: %s", failures[-1])
            continue
        collectors.append(collector)
        for offer in collector.offers:
            first = offers.setdefault((offer.kind, offer.name), offer)
            if first is not offer:
                raise PluginError(
                    f"two plugins offer the {offer.kind} {offer.name!r}",
                    expected="one owner of each name",
                    found=f"{first.source}, and {source}",
                    remedy="uninstall one of them, or list the distributions you want in `plugins.allow`",
                )
    plugins = Plugins(manager, offers.values(), failures)
    for collector in collectors:
        collector.create = plugins.create
    return plugins


def _sources(allow: Sequence[str] | None) -> list[PluginSource]:
    """The allowed entry points of our group, sorted by distribution and name."""
    found = []
    for entry in metadata.entry_points(group=GROUP):
        assert entry.dist is not None  # entry points of an installed environment have one
        found.append(PluginSource(entry.name, entry.value, entry.dist.name, entry.dist.version))
    found.sort(key=lambda s: (_normal(s.distribution), s.plugin))
    if allow is None:
        return found
    installed = {_normal(s.distribution) for s in found}
    for name in allow:
        if _normal(name) not in installed:
            raise PluginError(
                "an allowed distribution offers no plugin, or is not installed",
                found=name,
                where="plugins.allow",
                remedy=nearest(name, {s.distribution for s in found}),
            )
    allowed = {OWN_DISTRIBUTION, *map(_normal, allow)}
    return [s for s in found if _normal(s.distribution) in allowed]


def _normal(name: str) -> str:
    """The normalised name of a distribution (PyPA specification "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _load(manager: pluggy.PluginManager, source: PluginSource) -> Collector:
    """Import a plugin, register its hooks and collect its offers. If this fails, none of its hooks stay registered."""
    module = metadata.EntryPoint(source.plugin, source.module, GROUP).load()
    if not isinstance(module, ModuleType):
        raise PluginError("an entry point must name a module with hooks", found=source.module)
    if manager.is_registered(module):
        raise PluginError("another entry point names the same module", found=source.module)
    collector = Collector(source)
    try:
        _check_marks(manager, module)
        manager.register(module, f"{source.distribution}:{source.plugin}")
        _check_hooks(manager, module)
        others = [plugin for plugin in manager.get_plugins() if plugin is not module]
        manager.subset_hook_caller("ai4land_register", others)(registry=collector)
    except BaseException:
        if manager.is_registered(module):
            manager.unregister(module)
        raise
    return collector


def _check_marks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """Refuse a hook without the decorator ``hookimpl``: pluggy would ignore it without an error."""
    for name, value in vars(module).items():
        if name in HOOKS and callable(value) and manager.parse_hookimpl_opts(module, name) is None:
            raise PluginError(
                f"function {name!r} is not marked as a hook", remedy="decorate it with ai4land_coupler.api.hookimpl"
            )


def _check_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    callers = manager.get_hookcallers(module) or []
    if not callers:
        raise PluginError("the module has no hook", expected=f"one of {', '.join(HOOKS)}", found=module.__name__)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        wrong = next(caller.name for caller in callers if not caller.has_spec())
        raise PluginError(f"there is no hook {wrong!r}", remedy=nearest(wrong, HOOKS)) from None


def _check_class(offer: Offer, made: object, where: str) -> None:
    base = _BASES[offer.kind]
    if not isinstance(made, base):
        raise PluginError(
            f"the {offer.kind} {offer.name!r} is not a {base.__name__}",
            expected=f"an instance of ai4land_coupler.api.{base.__name__}",
            found=type(made).__name__,
            where=where,
            remedy=f"derive its class from ai4land_coupler.api.{base.__name__}",
        )
    if isinstance(made, Predictor) and not isinstance(getattr(made, "spec", None), PredictorSpec):
        found = type(made.spec).__name__ if hasattr(made, "spec") else "no spec"
        raise PluginError(f"the spec of predictor {offer.name!r} is not a PredictorSpec", found=found, where=where)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, Ai4LandError) else f"{type(error).__name__}: {error}"

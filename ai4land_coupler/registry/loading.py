"""Finds plugins through entry points and makes what a configuration names.

pluggy's own loader stops at the first plugin that fails and takes entry points in the order in which the
file system lists them. This one sorts by distribution and name, so that every rank and machine sees the same
order, isolates what fails, and tells why when a name is not found.
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
#: Our own distribution is always allowed: its code runs already.
OWN_DISTRIBUTION = "ai4land-coupler"

HOOKS = tuple(sorted(name for name in vars(HookSpecs) if name.startswith("ai4land_")))

#: The base class of what a factory must return.
_BASES: dict[Kind, type] = {"predictor": Predictor, "trainer": Trainer, "adapter": DataAdapter, "regridder": Regridder}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One line of ``ai4land plugins``. ``kind`` is ``failed`` for a plugin that could not be used."""

    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    options: str
    summary: str


class Plugins:
    """What the installed plugins offer. Made by :func:`load_plugins`."""

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
        """The offer of a name.

        Raises
        ------
        PluginError
            Where there is none: offers the nearest name, and tells which plugins failed, as one of them
            may have offered it.
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
        """Make the predictor, trainer, adapter or regridder that a configuration names.

        Parameters
        ----------
        kind, name:
            What is wanted.
        options:
            As the configuration has them; validated with the model that the plugin registered.
        where:
            The place in the configuration, for messages (``run.yaml: predictors[0]``).
        base:
            Folder of the configuration, that relative paths start from; by default the working folder.

        Raises
        ------
        ConfigError
            Options that do not fit, naming the key and the nearest right one.
        PluginError
            Unknown name, a factory that fails, or a result of another class than its kind's.
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
        """One row for each name on offer, then one for each plugin that failed."""
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
    """Load the plugins that are installed.

    Parameters
    ----------
    allow:
        Distributions that may add plugins, beside our own; ``None`` allows all. No code of others is imported.

    Raises
    ------
    PluginError
        Two plugins that own one name (naming both), or an allowed distribution that offers no plugin.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    offers: dict[tuple[Kind, str], Offer] = {}
    failures: list[Failure] = []
    for source in _sources(allow):
        try:
            added = _load(manager, source)
        except (Exception, SystemExit) as error:
            failures.append(Failure(source, _reason(error)))
            _log.warning("not used: %s", failures[-1])
            continue
        for offer in added:
            first = offers.setdefault((offer.kind, offer.name), offer)
            if first is not offer:
                raise PluginError(
                    f"two plugins offer the {offer.kind} {offer.name!r}",
                    expected="one owner of each name",
                    found=f"{first.source}, and {source}",
                    remedy="uninstall one of them, or list the distributions you want in `plugins.allow`",
                )
    return Plugins(manager, offers.values(), failures)


def _sources(allow: Sequence[str] | None) -> list[PluginSource]:
    """The entry points of our group that may be imported, sorted by distribution and name."""
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
    """A distribution's name as packaging compares it (PyPA specification "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _load(manager: pluggy.PluginManager, source: PluginSource) -> list[Offer]:
    """Import one plugin, register its hooks and collect its offers; a plugin that fails leaves nothing behind."""
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
    return collector.offers


def _check_marks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """Refuse a hook without its mark: pluggy would pass over it in silence."""
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

"""Check that all ranks of a run have the same configuration, software and inputs.

Ranks on other nodes can read a stale copy of the configuration, or have another version of a plugin. They would then
compute different parts of one map in different ways, or wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ai4land_coupler.config.leaves import files_of, leaves
from ai4land_coupler.config.sections import Config
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.parallel.same import describe, differences
from ai4land_coupler.registry.offers import Kind
from ai4land_coupler.store.contents import contents
from ai4land_coupler.version import __version__

#: Settings that may differ between ranks: nothing depends on them. Paths may differ too, if their files are the same.
MAY_DIFFER_BETWEEN_RANKS = frozenset({"title"})


def refuse_different_configurations(config: Config, where: str | None, comm: Communicator) -> None:
    """Refuse to run if ranks have different settings. Collective.

    Parameters
    ----------
    where:
        The configuration file of this rank, for the message.

    Raises
    ------
    ConfigError
        On every rank, with each key, its values and their ranks.
    """
    with comm.guard():
        settings = {key: value for key, value in leaves(config).items() if key not in MAY_DIFFER_BETWEEN_RANKS}
        files = {key: paths for key, value in settings.items() if (paths := files_of(config, value))}
        facts = settings | {key: _paths_and_sizes(paths) for key, paths in files.items()}
    found = differences(facts, comm)
    if not found:
        return
    with comm.guard():  # paths differ on a node with its own copies of the inputs
        texts = {key: settings[key] for key in found if key in settings}
        digests = {key: sorted(contents(files[key]).values()) for key in found if key in files}
    by_content = differences(texts | digests, comm)
    with comm.guard():
        if by_content:
            raise ConfigError(
                "the ranks of this run have different configurations",
                expected="the same value of each key on all ranks",
                found=describe({key: found[key] for key in by_content}),
                where=where,
                remedy="give all ranks the same configuration file, and the same environment variables that it uses",
            )


def _paths_and_sizes(paths: Iterable[Path]) -> str:
    return ", ".join(str(path) if path.is_dir() else f"{path} ({path.stat().st_size} bytes)" for path in paths)


def refuse_different_parts(setup: LandSetup, restart: dict[str, Any], comm: Communicator) -> None:
    """Refuse to run if ranks have different software, weights of predictors, grids or restarts. Collective.

    Parameters
    ----------
    restart:
        What identifies the restart that this rank opened; {} if there is none.

    Raises
    ------
    ConfigError
        On every rank, with each difference and its ranks.
    """
    with comm.guard():
        facts = _facts_of(setup) | restart
    found = differences(facts, comm)
    with comm.guard():
        if found:
            raise ConfigError(
                "the ranks of this run differ in their software or inputs",
                expected="the same on all ranks",
                found=describe(found),
                remedy="install the same versions for all ranks, and give them the same files",
            )


def _facts_of(setup: LandSetup) -> dict[str, Any]:
    config, plugins = setup.config, setup.plugins
    facts: dict[str, Any] = {
        "version of ai4land_coupler": __version__,
        "land grid": setup.grid.hash,
        "block plan": setup.plan.hash,
        "years of the run": [setup.clock.start, setup.clock.stop, setup.clock.step],
        "regridding backend": setup.regrid_backend,
    }
    for entry in setup.predictors:
        facts[f"weights of predictor {entry.name!r}"] = entry.identity
    used: set[tuple[Kind, str]] = {("predictor", choice.name) for choice in config.predictors}
    adapters = (config.initial, *config.forcing, *config.static, *config.climate)
    used |= {("adapter", choice.name) for choice in adapters}
    for kind, name in sorted(used):
        source = plugins.find(kind, name).source
        facts[f"plugin of {kind} {name!r}"] = f"{source.distribution} {source.version}"
    for name, path in setup.input_files().items():
        if path.is_file():  # names without folders, because a node can have its own copies
            facts[f"size of {Path(name).name}"] = path.stat().st_size
    return facts

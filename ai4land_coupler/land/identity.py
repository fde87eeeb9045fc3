"""What identifies a run: a restart continues only a run with the same settings and inputs.

Inputs are identified by their content, so that a run can move to another folder or machine. Settings that change no
results are left out: output, hosts, the last year, the number of ranks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ai4land_coupler.config.leaves import files_of, leaves
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.store.contents import contents
from ai4land_coupler.store.provenance import instruction_set
from ai4land_coupler.store.restart import MAY_DIFFER, Restart, check_compatible

#: What must be the same in a restart and in a run that branches from it. Scenario, seed and years may differ.
BRANCH_KEEPS = ("grid", "legend", "block_plan", "predictors", "regrid_backend", "threads", "instruction_set")
#: Settings that change no results, by the start of their key. The seed, the backend and the threads are compared by
#: entries of their own.
_FREE = (
    "title",
    "output",
    "restart",
    "hosts",
    "exports",
    "plugins",
    "time.stop",
    "parallel.workers",
    "parallel.threads",
    "parallel.memory",
    "regrid.backend",
    "regrid.cache",
    "random",
)
#: Settings that decide whether a run stops at faulty inputs; differences are reported.
_REPORTED = ("quality",)
#: Sections whose adapters say which files they read.
_ADAPTERS = ("initial", "forcing", "static")
_NONE = "(none)"


def identity(setup: LandSetup) -> dict[str, Any]:
    """The attributes of a restart that a continuing run is compared with, plain JSON. Reads all inputs once.

    ``settings``: each setting by its key. ``inputs``: the files of each adapter, and of each other setting that names
    files, by name with size and digest.
    """
    config = setup.config
    settings, inputs = {}, {}
    for key, value in leaves(config).items():
        if _starts(key, _FREE):
            continue
        files = files_of(config, value)
        if not files:
            settings[key] = value
        elif not _starts(key, _ADAPTERS):
            inputs[key] = contents(files)
    initial = setup.initial.input_files([setup.initial_year, *setup.earlier_years])
    inputs["initial"] = contents(initial.values())
    for section, catalogue in (("forcing", setup.forcing), ("static", setup.static)):
        for number, entry in enumerate(catalogue.adapters):
            inputs[f"{section}[{number}]"] = contents(entry.input_files().values())
    cores = {"cores": setup.cores} if setup.cores == "land" else {}  # as older versions, where it is as there
    return {
        "grid": setup.grid.hash,
        "legend": setup.legend.name,
        "block_plan": setup.plan.hash,
        **cores,
        "predictors": [entry.identity for entry in setup.predictors],
        "settings": settings,
        "inputs": inputs,
        "seed": config.random.seed,
        "member": config.random.member,
        "regrid_backend": setup.regrid_backend,
        "threads": config.parallel.threads,
        "instruction_set": instruction_set(),
    }


def compare_with_restart(
    restart: Restart, setup: LandSetup, own: Mapping[str, Any], *, branch: bool = False
) -> list[str]:
    """Refuse a restart of another run.

    Parameters
    ----------
    own:
        The :func:`identity` of this run.
    branch:
        Whether the run branches off. Only ``BRANCH_KEEPS`` must then be the same.

    Returns
    -------
    A warning for each harmless difference.

    Raises
    ------
    ConfigError
        The error names each setting and each file that differs, with both values.
    """
    attrs = restart.attrs
    if branch:
        return check_compatible(attrs, {key: own[key] for key in BRANCH_KEEPS})
    here = {key: value for key, value in own.items() if key not in ("settings", "inputs")}
    there = {key: attrs[key] for key in here if key in attrs}
    if "settings" in attrs:
        settings, kept = own["settings"], attrs["settings"]
        changed = leaves(setup.config, changed_only=True)
        for key in sorted({*settings, *kept}):
            if key in kept or key in changed:  # a key of a later version with its default changes nothing
                here[key], there[key] = settings.get(key, _NONE), kept.get(key, _NONE)
        for key in sorted({*own["inputs"], *attrs["inputs"]}):
            texts = _other_files(own["inputs"].get(key, {}), attrs["inputs"].get(key, {}))
            if texts is not None:
                here[f"files of {key}"], there[f"files of {key}"] = texts
    else:  # an older version stored a digest of the whole configuration, with its paths
        here["configuration"] = setup.config.digest_with(threads=attrs.get("threads"))
        there["configuration"] = attrs.get("configuration", _NONE)
    reported = {key for key in here if _starts(key, _REPORTED) or _only_later_years(key, here, there)}
    return check_compatible(there, here, MAY_DIFFER | reported)


def _only_later_years(key: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether a setting only says what happens after the last year of a forcing, where the other run had to stop."""
    match = re.match(r"(forcing\[\d+\])\.(beyond|repeat)\b", key)
    if match is None:
        return False
    beyond, repeat = f"{match[1]}.beyond", f"{match[1]}.repeat"
    had_none = there.get(beyond, _NONE) in (_NONE, "stop") and there.get(f"{repeat}.first", _NONE) == _NONE
    return had_none and here.get(beyond, "stop") != "stop"


def _other_files(here: Mapping[str, str], there: Mapping[str, str]) -> tuple[str, str] | None:
    """The files that differ, as texts; ``None`` if all files are the same.

    Files of one name must be the same. A data set may get further files, for example of later years. Files may get
    other names.
    """
    if sorted(here.values()) == sorted(there.values()):
        return None
    common = here.keys() & there.keys()
    differing = sorted(name for name in common if here[name] != there[name])
    if common and not differing:
        return None
    names = differing or sorted({*here, *there})
    return _texts(here, names), _texts(there, names)


def _texts(files: Mapping[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} ({files[name]})" for name in names if name in files) or _NONE


def _starts(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith((f"{prefix}.", f"{prefix}[")) for prefix in prefixes)

"""The backend ``auto``: the regridding library that is installed on this machine."""

from __future__ import annotations

from typing import Any

from ai4land_coupler.errors import ConfigError
from ai4land_coupler.regrid.backends import esmf_runtime

AUTO = "auto"


def resolve(backend: str, ranks: int) -> str:
    """The registered name of the backend that a configuration names, on this number of ranks.

    Returns ``esmf`` for ``auto`` if ESMF can be used, else ``yac``. Other names are returned unchanged. Imports
    nothing.
    """
    if backend != AUTO:
        return backend
    return "yac" if esmf_runtime.missing(ranks) else "esmf"


def check_same(backend: str, comm: Any) -> None:
    """Refuse to run if ranks would use different backends, because different software is installed. Collective.

    Raises
    ------
    ConfigError
        On every rank.
    """
    found = [backend] if comm is None else comm.allgather(backend)
    if len(set(found)) > 1:
        raise ConfigError(
            "ranks found different regridding backends",
            expected="one backend, installed alike for all ranks",
            found="; ".join(f"{name} on {found.count(name)} ranks" for name in sorted(set(found))),
            where=f"regrid.backend: {AUTO}",
            remedy="name the backend: esmf or yac",
        )

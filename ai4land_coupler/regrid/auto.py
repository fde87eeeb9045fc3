"""The backend ``auto``: whichever regridding library this machine has."""

from __future__ import annotations

from typing import Any

from ai4land_coupler.errors import ConfigError
from ai4land_coupler.regrid.backends import esmf_runtime

AUTO = "auto"


def resolve(backend: str, ranks: int) -> str:
    """The registered name of the backend that a configuration names, on so many ranks.

    ``auto`` is ``esmf`` where ESMF can be used, else ``yac``; every other name is its own. Nothing is imported.
    """
    if backend != AUTO:
        return backend
    return "yac" if esmf_runtime.missing(ranks) else "esmf"


def check_same(backend: str, comm: Any) -> None:
    """Refuse ranks that would use different backends, as machines of different software do. Collective.

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

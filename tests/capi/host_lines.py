"""Types that the tests of the C interface share."""

from __future__ import annotations

import site
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Line:
    """The line that a host printed for one call."""

    rank: int
    call: str
    code: int
    text: str


@dataclass(frozen=True)
class Mpi:
    """A compiler wrapper and the launcher of the same MPI."""

    compiler: str
    launcher: str


def packages_of(*more: Path) -> str:
    """Python code that adds this environment's packages and other folders to another environment."""
    return "; ".join(f"site.addsitedir({str(path)!r})" for path in (*site.getsitepackages(), *more))

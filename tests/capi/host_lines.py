"""What the tests of the C door hand around."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Line:
    """What a host printed about one call."""

    rank: int
    call: str
    code: int
    text: str


@dataclass(frozen=True)
class Mpi:
    """A compiler wrapper and the launcher of the same MPI."""

    compiler: str
    launcher: str

"""Errors that a user can act on.

Every failure a user can cause is an :class:`Ai4LandError`. Its message says what was expected, what was
found, where, and what to do; the command line turns it into an exit code, the C door into a return code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Ai4LandError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what:
        One sentence that says what is wrong.
    expected, found:
        The two sides of the disagreement.
    where:
        File, variable, year, plugin: the place to look at.
    remedy:
        What the user can do about it.
    """

    #: Exit code of the command line: 1 failed while running, 2 bad input.
    exit_code = 1
    #: Return code of the C and Fortran doors (``A4L_ERR_*`` of ``a4l.h``).
    host_code = 1

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        where: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.where = where
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        for label, value in (
            ("expected", self.expected),
            ("found", self.found),
            ("where", self.where),
            ("what to do", self.remedy),
        ):
            if value is not None:
                lines.append(f"  {label}: {value}")
        return "\n".join(lines)


class ConfigError(Ai4LandError):
    """The configuration cannot be used."""

    exit_code = 2
    host_code = 2


class FieldError(Ai4LandError):
    """A field has the wrong name, units, shape or values."""

    exit_code = 2
    host_code = 3


class StateError(Ai4LandError):
    """A call came in the wrong order, or on a component that is gone."""

    host_code = 4


class TimeError(Ai4LandError):
    """A year is outside of what the run or a data set covers."""

    exit_code = 2
    host_code = 5


class GridError(Ai4LandError):
    """A grid is malformed, or two grids do not fit."""

    exit_code = 2
    host_code = 6


class DataError(Ai4LandError):
    """An input file is missing, unreadable or holds wrong values."""

    exit_code = 2
    host_code = 7


class PluginError(Ai4LandError):
    """A plugin is unknown, ambiguous, broken or broke its contract."""

    exit_code = 2
    host_code = 8


class RunError(Ai4LandError):
    """Something failed while a run was under way."""

    host_code = 9


class MPIError(Ai4LandError):
    """The MPI library of the host and that of Python do not fit."""

    host_code = 91


class RemoteError(Ai4LandError):
    """Another rank failed; every rank of the communicator gets this error instead of hanging."""

    host_code = 92


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the known names closest to a misspelt one."""
    choices = sorted(known)
    close = [choice for choice in choices if choice.startswith(name)] if name else []
    close = close or difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}? Known: {', '.join(choices)}"
    return f"known: {', '.join(choices) if choices else 'none'}"

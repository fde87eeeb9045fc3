"""Errors with messages that help the user to correct the cause.

Every failure that a user can cause is an :class:`Ai4LandError`. Its message says what was expected, what was
found, where, and what to do. The command line converts it to an exit code, the C interface to a return code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Ai4LandError(Exception):
    """Base class of all intended errors.

    Parameters
    ----------
    what:
        One sentence that says what is wrong.
    expected, found:
        The expected and the actual value.
    where:
        File, variable, year or plugin that has the fault.
    remedy:
        What the user can do about it.
    """

    #: Exit code of the command line: 1 for a failure during a run, 2 for bad input.
    exit_code = 1
    #: Return code of the C and Fortran interfaces (``A4L_ERR_*`` of ``a4l.h``).
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
    """A call was made in the wrong order, or on a component that no longer exists."""

    host_code = 4


class TimeError(Ai4LandError):
    """A year or date is invalid, or outside the years of the run or of a data set."""

    exit_code = 2
    host_code = 5


class GridError(Ai4LandError):
    """A grid is malformed, or two grids do not match."""

    exit_code = 2
    host_code = 6


class DataError(Ai4LandError):
    """An input file is missing, unreadable or has wrong values."""

    exit_code = 2
    host_code = 7


class PluginError(Ai4LandError):
    """A plugin is unknown, ambiguous or faulty, or did not return what it declared."""

    exit_code = 2
    host_code = 8


class RunError(Ai4LandError):
    """An operation failed during a run."""

    host_code = 9


class MPIError(Ai4LandError):
    """The MPI libraries of the host and of Python do not match."""

    host_code = 91


class RemoteError(Ai4LandError):
    """Another rank failed. Every rank of the communicator gets this error, so that no rank waits forever."""

    host_code = 92


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the known names most similar to a misspelt name."""
    choices = sorted(known)
    close = [choice for choice in choices if choice.startswith(name)] if name else []
    close = close or difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}? Known: {', '.join(choices)}"
    return f"known: {', '.join(choices) if choices else 'none'}"

"""Errors that a user can correct.

Every failure that a user can cause is an :class:`Ai4LandError`. Its message says what was expected, what was found,
where, and what to do. The command line turns it into an exit code, the C interface into a return code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Ai4LandError(Exception):
    """Base class of all errors that the component raises itself.

    Parameters
    ----------
    what:
        One sentence that says what is wrong.
    expected, found:
        What was expected, and what was found instead.
    where:
        The place of the fault: file, variable, year, plugin.
    remedy:
        What the user can do.
    """

    #: Exit code of the command line: 1 for a failure during the run, 2 for bad input.
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
    """A call came in the wrong order, or after the component was finalized."""

    host_code = 4


class TimeError(Ai4LandError):
    """A year is outside the years of the run or of a data set."""

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
    """A plugin is unknown, ambiguous or broken, or does not keep to the interface."""

    exit_code = 2
    host_code = 8


class RunError(Ai4LandError):
    """A run failed."""

    host_code = 9


class MPIError(Ai4LandError):
    """The host and Python use different MPI libraries."""

    host_code = 91


class RemoteError(Ai4LandError):
    """Another rank failed. All ranks of the communicator get this error, so that none of them waits for ever."""

    host_code = 92


def nearest(name: str, known: Iterable[str]) -> str:
    """A text that suggests the known name that is closest to a misspelt one."""
    choices = sorted(known)
    close = [choice for choice in choices if choice.startswith(name)] if name else []
    close = close or difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}? Known: {', '.join(choices)}"
    return f"known: {', '.join(choices) if choices else 'none'}"

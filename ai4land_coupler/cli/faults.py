"""Messages for errors that no part of the component has raised itself: memory, disk, faults of the program."""

from __future__ import annotations

import errno
import tempfile
import traceback
from pathlib import Path

from ai4land_coupler.errors import Ai4LandError, RunError
from ai4land_coupler.files.memory import free_memory


def as_message(error: Exception) -> Ai4LandError:
    """An error with what happened, where, and what to do. The traceback goes into a file, which the error names."""
    if isinstance(error, MemoryError):
        return RunError(
            "the memory is not enough",
            expected=f"at most {free_memory() / 1e9:.1f} GB, which are free on this machine",
            found=str(error) or "no size was told",
            where=_place(error),
            remedy="use a machine with more memory, fewer ranks or workers on this one, or a smaller grid or region",
        )
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return RunError(
            "a file cannot be read or written",
            found=f"{type(error).__name__}: {error.strerror or error}",
            where=error.filename or _place(error),
            remedy="free space or raise the quota" if full else "check the file, its folder and the access rights",
        )
    return RunError(
        "an error inside ai4land",
        found=f"{type(error).__name__}: {error}",
        where=_place(error),
        remedy=f"please report it, with {_kept(error)}",
    )


def _place(error: Exception) -> str:
    """The last line of our own code, or else of any code, that the error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(part.startswith("ai4land_") for part in Path(frame.filename).parts)]
    own = own or list(frames)
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else "unknown"


def _kept(error: Exception) -> str:
    """Write the traceback to a file; the name of the file, or how else to see it."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="ai4land-", suffix=".log", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return "what ai4land --debug prints"
    return f"the file {file.name}"

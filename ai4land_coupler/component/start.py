"""How a run starts: checks of what the caller asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ai4land_coupler.config.sections import Config
from ai4land_coupler.errors import ConfigError

#: A run starts from the initial map, continues its own restart, or branches off from the restart of another run.
Start = Literal["startup", "continue", "branch"]


def check_start(start: Start | None, restart: str | Path | None) -> Start:
    """How a run starts; an error if this does not fit the restart that was given."""
    found: Start = start or ("startup" if restart is None else "continue")
    if found not in ("startup", "continue", "branch"):
        raise ConfigError("there is no such way to start", expected="startup, continue or branch", found=found)
    if (found == "startup") != (restart is None):
        raise ConfigError(
            f"a {found} run {'takes no' if found == 'startup' else 'needs a'} restart",
            found="none" if restart is None else restart,
        )
    return found


def refuse_backward(config: Config) -> None:
    """Refuse a run that goes back in time: a host's time goes forward."""
    time = config.time
    if time.stop < time.start:
        raise ConfigError(
            "a host cannot run backward in time",
            found=f"time.start {time.start}, time.stop {time.stop}",
            remedy="run the reconstruction offline (ai4land run), and replay its maps in the host",
        )

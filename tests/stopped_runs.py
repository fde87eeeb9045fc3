"""Runs that stop in the middle."""

from __future__ import annotations

import pytest

from ai4land_coupler import Simulation
from ai4land_coupler.config.sections import Config


class Stop(Exception):
    """Stops a run after a year."""


def run_until(config: Config, year: int, restart: bool = False) -> None:
    """Run, or continue a run, and stop when a year is committed."""

    def stop(done: int, total: int, now: int) -> None:
        if now == year:
            raise Stop

    with pytest.raises(Stop):
        Simulation(config, progress=stop).run(restart=restart)

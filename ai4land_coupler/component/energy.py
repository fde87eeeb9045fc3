"""Energy counters of the processors (RAPL), where the system lets a user read them.

Format: https://www.kernel.org/doc/html/latest/power/powercap/powercap.html
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/sys/class/powercap")


class EnergyCounters:
    """Adds up the energy of all processors of this node since it was made.

    Attributes
    ----------
    joules:
        ``None`` if no counter can be read.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        # One zone for each processor: intel-rapl:0. Zones with a second colon are parts of it; AMD has the same names.
        zones = sorted(zone for zone in folder.glob("intel-rapl:*") if zone.name.count(":") == 1)
        self._last = {zone: value for zone in zones if (value := _read(zone / "energy_uj")) is not None}
        self.joules = 0.0 if self._last else None

    def sample(self) -> None:
        """Add what was used since the last call. A counter that is below its last value has started from 0 again."""
        if self.joules is None:
            return
        for zone, last in self._last.items():
            value, limit = _read(zone / "energy_uj"), _read(zone / "max_energy_range_uj")
            if value is None or (value < last and limit is None):
                self.joules = None
                return
            self.joules += (value - last + (limit or 0 if value < last else 0)) / 1e6
            self._last[zone] = value


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None

"""A small component with the interface of LandComponent, whose faults the tests choose.

The tests of the C interface start Python in a separate environment, whose start-up replaces LandComponent by this
class. A component that works cannot produce the faults that the C interface must survive.
The configuration is a text file of ``fault=rank`` words.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ai4land_coupler.errors import ConfigError, FieldError, StateError, TimeError, nearest
from ai4land_coupler.parallel import Communicator

TYPES = ("forest", "cropland")


class SmallComponent:
    def __init__(self, config, comm=None):
        self.comm = Communicator(comm)
        with self.comm.guard():
            if not Path(config).is_file():
                raise ConfigError("the configuration does not exist", found=config, remedy="check the path")
            words = Path(config).read_text().split()
        self.faults = {word for word, rank in (w.split("=") for w in words) if int(rank) == self.comm.rank}
        self.mesh = None
        self.temperature = None

    config = SimpleNamespace(exports=SimpleNamespace(lookahead=True))

    def initialize(self, restart=None, restart_year=None, start=None):
        self.year = 2000 if restart is None else 2020 if start == "branch" else 2010
        if restart_year is not None:
            self.year += restart_year
        self.date = (self.year, 1, 1, 0.0)
        self.calendar, self.step_count, self.surface, self.land = "standard", 0, None, None

    def set_calendar(self, calendar):
        if calendar not in ("standard", "360_day"):
            raise TimeError("no calendar has this name", found=calendar, remedy=nearest(calendar, ["360_day"]))
        self.calendar = calendar

    def set_surface(self, name, values):
        self.surface = values

    def set_land_fraction(self, values):
        self.land = values

    @property
    def next_year(self):
        """The run ends in 2005."""
        return None if self.year >= 2005 else self.year + 1

    def set_grid(self, mesh):
        self.mesh = mesh

    def set_named_grid(self, name):
        raise ConfigError("no host grid of this name", found=name, remedy=nearest(name, ["T42"]))

    @property
    def cell_count(self):
        if self.mesh is None:
            raise StateError("no grid has been set")
        return self.mesh.size

    def realize(self):
        self.comm.allgather(None)

    def run_date(self, year, month=1, day=1, seconds=0.0):
        until = (year, month, day, seconds)
        if until < self.date:
            raise TimeError("the year lies in the past", expected=f"{self.year} or later", found=year)
        if day > 31 - (self.calendar == "360_day"):
            raise TimeError("no such date in this calendar", expected=self.calendar, found=until)
        if year > self.year:
            with self.comm.guard():
                self.misbehave()
            self.year, self.step_count = year, self.step_count + 1
        self.date = until

    def misbehave(self):
        if "import" in self.faults:
            raise FieldError("import 'air_temperature' has impossible values")
        if "raise" in self.faults:
            raise ZeroDivisionError("deep inside a predictor")
        if "exit" in self.faults:
            sys.exit(7)
        if "print" in self.faults:
            print("0 (Python) 0")
        if "unprintable" in self.faults:
            raise type("Unprintable", (Exception,), {"__str__": lambda self: 1 / 0})
        if "nul" in self.faults:
            raise ConfigError("a zero \0 byte")
        if "long" in self.faults:
            raise ConfigError("x" * 100_000)
        if "numbers" in self.faults:
            with np.errstate(all="ignore"):
                np.log(np.array([-1.0, 0.0])) / np.zeros(2)
                np.array([1e308]) * np.array([1e308])

    def exports(self):
        return {
            "landCoverFrac": SimpleNamespace(name="landCoverFrac", units="1", types=TYPES),
            "lai": SimpleNamespace(name="lai", units="m2 m-2", types=()),
            "third": SimpleNamespace(name="third", units="1", types=()),
            "temperature": SimpleNamespace(name="temperature", units="K", types=()),
            "surface": SimpleNamespace(name="surface", units="1", types=TYPES),
            "land": SimpleNamespace(name="land", units="1", types=()),
            "corners": SimpleNamespace(name="corners", units="1", types=()),
        }

    def imports(self):
        return {"air_temperature": SimpleNamespace(name="air_temperature", units="K")}

    def export(self, name, at=None):  # noqa: PLR0911
        if at is not None and self.next_year is None:
            raise TimeError("there is no next state")
        if at == "next":
            return self.export(name) + 1000
        if at is not None:  # months count as twelfths
            return self.export(name) + 1000 * ((at[0] - self.year) + (at[1] - 1) / 12)
        if name not in self.exports():
            raise FieldError("no export field has this name", found=name, remedy=nearest(name, self.exports()))
        cells = self.cell_count
        if name == "landCoverFrac":
            return np.arange(len(TYPES) * cells, dtype=float).reshape(len(TYPES), cells)
        if name == "third":  # 1e16 / 3 depends on the rounding mode; so does the printed remainder
            return np.full(cells, 1e16) / 3 - 3333333333333333.0
        if name == "temperature":
            return self.temperature.reshape(-1, cells).mean(axis=0)
        if name == "surface":
            return self.surface
        if name == "land":
            return self.land
        if name == "corners":
            return np.isfinite(self.mesh.corner_lon).sum(axis=1) * np.where(self.mesh.mask, 1.0, -1.0)
        return self.mesh.cell_ids + self.year / 10000

    def import_(self, name, values, at=None, units=None):
        if name != "air_temperature":
            raise FieldError("no import field has this name", found=name, remedy=nearest(name, ["air_temperature"]))
        if np.shape(values)[-1] != self.cell_count:
            raise FieldError("wrong size", expected=f"{self.cell_count} values", found=np.shape(values)[-1])
        values = values if units in (None, "K") else values + 273.15
        # a mean that ends at a date: the values contain the date
        self.temperature = values if at is None else values + at[0] + at[1] / 100 + at[2] / 10000 + at[3] / 86400 / 1e6

    def write_restart(self, path):
        Path(path).write_text(str(self.year))

    def finalize(self):
        self.comm.free()

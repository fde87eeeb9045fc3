"""Imports on several ranks, and in restarts within a year."""

from __future__ import annotations

from pathlib import Path

import needs
import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE, PHENOLOGY, Raw, config_of, realized
from ranks import mpirun

from ai4land_coupler import LandComponent
from ai4land_coupler.errors import GridError, TimeError
from ai4land_coupler.host.restart import _import_of, _record_name

needs.yac()

NAME = "air_temperature"


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    return {**twin_config, "predictors": [PHENOLOGY, PERSISTENCE]}


HOST = """
import sys
import numpy as np
from mpi4py import MPI
from ai4land_coupler import LandComponent

comm = MPI.COMM_WORLD
config, folder, restart, out = sys.argv[1:5]
land = LandComponent(config, comm)
land.set_calendar("noleap")
land.initialize(folder if restart == "yes" else None)
land.set_named_grid("host")
land.realize()
ids = land.hosts["host"].mesh.cell_ids
print(f"<{comm.rank}> begins {land.date}", flush=True)
days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
for year in (2015, 2016):
    for month, length in enumerate(days, 1):
        for day in range(1, length + 1):
            date = (year, month, day + 1, 0) if day < length else (year + month // 12, month % 12 + 1, 1, 0)
            if date <= land.date:
                continue
            number = (year * 372 + month * 31 + day) % 97
            land.import_("air_temperature", 270.0 + (ids * 7919 + number * 31) % 40 + 1 / 3, at=date)
            land.run(date)
            if restart == "no" and date == (2016, 6, 20, 0):
                land.write_restart(folder)
                land.write_restart(folder)  # over itself
print(f"<{comm.rank}> ends {land.date} {land.year}", flush=True)
fields = comm.gather({name: land.export(name) for name in ("lai", "land_cover_fraction", "land_cover_transition")})
if comm.rank == 0:
    np.savez(out, **{name: np.concatenate([part[name] for part in fields], axis=-1) for name in fields[0]})
"""


@pytest.mark.mpi
@pytest.mark.parametrize("fewer", [2, pytest.param(1, marks=pytest.mark.soak)])
def test_a_restart_in_the_middle_of_a_year_on_other_ranks(raw: Raw, tmp_path: Path, fewer: int) -> None:
    """Three ranks write it on 20 June; a run on fewer ranks continues it, and equals the whole run bit for bit."""
    path, program = tmp_path / "run.yaml", tmp_path / "host.py"
    path.write_text(yaml.safe_dump({**raw, "exports": {"transitions": True}}))
    program.write_text(HOST)
    for ranks, restart in ((3, "no"), (fewer, "yes")):
        done = mpirun(ranks, program, path, tmp_path / "restart", restart, tmp_path / f"{ranks}.npz")
        assert done.returncode == 0, done.stdout + done.stderr
        begin = "2016-06-20" if restart == "yes" else "2015"
        assert done.stdout.count(f"begins {begin}") == ranks, done.stdout
        assert done.stdout.count("ends 2017 2017") == ranks
    whole, other = (np.load(tmp_path / f"{ranks}.npz") for ranks in (3, fewer))
    assert np.nanmax(whole["lai"]) > 1
    for name in whole.files:
        np.testing.assert_array_equal(other[name], whole[name], err_msg=name)


@pytest.mark.parametrize(
    ("record", "field", "month"),
    [
        ("import air_temperature", "air_temperature", None),
        ("import air_temperature 2015-3", "air_temperature", (2015, 3)),
        ("import soil water 850-12", "soil water", (850, 12)),
    ],
)
def test_names_of_imports_in_a_restart(record: str, field: str, month: tuple[int, int] | None) -> None:
    """The names of restarts that older versions wrote."""
    assert _record_name(field, month) == record
    assert _import_of(record) == (field, month)
    assert _import_of("start") is None


def test_a_restart_of_another_grid_or_calendar(raw: Raw, tmp_path: Path) -> None:
    component = realized(raw)
    component.import_(NAME, np.full(component.cell_count, 290.0), at="2015-01-10")
    component.run("2015-01-10")
    component.write_restart(tmp_path)

    other = LandComponent(config_of(raw))
    other.initialize(tmp_path)
    mesh = component.hosts["host"].mesh
    other.set_grid(mesh.take(np.arange(mesh.size - 1)))
    with pytest.raises(GridError, match="not that of the restart"):
        other.realize()

    other = LandComponent(config_of(raw))
    other.set_calendar("360_day")
    other.initialize(tmp_path)
    other.set_named_grid("host")
    with pytest.raises(TimeError, match="not that of the restart"):
        other.realize()
    other.set_calendar("standard")
    other.realize()
    other.run("2015-03-01")


@pytest.mark.mpi
def test_nan_on_one_rank(raw: Raw, tmp_path: Path) -> None:
    """The next run raises the fault on every rank; the host then continues with good values."""
    path, program = tmp_path / "run.yaml", tmp_path / "host.py"
    path.write_text(yaml.safe_dump(raw))
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "from ai4land_coupler.errors import Ai4LandError\n"
        "comm = MPI.COMM_WORLD\n"
        "land = LandComponent(sys.argv[1], comm)\n"
        "land.initialize()\n"
        "land.set_named_grid('host')\n"
        "land.realize()\n"
        "def attempt(what, *arguments):\n"
        "    try:\n"
        "        what(*arguments)\n"
        "        print(f'<{comm.rank}> year {land.year}', flush=True)\n"
        "    except Ai4LandError as error:\n"
        "        print(f'<{comm.rank}> {error.host_code} {error.what} | {error.where}', flush=True)\n"
        "values = np.full(land.cell_count, 290.0)\n"
        "faulty = values.copy()\n"
        "faulty[3] = np.nan\n"
        "land.import_('air_temperature', faulty if comm.rank == 1 else values)\n"
        "attempt(land.run, (2015, 6, 1))\n"  # nothing is due: nothing is said
        "attempt(land.run, 2016)\n"
        "land.import_('air_temperature', values if comm.rank == 1 else values[1:])\n"
        "attempt(land.run, 2016)\n"
        "land.import_('air_temperature', values)\n"
        "attempt(land.run, 2016)\n"
        "if comm.rank == 1:\n"
        "    land.import_('air_temperature', values, None, 'm')\n"
        "attempt(land.write_restart, sys.argv[2])\n"
        "attempt(land.write_restart, sys.argv[2])\n"
    )
    done = mpirun(2, program, path, tmp_path / "restart")
    lines = [line for line in done.stdout.splitlines() if line.startswith("<")]
    for rank in range(2):
        said = [line[4:] for line in lines if line.startswith(f"<{rank}>")]
        assert said[0] == "year 2015", done
        assert said[1].startswith("3 import 'air_temperature' has values that are no numbers")
        assert said[2].startswith("3 import 'air_temperature' has the wrong size")
        assert said[3] == "year 2016"
        assert said[4].startswith("3 a field has the wrong units")
        assert said[5] == "year 2016"
    assert "rank 1" in next(line for line in lines if line.startswith("<0> 3 import"))


@pytest.mark.mpi
def test_ranks_without_cells(raw: Raw, tmp_path: Path) -> None:
    """They give no imports and an empty surface, and make all other calls, also for restarts."""
    path, program = tmp_path / "run.yaml", tmp_path / "host.py"
    path.write_text(yaml.safe_dump({**raw, "exports": {"transitions": True, "lookahead": True}}))
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "from ai4land_coupler.grids import read_mesh\n"
        "comm = MPI.COMM_WORLD\n"
        "config, grid, folder, out = sys.argv[1:5]\n"
        "land = LandComponent(config, comm)\n"
        "land.set_calendar('360_day')\n"
        "land.initialize(folder if comm.size == 1 else None)\n"
        "mesh = read_mesh(grid)\n"
        "own = np.arange(mesh.size) if comm.rank == comm.size - 1 else np.arange(0)\n"
        "land.set_grid(mesh.take(own))\n"
        "land.set_land_fraction(np.full(own.size, 0.5))\n"
        "land.realize()\n"
        "for month in range(2, 26):\n"
        "    date = (2015 + (month - 1) // 12, (month - 1) % 12 + 1, 1, 0)\n"
        "    if date > land.date:\n"
        "        if own.size:\n"
        "            land.import_('air_temperature', 270.0 + own % 30 + month, at=date)\n"
        "        land.run(date)\n"
        "        if date[:2] == (2016, 6) and comm.size > 1:\n"
        "            land.write_restart(folder)\n"
        "if own.size:\n"
        "    names = ('land_cover_fraction', 'lai', 'land_cover_transition')\n"
        "    np.savez(out, **{name: land.export(name) for name in names})\n"
        "    print('cells', land.surface_counts()['filled_cells'], flush=True)\n"
    )
    grid = raw["hosts"]["host"]["grid"]
    for ranks in (3, 1):
        done = mpirun(ranks, program, path, grid, tmp_path / "restart", tmp_path / f"{ranks}.npz")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "cells" in done.stdout
    whole, other = (np.load(tmp_path / f"{ranks}.npz") for ranks in (3, 1))
    np.testing.assert_allclose(whole["land_cover_fraction"].sum(axis=0), 0.5, rtol=1e-12)
    assert (whole["lai"] > 0).all()  # every cell has land in the host, and leaves of its nearest mapped cell
    for name in whole.files:
        np.testing.assert_array_equal(other[name], whole[name], err_msg=name)


@pytest.mark.mpi
def test_the_first_fault_of_any_kind_is_raised_on_every_rank(raw: Raw, tmp_path: Path) -> None:
    """A wrong shape, date or interval on one rank: it does not stop alone, and the others get its fault."""
    path, program = tmp_path / "run.yaml", tmp_path / "host.py"
    path.write_text(yaml.safe_dump(raw))
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "from ai4land_coupler.errors import Ai4LandError\n"
        "comm = MPI.COMM_WORLD\n"
        "land = LandComponent(sys.argv[1], comm)\n"
        "land.initialize()\n"
        "land.set_named_grid('host')\n"
        "if comm.rank == 1:\n"
        "    land.set_land_fraction(np.full(land.cell_count, 'x'))\n"
        "else:\n"
        "    land.set_land_fraction(np.full(land.cell_count, 0.5))\n"
        "def attempt(what, *arguments):\n"
        "    try:\n"
        "        what(*arguments)\n"
        "        print(f'<{comm.rank}> year {land.year}', flush=True)\n"
        "    except Ai4LandError as error:\n"
        "        print(f'<{comm.rank}> {error.what}', flush=True)\n"
        "attempt(land.realize)\n"
        "land.set_land_fraction(np.full(land.cell_count, 0.5))\n"
        "attempt(land.realize)\n"
        "values = np.full(land.cell_count, 290.0)\n"
        "name = 'air_temperature'\n"
        "for fault in ((name, values[None], (2015, 1, 2)), (name, values, (2015, 2, 30)), (name, values, 2018)):\n"
        "    land.import_(name, values)\n"
        "    if comm.rank == 1:\n"
        "        land.import_(*fault)\n"
        "        land.import_(name, values, (2015, 9, 1))\n"
        "    attempt(land.run, 2016)\n"
        "attempt(land.run, 2016)\n"
    )
    done = mpirun(2, program, path)
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in (0, 1):
        said = [line.split("> ", 1)[1] for line in done.stdout.splitlines() if line.startswith(f"<{rank}>")]
        kinds = ("has no numbers", "year 2015", "wrong shape", "no such date", "impossible interval")
        assert len(said) == 6, done.stdout
        for line, kind in zip(said, (*kinds, "year 2016"), strict=True):
            assert kind in line, said

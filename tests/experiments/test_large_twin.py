"""Twins that are made in blocks: the same as at once, with any blocks, processes and ranks."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from ranks import mpirun

from ai4land_coupler.cli import cli
from ai4land_coupler.core.grid import Box
from ai4land_coupler.errors import ConfigError, RunError
from ai4land_coupler.experiments.twin import TwinOptions, TwinReport, generate
from ai4land_coupler.experiments.twin.part import parts_of
from ai4land_coupler.experiments.workers import Start, on_workers

#: The coast of the Netherlands and ocean, cells that do not divide a forcing cell; rows for several tiles of a file.
OPTIONS = TwinOptions(
    lon0=2, lon1=6, lat0=50.5, lat1=54, resolution=0.013, first_year=2013, last_year=2016, scenario_start=2015
)
ARGUMENTS = ["--region", "2", "6", "50.5", "54", "--resolution", "0.013", "--years", "2013", "2016"]


def digests(report: TwinReport) -> dict[str, str]:
    return {str(f): hashlib.sha256((report.folder / f).read_bytes()).hexdigest() for f in report.files}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> TwinReport:
    return generate(OPTIONS, tmp_path_factory.mktemp("once"))


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> TwinReport:
    return generate(OPTIONS, tmp_path_factory.mktemp("blocks"), side=5)


def test_blocks_give_the_same_twin_as_at_once(once: TwinReport, blocks: TwinReport) -> None:
    leave_out = {"folder", "skill"}
    assert blocks.model_dump(exclude=leave_out) == once.model_dump(exclude=leave_out)
    assert not blocks.skill
    for name in ("elevation", "terrain", "soil", "climate"):
        import xarray as xr

        with xr.open_dataset(once.paths[name]) as a, xr.open_dataset(blocks.paths[name]) as b:
            assert a.identical(b), name
    for year in OPTIONS.years:
        with (
            rasterio.open(str(once.paths["maps"]).format(year=year)) as a,
            rasterio.open(str(blocks.paths["maps"]).format(year=year)) as b,
        ):
            assert np.array_equal(a.read(1), b.read(1))
            assert a.transform == b.transform
            assert b.block_shapes == [(256, 256)]
    for name in ("states", "scenario", "static_luh2"):
        with (
            xr.open_dataset(once.paths[name], decode_times=False) as a,
            xr.open_dataset(blocks.paths[name], decode_times=False) as b,
        ):
            assert a.identical(b), name


def test_files_do_not_depend_on_blocks_and_processes(blocks: TwinReport, tmp_path: Path) -> None:
    other = generate(OPTIONS, tmp_path / "other", side=3, processes=2)
    assert digests(other) == digests(blocks)
    assert sorted(p.name for p in other.folder.iterdir()) == ["hilda", "luh2", "scenario", "static", "twin.json"]


def test_files_do_not_depend_on_ranks(blocks: TwinReport, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler.experiments.twin import TwinOptions, generate\n"
        "options = TwinOptions.model_validate_json(sys.argv[1])\n"
        "report = generate(options, sys.argv[2], side=5, comm=MPI.COMM_WORLD)\n"
        "print(report.maps_sha256)\n"
    )
    done = mpirun(2, program, OPTIONS.model_dump_json(), tmp_path / "twin")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [blocks.maps_sha256] * 2
    assert digests(blocks.model_copy(update={"folder": tmp_path / "twin"})) == digests(blocks)


def test_an_error_of_a_program_is_raised_on_all_ranks(tmp_path: Path) -> None:
    """The region has no land: a task of rank 1 finds this, or rank 0 after all tasks. No rank waits."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler.errors import ConfigError\n"
        "from ai4land_coupler.experiments.twin import TwinOptions, generate\n"
        "options = TwinOptions(lon0=-30, lon1=-29, lat0=40, lat1=41, resolution=0.05)\n"
        "for side in (None, 2):\n"
        "    try:\n"
        "        generate(options, sys.argv[1], side=side, comm=MPI.COMM_WORLD)\n"
        "    except ConfigError as error:\n"
        "        assert 'no land' in str(error)\n"
        "        sys.stdout.write('refused\\n')\n"
    )
    done = mpirun(2, program, tmp_path / "twin")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * 4
    assert not [p for p in (tmp_path / "twin").iterdir() if p.suffix == ".json"]


def test_a_killed_worker_ends_the_program() -> None:
    with pytest.raises(RunError, match="a worker process ended before its time"):
        on_workers(_run_killed, processes=2)


def _run_killed(start: Start) -> list[Any]:
    with start(_nothing) as workers:
        return list(workers.run((os.kill, (0, 0)) if n else (_end, ()) for n in range(4)))


def _nothing() -> None:
    pass


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_twin_is_not_complete(tmp_path: Path) -> None:
    program = (
        "import sys; from ai4land_coupler.experiments.twin import TwinOptions, generate;"
        "generate(TwinOptions.model_validate_json(sys.argv[1]), sys.argv[2], lambda a, b: print(a, flush=True), side=5)"
    )
    command = [sys.executable, "-c", program, OPTIONS.model_dump_json(), str(tmp_path / "twin")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 15:
                process.kill()
                break
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (tmp_path / "twin" / "twin.json").exists()
    assert not list((tmp_path / "twin").glob("hilda"))
    small = OPTIONS.model_copy(update={"lon1": 3.0, "last_year": 2015})
    assert generate(small, tmp_path / "twin", side=5).files
    assert sorted(p.name for p in (tmp_path / "twin").iterdir()) == ["hilda", "luh2", "static", "twin.json"]


def test_parts_cover_every_cell_once() -> None:
    for options in (OPTIONS, TwinOptions(lon0=-180, lon1=180, lat0=-90, lat1=90, published_grid=True)):
        parts = parts_of(options, 20)
        rows, cols = ([(r[2], r[3]) for r in ranges] for ranges in (parts.rows, parts.cols))
        for ranges, size in ((rows, options.land_grid.nlat), (cols, options.land_grid.nlon)):
            assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])]
            assert ranges[-1][1] == size
        box = Box(3, 9, 5, 11)
        assert [(n, b) for n, b in parts.within(box)] == [(0, box)]
    assert options.land_grid.shape == (18021, 36041)


def test_globe_on_the_command_line(tmp_path: Path) -> None:
    both = CliRunner().invoke(cli, ["twin", "-o", str(tmp_path), "--globe", *ARGUMENTS])
    assert isinstance(both.exception, ConfigError)
    assert "exclude each other" in str(both.exception)

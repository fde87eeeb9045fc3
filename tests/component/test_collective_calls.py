"""One rank of a host makes another call than the others, or a faulty one: an error on every rank, and no hang."""

from __future__ import annotations

import json
from pathlib import Path

import needs
import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE, PHENOLOGY, Raw, config_of
from ranks import mpirun

from ai4land_coupler import Simulation
from ai4land_coupler.store.output import open_store

needs.yac()
PROGRAM = Path(__file__).with_name("collective_calls_program.py")

#: What each rank gets: the start of the message.
WANTED = {
    "other grids": "GridError ranks use different host grids",
    "other calls": "StateError ranks made different collective calls",
    "call too early": "StateError a call came in the wrong order",
    "in the past": "TimeError the component cannot run to that date",
    "no date": "TimeError this is not a date",
    "no such day": "TimeError the calendar has no such date",
    "no such time": "TimeError a time of day lies outside of the day",
    "after the stop": "TimeError the component cannot run to that date",
    "another year": "TimeError ranks run to different dates",
    "another day": "TimeError ranks run to different dates",
    "a bad date on all ranks": "TimeError the calendar has no such date",
    "other folders": "ConfigError ranks write different restarts",
    "the same date": "ok 2016",
    "a restart on ranks without blocks": "ok 2017",
}


LONG = ((2, "exit"), (3, "exit"), (5, "finalize"))


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("ranks", "end"), [(2, "finalize"), *(pytest.param(*case, marks=pytest.mark.soak) for case in LONG)]
)
def test_calls_of_one_rank(twin_config: Raw, tmp_path: Path, ranks: int, end: str) -> None:
    raw = {
        **twin_config,
        "predictors": [PERSISTENCE, PHENOLOGY],
        "parallel": {"block": 3, "workers": 1},
        "hosts": {**twin_config["hosts"], "second": {"grid": "r36x18"}},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    done = mpirun(ranks, PROGRAM, path, tmp_path, end)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    found = [json.loads(line.removeprefix("TRIAL ")) for line in lines if line.startswith("TRIAL ")]
    assert {trial["name"].split(",")[0] for trial in found} == set(WANTED)
    for trial in found:
        wanted = WANTED[trial["name"].split(",")[0]]
        assert all(text.startswith(wanted) for text in trial["ranks"]), trial
        if wanted.startswith("TimeError ranks run"):
            assert all("(rank" in text for text in trial["ranks"]), trial
    # the ranks that go on without the one that ended
    last = [line for line in lines if line.startswith("LAST ")]
    assert len(last) == 2 * (ranks - 1)
    assert all("RemoteError another rank has ended" in line for line in last), last


@pytest.mark.mpi
def test_an_offline_run_with_more_ranks_than_blocks(twin_config: Raw, tmp_path: Path) -> None:
    """It stops because the caller's function fails on one rank, and continues with a memory on the one block."""
    raw = {
        **twin_config,
        "predictors": [PERSISTENCE, PHENOLOGY],
        "imports": {"air_temperature": {"values": 285.0, "units": "K"}},
        "time": {"start": 2015, "stop": 2017},
        "static": [],
        "hosts": {},
        "parallel": {"block": 99},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    done = mpirun(2, Path(__file__).with_name("offline_ranks_program.py"), path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("<"))
    years = "years (2015, 2016, 2017)"
    assert lines == ["<0> ValueError", f"<0> {years}", "<1> RemoteError", f"<1> {years}"], done
    whole = Simulation(config_of(raw, output={"store": str(tmp_path / "whole.zarr"), "shard": 64})).run()
    one, two = open_store(whole.store), open_store(Path(twin_config["output"]["store"]))
    for name in ("land_cover", "lai"):
        np.testing.assert_array_equal(one[name].values, two[name].values)

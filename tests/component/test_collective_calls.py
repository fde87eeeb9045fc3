"""One rank of a host makes another call than the others, or a faulty one: an error on every rank, and no hang."""

from __future__ import annotations

import json
from pathlib import Path

import needs
import pytest
import yaml
from coupling import PERSISTENCE, PHENOLOGY, Raw
from ranks import mpirun

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

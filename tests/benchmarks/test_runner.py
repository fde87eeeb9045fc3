"""The common parts of the benchmarks. The programs themselves are measurements, and run by `make bench`."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import run_all
from runner import Pairs, Report, at_least, at_most, pairs, process_cost

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def report(tmp_path):
    return Report("example.py", argparse.Namespace(json=tmp_path / "report.json"), threads=3)


def written(report):
    report.end()
    return json.loads(report._file.read_text())


def test_pairs_run_in_turns_after_one_call_of_each():
    calls = []
    clock = iter([0, 1, 10, 12, 20, 24, 30, 31]).__next__
    found = pairs(lambda: calls.append("a"), lambda: calls.append("b"), repeat=2, clock=clock)
    assert calls == ["a", "b", "a", "b", "b", "a"]
    assert (found.ours, found.other) == ([1, 1], [2, 4])


def test_a_ratio_has_both_sides_its_spread_and_its_goal(report, capsys):
    value = report.ratio("speed", Pairs([4, 5, 10], [2, 5, 8]), speed=True, work=20, unit="cells/s", goal=at_least(0.8))
    assert value == 0.8  # ratios 0.5, 1 and 0.8
    (row,) = written(report)["rows"]
    assert (row["low"], row["high"], row["met"]) == (0.5, 1.0, True)
    assert row["sides"] == {"ours": 4.0, "other": 4.0}  # 20 cells in the medians, 5 s on each side
    assert row["goal"] == {"limit": 0.8, "direction": "at least"}
    assert "0.5 to 1" in capsys.readouterr().out


@pytest.mark.parametrize(("goal", "met"), [(at_least(2), True), (at_least(2.1), False), (at_most(1.9), False)])
def test_goals_have_a_direction(report, goal, met):
    report.value("x", 2, goal=goal)
    assert written(report)["rows"][0]["met"] is met


def test_a_report_names_machine_threads_and_versions(report):
    content = written(report)
    assert content["threads"] == 3
    assert {"cpu", "cores", "load", "instruction_set"} <= set(content["machine"])
    assert {"python", "numpy", "zarr", "ai4land_coupler"} <= set(content["versions"])


def test_the_cost_of_a_process_and_its_failure():
    # Linux counts the memory of the process that starts another one to its peak, so a small one must start it.
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from runner import process_cost; "
        "cost = process_cost([sys.executable, '-c', 'x = bytearray(300_000_000); print(1); print(2)']); "
        "print(cost.last, cost.memory)"
    )
    done = subprocess.run([sys.executable, "-c", program, BENCHMARKS], capture_output=True, text=True, check=True)
    last, memory = done.stdout.split()
    assert last == "2"
    assert 300e6 < int(memory) < 400e6
    with pytest.raises(RuntimeError, match="exit status 3"):
        process_cost([sys.executable, "-c", "raise SystemExit(3)"])


PROGRAM = """
import sys
sys.path.insert(0, {path!r})
from runner import Report, arguments, at_least
report = Report({name!r}, arguments(None).parse_args())
report.value("figure", 1, goal=at_least(2))
report.end()
sys.exit({status})
"""


def test_a_failing_program_does_not_stop_the_others(tmp_path, capsys):
    for name, status in (("fails.py", 5), ("works.py", 0)):
        (tmp_path / name).write_text(PROGRAM.format(path=str(BENCHMARKS), name=name, status=status))
    reports, failed = run_all.run(["fails.py", "lost.py", "works.py"], tmp_path, home=tmp_path)
    assert (list(reports), failed) == (["fails.py", "works.py"], {"fails.py": 5, "lost.py": 2})
    lines = "\n".join(run_all.summary(reports, failed))
    assert "works.py: figure" in lines
    assert "at least 2          no" in lines
    assert "FAILED, exit status 5" in lines


def test_the_sets_name_programs_that_exist_and_take_json():
    for command in (*run_all.SHORT, *run_all.LONG):
        program = BENCHMARKS / command.split()[0]
        assert program.is_file()
        assert "arguments(__doc__)" in program.read_text(), program


def test_the_exit_status_tells_of_a_failure():
    done = subprocess.run([sys.executable, BENCHMARKS / "run_all.py", "lost.py"], check=False, capture_output=True)
    assert done.returncode == 1

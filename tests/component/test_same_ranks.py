"""Ranks that do not have the same configuration, software, restart or grid: refused on every rank, without a hang."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import needs
import pytest
import yaml
from coupling import PERSISTENCE, Raw, config_of
from ranks import mpirun

from ai4land_coupler.config.leaves import leaves
from ai4land_coupler.parallel.communicator import Communicator
from ai4land_coupler.parallel.same import describe, differences, ranks_text

needs.yac()
PROGRAM = Path(__file__).with_name("same_ranks_program.py")
#: Seconds for all trials; a hang of one of them is a failure.
PATIENCE = 600


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    """A configuration with all sections, so that each key has a value."""
    return {
        **twin_config,
        "predictors": [PERSISTENCE],
        "imports": {"air_temperature": {"values": 280.0, "units": "K"}},
        "exports": {"profile": "clm", "pass_through": []},
        "regrid": {"backend": "yac", "options": {}},
    }


def trials(raw: Raw, ranks: int, folder: Path) -> list[dict[str, Any]]:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    done = mpirun(ranks, PROGRAM, path, folder, timeout=PATIENCE)
    lines = [line.removeprefix("TRIAL ") for line in done.stdout.splitlines() if line.startswith("TRIAL ")]
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in lines]


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, *(pytest.param(n, marks=pytest.mark.soak) for n in (3, 4, 5))])
def test_every_key_that_differs_on_one_rank(raw: Raw, ranks: int, tmp_path: Path) -> None:
    """Every key of the configuration in turn is another one on one rank: all ranks name the key and the rank."""
    found = trials(raw, ranks, tmp_path)
    wanted = set(leaves(config_of(raw))) - {"title"}
    assert {trial["key"] for trial in found if trial["name"] == "key"} >= wanted
    assert len(wanted) > 50
    compared = 0
    for trial in found:
        texts = trial["ranks"]
        assert len(texts) == ranks
        if trial["name"] == "allowed":
            assert texts == ["ok"] * ranks, trial
        elif trial["name"] == "key":
            # a key that takes only some words may get a wrong one here: then the rank that has it cannot read its file
            differ = ("ConfigError: the ranks of this run have different", "ConfigError: the configuration has")
            assert all(text.startswith(differ) and trial["key"] in text for text in texts), trial
            compared += all("(rank" in text for text in texts)
        elif trial["name"] == "unreadable":
            assert all(text.startswith("ConfigError") for text in texts), trial
            assert sum("rank " in text for text in texts) == ranks - 1, trial  # the others learn which rank failed
        elif trial["name"] == "parts":
            assert all(text.startswith("ConfigError: the ranks of this run differ in") for text in texts), trial
            assert all(trial["key"] in text for text in texts), trial
        else:
            assert all(text.startswith("ConfigError: ranks start the run in different ways") for text in texts), trial
    assert compared > 50


def test_one_process_differs_in_nothing() -> None:
    assert differences({"a": 1}, Communicator()) == {}


def test_texts_of_messages() -> None:
    assert ranks_text([3]) == "rank 3"
    assert ranks_text([0, 1]) == "ranks 0, 1"
    assert ranks_text([7, 0, 2, 3, 4]) == "ranks 0, 2 to 4, 7"
    assert describe({"time.stop": {"2020": [0, 2], "2021": [1]}}) == "time.stop: 2020 (ranks 0, 2), 2021 (rank 1)"
    many = {f"key{i:02}": {"1": [0], "2": [1]} for i in range(14)}
    assert describe(many).endswith("key11: 1 (rank 0), 2 (rank 1); and 2 more keys")

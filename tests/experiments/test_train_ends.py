"""Trainings that end early: killed, interrupted, diverged, without land; and trainings in several processes."""

from __future__ import annotations

import copy
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from kills import FORKS, count_operations, kill_at_operation
from ranks import environment, mpirun
from training_series import training_series

from ai4land_coupler.cli import cli
from ai4land_coupler.errors import ConfigError, RunError
from ai4land_coupler.experiments.training.run import CURVES, read_curves
from ai4land_coupler.experiments.training.train import parse_train_config, train, work_folder
from ai4land_unet.bundle import read_bundle

STEPS = 10


@pytest.fixture
def short(tmp_path: Path) -> dict[str, Any]:
    """A training of some steps, with everything that a checkpoint must keep: dropout, a mask, the best weights."""
    raw = training_series(tmp_path)
    raw["channels"] = raw["channels"][:1]
    raw["trainer"]["options"]["optimisation"] |= {
        "steps": STEPS,
        "dropout": 0.2,
        "mask_share": 0.2,
        "validations": 5,
        "validation_windows": 4,
        "change_weight": 2.0,
    }
    return raw


def run(raw: dict[str, Any], folder: Path, bundle: Path, resume: bool = False) -> str:
    """Train with a checkpoint after each step. Returns the digest of the weights."""
    return train(parse_train_config(raw, folder, "train.yaml"), bundle, resume=resume, checkpoint_minutes=0).digest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def optimisation(raw: dict[str, Any], **changes: Any) -> dict[str, Any]:
    raw = copy.deepcopy(raw)
    raw["trainer"]["options"]["optimisation"] |= changes
    return raw


def check_kills(raw: dict[str, Any], folder: Path, count: int) -> None:
    """Kill a training at some moments, and compare what it ends with after ``--resume``."""
    number = count_operations(work_folder(folder / "whole"), run, raw, folder, folder / "whole")
    digest = read_bundle(folder / "whole").card.weights_sha256
    rng = random.Random(0)
    for moment in sorted(rng.sample(range(1, number), count)):
        bundle = folder / f"killed-{moment}"
        assert kill_at_operation(moment, work_folder(bundle), run, raw, folder, bundle)
        assert not bundle.exists()
        assert run(raw, folder, bundle, resume=True) == digest, moment
        assert read_curves(work_folder(bundle) / CURVES) == read_curves(work_folder(folder / "whole") / CURVES), moment


def test_a_killed_training_ends_with_the_same_weights(short: dict[str, Any], tmp_path: Path) -> None:
    check_kills(short, tmp_path, 2)


@pytest.mark.soak
def test_a_training_killed_at_many_moments_ends_with_the_same_weights(short: dict[str, Any], tmp_path: Path) -> None:
    check_kills(short, tmp_path, 20)


def test_interrupted_training_continues(short: dict[str, Any], tmp_path: Path) -> None:
    short = optimisation(short, steps=25)  # the first message comes after 20 steps
    config = parse_train_config(short, tmp_path, "train.yaml")
    digest = run(short, tmp_path, tmp_path / "whole")
    before = contents(tmp_path / "whole")

    def interrupt(done: float, note: str) -> None:
        if note.startswith("step"):
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(RunError, match="was interrupted") as error:
        train(config, tmp_path / "whole", interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    assert error.value.exit_code == 1
    assert "--resume" in str(error.value)
    assert contents(tmp_path / "whole") == before
    notes: list[str] = []
    result = train(config, tmp_path / "whole", lambda done, note: notes.append(note), resume=True)
    assert any(note.startswith("continuing after step 2") for note in notes)
    assert result.digest == digest


@pytest.mark.parametrize("moment", ["reading", "scoring"])
def test_ctrl_c_outside_of_the_steps_ends_at_once(short: dict[str, Any], tmp_path: Path, moment: str) -> None:
    config = parse_train_config(short, tmp_path, "train.yaml")
    run(short, tmp_path, tmp_path / "bundle")
    before = contents(tmp_path / "bundle")

    def interrupt(done: float, note: str) -> None:
        if note == moment:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the training went on")

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "bundle", interrupt)
    assert contents(tmp_path / "bundle") == before


def test_checkpoint_of_another_training_is_refused(short: dict[str, Any], tmp_path: Path) -> None:
    run(short, tmp_path, tmp_path / "bundle")
    with pytest.raises(ConfigError, match="belongs to another training"):
        run(optimisation(short, learning_rate=1e-4), tmp_path, tmp_path / "bundle", resume=True)


def test_diverged_training_leaves_the_old_bundle(short: dict[str, Any], tmp_path: Path) -> None:
    run(short, tmp_path, tmp_path / "bundle")
    before = contents(tmp_path / "bundle")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(optimisation(short, learning_rate=1e30)))
    command = ["train", str(tmp_path / "train.yaml"), "-o", str(tmp_path / "bundle")]
    result = CliRunner().invoke(cli, command)
    assert isinstance(result.exception, RunError)
    assert result.exception.exit_code == 1
    assert "diverged" in str(result.exception)
    assert "smaller learning_rate" in str(result.exception)
    assert contents(tmp_path / "bundle") == before


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ({"buffer": 100}, "no land is left to train on"),
        ({"method": "region", "region": {"west": 10, "south": 0, "east": 11, "north": 1}}, "held-out land is empty"),
    ],
)
def test_training_without_land_is_refused(
    short: dict[str, Any], tmp_path: Path, validation: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        run(short | {"validation": validation}, tmp_path, tmp_path / "bundle")
    assert error.value.exit_code == 2
    assert not (tmp_path / "bundle").exists()


def test_best_weights_are_those_with_the_smallest_loss(short: dict[str, Any], tmp_path: Path) -> None:
    """Too large steps at first: the loss on held-out land is smallest before the end."""
    digests = {
        keep: run(optimisation(short, keep=keep, learning_rate=0.3, dropout=0.0), tmp_path, tmp_path / keep)
        for keep in ("best", "last")
    }
    losses = {n: v for n, name, v in read_curves(work_folder(tmp_path / "best") / CURVES) if name == "validation_loss"}
    assert sorted(losses) == [2, 4, 6, 8, 10]
    best = min(losses, key=lambda step: losses[step])
    assert (digests["best"] == digests["last"]) == (best == STEPS)


# --- several processes


def test_mpiexec_is_refused(short: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(short))
    done = mpirun(2, "-m", "ai4land_coupler.cli", "train", tmp_path / "train.yaml", "-o", tmp_path / "bundle")
    assert done.returncode == 2
    assert done.stderr.count("error: a training is not started with mpiexec") == 1
    assert "torchrun --nproc-per-node 2" in done.stderr
    assert not (tmp_path / "bundle").exists()


def train_as_rank(rank: int, port: int, raw: dict[str, Any], folder: Path, bundle: Path) -> None:
    """Train in one of two processes, with the variables that torchrun sets."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    run(raw, folder, bundle)


def check_equal_losses(one: Path, two: Path) -> None:
    points, others = (read_curves(work_folder(bundle) / CURVES) for bundle in (one, two))
    assert [point[:2] for point in points] == [point[:2] for point in others]
    np.testing.assert_allclose([p[2] for p in others], [p[2] for p in points], rtol=1e-4, atol=1e-4)
    assert (two / "card.json").is_file()


def test_two_processes_have_the_losses_of_one(short: dict[str, Any], tmp_path: Path) -> None:
    raw = optimisation(short, dropout=0.0, batch=4, dtype="float32")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [(rank, port, raw, tmp_path, tmp_path / "two") for rank in range(2)]
    ranks = [FORKS.Process(target=train_as_rank, args=each) for each in arguments]
    for process in ranks:
        process.start()
    run(raw, tmp_path, tmp_path / "one")
    for process in ranks:
        process.join(300)
        assert process.exitcode == 0
    check_equal_losses(tmp_path / "one", tmp_path / "two")


@pytest.mark.soak
def test_torchrun_starts_a_training_of_two_processes(short: dict[str, Any], tmp_path: Path) -> None:
    raw = optimisation(short, dropout=0.0, batch=4, dtype="float32")
    run(raw, tmp_path, tmp_path / "one")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(raw))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "ai4land_coupler.cli", "train", str(tmp_path / "train.yaml"), "-o", str(tmp_path / "two")]
    done = subprocess.run(
        [*launch, *command], env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the bundle is in") == 1
    check_equal_losses(tmp_path / "one", tmp_path / "two")

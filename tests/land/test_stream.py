"""Tiles as a stream: what runs in which thread, how far ahead, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE
from ranks import mpirun

from ai4land_coupler import LandComponent
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.core.state import LandState
from ai4land_coupler.land import prediction
from ai4land_coupler.land.model import LandModel
from ai4land_coupler.land.stream import AHEAD, run_stream
from ai4land_coupler.land.timers import Timers

TILES = 40


def helpers() -> list[str]:
    """The threads of a stream that still run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ai4land")]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_come_in_the_order_of_the_tiles(threads: int) -> None:
    found = run_stream(
        range(TILES), lambda i: 10 * i, lambda value: value + 1, lambda i, value: (i, value), threads, Timers()
    )
    assert found == [(i, 10 * i + 1) for i in range(TILES)]
    assert run_stream([], str, str, lambda i, value: value, threads, Timers()) == []
    assert helpers() == []


def test_only_predictions_run_in_the_calling_thread() -> None:
    names: dict[str, set[str]] = {"read": set(), "predict": set(), "finish": set()}

    def note(kind: str) -> None:
        names[kind].add(threading.current_thread().name)

    run_stream(
        range(TILES),
        lambda i: note("read"),
        lambda value: note("predict"),
        lambda i, value: note("finish"),
        2,
        Timers(),
    )
    assert names["predict"] == {threading.current_thread().name}
    assert len(names["read"]) == 1
    assert 1 <= len(names["finish"]) <= 2
    assert not names["predict"] & (names["read"] | names["finish"])


@pytest.mark.parametrize("threads", [1, 2])
def test_few_tiles_are_held(threads: int) -> None:
    """Reading is never further ahead, and finishing never further behind, than the queues allow."""
    count, lock = {"read": 0, "predicted": 0, "finished": 0}, threading.Lock()
    ahead, behind = [], []

    def add(kind: str) -> None:
        with lock:
            count[kind] += 1

    def predict(value: None) -> None:
        with lock:
            ahead.append(count["read"] - count["predicted"] - 1)
            behind.append(count["predicted"] - count["finished"])
        add("predicted")

    run_stream(range(TILES), lambda i: add("read"), predict, lambda i, value: add("finished"), threads, Timers())
    assert max(ahead) <= AHEAD
    assert max(behind) < 2 * threads
    assert count == {"read": TILES, "predicted": TILES, "finished": TILES}


def test_a_window_is_read_while_another_is_predicted() -> None:
    """Would wait for ever if one of them waited for the other."""
    second, finished = threading.Event(), threading.Event()

    def read(i: int) -> int:
        if i == 1:
            second.set()
        return i

    def predict(i: int) -> int:
        if i == 0:
            assert second.wait(60)
        if i == 3:
            assert finished.wait(60)
        return i

    def finish(i: int, value: int) -> int:
        if i == 0:
            finished.set()
        return value

    assert run_stream(range(5), read, predict, finish, 1, Timers()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("error", [ValueError("faulty"), SystemExit("left"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["read", "predict", "finish"])
def test_an_error_ends_the_stream(where: str, error: BaseException, threads: int) -> None:
    predicted: list[int] = []

    def fail_in(kind: str, i: int) -> int:
        if kind == "predict":
            predicted.append(i)
        if kind == where and i == 5:
            raise error
        return i

    with pytest.raises(type(error)) as caught:
        run_stream(
            range(TILES),
            lambda i: fail_in("read", i),
            lambda i: fail_in("predict", i),
            lambda i, value: fail_in("finish", i),
            threads,
            Timers(),
        )
    assert caught.value is error
    assert len(predicted) <= 6 + 2 * threads
    assert helpers() == []


def test_threads_have_the_floating_point_settings_of_the_caller() -> None:
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        run_stream([0], lambda i: np.float64(1) / np.float64(i), float, lambda i, value: value, 1, Timers())


def test_seconds_of_other_threads_are_apart() -> None:
    timers = Timers()
    with timers("predict"):
        pass
    run_stream(range(3), timers_in(timers), lambda value: value, lambda i, value: value, 1, timers)
    assert set(timers.seconds) == {"predict", "wait for inputs", "wait for allocation"}
    assert set(timers.busy) == {"assemble windows"}


def timers_in(timers: Timers) -> Callable[[int], int]:
    def read(i: int) -> int:
        with timers.in_thread("assemble windows"):
            return i

    return read


# --- in a step


@pytest.fixture
def component(twin_config: dict[str, Any], tmp_path: Any) -> LandComponent:
    component = LandComponent(parse_config(twin_config, tmp_path, "test"), online=False)
    component.initialize()
    return component


def step(component: LandComponent, model: LandModel) -> LandState:
    clock = component.clock.next()
    return model.advance(component.state, *component.read_inputs(clock), clock).state


def test_a_step_does_not_depend_on_threads(component: LandComponent, monkeypatch: pytest.MonkeyPatch) -> None:
    model = component.model
    alone = step(component, model)
    assert not model.timers.busy  # the windows are small
    monkeypatch.setattr(prediction, "SMALL_WINDOW", 0)
    for threads in (1, 3):
        threaded = replace(model, threads=threads, timers=Timers())
        found = step(component, threaded)
        assert set(threaded.timers.busy) == {"allocate", "assemble windows"}
        for one, other in ((found.cover, alone.cover), *((found.memory[n], alone.memory[n]) for n in alone.memory)):
            assert list(one) == list(other)
            for block, values in one.items():
                np.testing.assert_array_equal(values, other[block])
    assert helpers() == []
    assert any((alone.cover[i] != codes).any() for i, codes in component.state.cover.items())


def test_one_thread_helps_only_if_the_prediction_takes_longer_than_the_allocation(
    component: LandComponent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "SMALL_WINDOW", 0)
    (entry,) = component.model.predictors
    for seconds, threads, used in ((1.0, 1, False), (30.0, 1, True), (1.0, 2, True)):
        timers = Timers()
        timers.seconds = {"allocate": 2.0, f"predict {entry.name}": seconds}
        step(component, replace(component.model, threads=threads, timers=timers))
        assert bool(timers.busy) == used


@pytest.mark.parametrize("part", ["static", "map_maker"])
def test_an_error_in_a_thread_ends_the_step(
    part: str, component: LandComponent, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def read(self, *given: Any) -> None:
            raise OSError("a disk is gone")

        step = read

    monkeypatch.setattr(prediction, "SMALL_WINDOW", 0)
    with pytest.raises(OSError, match="a disk is gone"):
        step(component, replace(component.model, **{part: Broken()}))
    assert helpers() == []


@pytest.mark.mpi
@pytest.mark.parametrize(("ranks", "threads"), [(2, 0), (3, 1)])
def test_other_ranks_end_after_the_tile_in_which_one_fails(
    ranks: int, threads: int, twin_config: dict[str, Any], tmp_path: Path
) -> None:
    """And they do the next step together."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(twin_config | {"hosts": {}, "predictors": [PERSISTENCE], "parallel": {"block": 1}}))
    done = mpirun(ranks, Path(__file__).with_name("failing_rank_program.py"), path, threads)
    assert done.returncode == 0, done.stdout + done.stderr
    said = sorted(line for line in done.stdout.splitlines() if line.startswith("<"))
    for rank in range(ranks):
        error, *rest = (line.split("> ", 1)[1] for line in said if line.startswith(f"<{rank}>"))
        assert error.startswith("PluginError: a predictor failed found: ValueError: a faulty tile")
        assert (f", rank {ranks - 1}" in error) == (rank < ranks - 1)
        assert rest == [*["predicted at most one"] * (rank < ranks - 1), "then 2016"]

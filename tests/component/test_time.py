"""Each offset of each source is the true one, monthly and yearly, offline and online; the rest is refused at load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from clockwork import FILL, HEIGHT, YEAR_CLASSES, field, recorded, recorder, run_of, simulation
from ranks import mpirun
from stopped_runs import run_until

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import Ai4LandError, DataError, FieldError
from ai4land_coupler.files.durable import seal, unseal
from ai4land_coupler.store.output import inspect, open_store
from ai4land_coupler.store.restart import Restart

needs.yac()

START, STOP = 2015, 2019
#: What each recorder reads: source, name, offsets.
MONTHLY = {
    "cover": ("land_cover", (0, -1, -5, -11, -12, -13, -24)),
    "forcing": ("when", (12, 1, 0, -1, -12, -18)),
    "static": ("height", (0, -1)),
    "import": ("sunshine", (0, -1, -2, -12, -14)),
    "own output": ("trace_monthly", (-1, -2, -12, -13, -25)),
    "other's monthly output": ("other_monthly", (0, -1, -3, -12, -20)),
    "other's yearly output": ("trace_yearly", (0, -1, -12, -25)),
}
YEARLY = {
    "cover": ("land_cover", (0, -1, -2, -4)),
    "forcing": ("when", (1, 0, -1, -3)),
    "static": ("height", (0, -2)),
    "import": ("sunshine", (-1, -2)),
    "own output": ("trace_yearly", (-1, -2, -3)),
    "other's monthly output": ("other_monthly", (-1, -2, -3)),
}
CASES = [
    (step, source, offset)
    for step, table in (("monthly", MONTHLY), ("yearly", YEARLY))
    for source, (_, offsets) in table.items()
    for offset in offsets
]
PREDICTORS = (
    # in the wrong order: the yearly recorder reads months of the same step, the monthly one another's months
    recorder("trace_yearly", "P1Y", *(field(name, s.split()[-1], *o) for s, (name, o) in YEARLY.items())),
    recorder("trace_monthly", "P1M", *(field(name, s.split()[-1], *o) for s, (name, o) in MONTHLY.items())),
    recorder("other_monthly", "P1M", memory={"age": 0.0}),
)


def month_of(year: int, month: int) -> int:
    return 12 * year + month - 1


def host(raw: dict[str, Any], until: int, restart: Path | None = None, given_from: int = 2013) -> LandComponent:
    """A host that gives the number of each month as sunshine, from two years before the run on."""
    component = LandComponent(parse_config(raw, Path(), "test"))
    component.set_calendar("noleap")
    component.initialize(restart)
    component.set_named_grid("host")
    component.realize()
    ones = np.ones(component.cell_count)
    for month in range(month_of(given_from, 1), month_of(until, 1)):
        since, at = ((m // 12, m % 12 + 1, 1) for m in (month, month + 1))
        component.import_("sunshine", month * ones, at=at, since=since)
        if at >= (component.year, 1, 1):
            component.run(at)
    return component


class Seen:
    """A run online or offline, and what its recorders got."""

    def __init__(self, folder: Path, *, online: bool) -> None:
        raw = run_of(*PREDICTORS)
        self.online, self.store = online, folder / "run.zarr"
        run = (lambda: host(raw, STOP).finalize()) if online else simulation(raw, self.store).run
        self.record = recorded(run)


@pytest.fixture(scope="module", params=["offline", "online"])
def seen(request: pytest.FixtureRequest, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(tmp_path_factory.mktemp("seen"), online=request.param == "online")


def truth(step: str, source: str, time: tuple[int, int], offset: int, *, online: bool) -> float:
    """The value of a source at an offset, by hand."""
    monthly = step == "monthly"
    moment = month_of(*time) + offset if monthly else 0
    year = moment // 12 if monthly else time[0] + offset
    timeless = {"cover": YEAR_CLASSES[year % 4], "forcing": year, "static": HEIGHT}
    if source in timeless:
        return timeless[source]
    mean = month_of(year, 1) + 5.5
    if source == "import":
        twelve = 100.0 + moment % 12 + 1 if monthly else 106.5
        return (moment if monthly else mean) if online else twelve
    if source == "other's yearly output" or (source == "own output" and not monthly):
        return year if year > START else FILL  # the first state that is predicted is that of the year after the start
    if year < START:
        return FILL
    return moment if monthly else mean


@pytest.mark.parametrize(("step", "source", "offset"), CASES)
def test_every_offset_is_the_true_one(seen: Seen, step: str, source: str, offset: int) -> None:
    name, offsets = (MONTHLY if step == "monthly" else YEARLY)[source]
    record = {time: fields for (output, time), fields in seen.record.items() if output == f"trace_{step}"}
    assert len(record) == (48 if step == "monthly" else 4)
    for time, fields in record.items():
        found = fields[name][offsets.index(offset)]
        assert found == pytest.approx(truth(step, source, time, offset, online=seen.online), abs=0.01), time


def test_the_time_is_the_one_that_is_predicted(seen: Seen) -> None:
    """The months that the host has lived, and the year whose state begins."""
    times = {out: sorted(t for o, t in seen.record if o == out) for out in ("trace_monthly", "trace_yearly")}
    assert times["trace_monthly"] == [(year, month) for year in range(START, STOP) for month in range(1, 13)]
    assert times["trace_yearly"] == [(year, 0) for year in range(START + 1, STOP + 1)]


def test_a_memory_is_that_of_the_month_before(seen: Seen) -> None:
    ages = [
        seen.record["other_monthly", time]["age"] for time in sorted(t for o, t in seen.record if o == "other_monthly")
    ]
    assert ages == [(float(month),) for month in range(48)]


def test_months_are_stored_under_their_year(site: Path, tmp_path: Path) -> None:
    """The last year of the run has no months yet: they would come with the next step."""
    store = tmp_path / "run.zarr"
    recorded(simulation(run_of(*PREDICTORS, stop=2017), store).run)
    data = open_store(store)
    for year in (2015, 2016):
        months = data["trace_monthly"].sel(year=year).values
        assert [np.unique(month).tolist() for month in months] == [[month_of(year, m)] for m in range(1, 13)]
        if year > START:
            assert np.unique(data["trace_yearly"].sel(year=year)).tolist() == [year]
    assert np.isnan(data["trace_monthly"].sel(year=2017)).all()
    assert inspect(store, verify=True)["committed"] == [2015, 2016, 2017]


@pytest.mark.parametrize("stopped", [2016, 2017])
def test_a_restart_in_mid_history_is_identical(site: Path, tmp_path: Path, stopped: int) -> None:
    raw = run_of(*PREDICTORS)
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    expected = recorded(simulation(raw, whole).run)
    config = parse_config(raw | {"output": {"store": str(parts), "shard": 16}}, tmp_path, "test")
    first = recorded(lambda: run_until(config, stopped))
    second = recorded(lambda: Simulation(config).run(restart=True))
    assert first.keys() & second.keys() == set()
    assert first | second == expected
    for name in ("trace_monthly", "trace_yearly", "other_monthly", "land_cover"):
        np.testing.assert_array_equal(open_store(parts)[name], open_store(whole)[name])
    inspect(parts, verify=True)
    one, other = (Restart.open(f"{store}.restart") for store in (whole, parts))
    assert {i: f.sha256 for i, f in one.files.items()} == {i: f.sha256 for i, f in other.files.items()}


def test_a_host_restarts_in_mid_history(site: Path, tmp_path: Path) -> None:
    """The months that the host gave before are in the restart."""
    raw = run_of(*PREDICTORS)
    expected = recorded(lambda: host(raw, STOP).finalize())
    first = recorded(lambda: host(raw, 2017).write_restart(tmp_path / "restart"))
    second = recorded(lambda: host(raw, STOP, tmp_path / "restart", given_from=2017).finalize())
    assert first | second == expected


@pytest.mark.mpi
def test_two_ranks_give_the_same(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with what the recorder draws at random, and on a rank that sees the halo of the other."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    raw = run_of(*PREDICTORS, recorder("drawn", "P1M", random=True), stop=2017)
    alone, shared = tmp_path / "alone.zarr", tmp_path / "shared.zarr"
    recorded(simulation(raw, alone).run)
    path = tmp_path / "run.yaml"
    plain = json.loads(json.dumps(raw | {"output": {"store": str(shared), "shard": 16}}))
    path.write_text(yaml.safe_dump(plain))
    done = mpirun(2, "-m", "ai4land_coupler.cli", "run", path)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = open_store(alone), open_store(shared)
    for name in ("trace_monthly", "trace_yearly", "drawn", "land_cover"):
        np.testing.assert_array_equal(one[name], two[name])
    drawn = one["drawn"].sel(year=2015).values
    assert not np.array_equal(drawn[0], drawn[1])  # months are not drawn alike
    blocks = [{i: f.sha256 for i, f in Restart.open(f"{s}.restart").files.items()} for s in (alone, shared)]
    assert blocks[0] == blocks[1]


def test_a_host_gives_the_months_before_the_run(site: Path) -> None:
    """Without them a predictor that needs them stops, and the error names them; with ``fill`` it does not need them."""
    needed = run_of(recorder("trace", "P1M", field("sunshine", "import", 0, -2)))
    with pytest.raises(FieldError, match=r"2014-11 .*2014-12"):
        host(needed, 2016, given_from=2015)
    optional = run_of(recorder("trace", "P1M", field("sunshine", "import", 0, -2, missing="fill")), imports={})
    record = recorded(lambda: host(optional, 2016, given_from=2015).finalize())
    got = [record["trace", (2015, month)]["sunshine"] for month in (1, 2, 3)]
    january = month_of(2015, 1)
    assert got == [(january, FILL), (january + 1, FILL), (january + 2, pytest.approx(january))]


# --- what is refused at load


OUTPUT = "nobody makes 'snow'"
REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "the import of a year that has not been lived": ([recorder("t", "P1Y", field("sunshine", "import"))], "offset"),
    "months of that year": ([recorder("t", "P1Y", field("m", "output")), recorder("m", "P1M")], "offset"),
    "a later map": ([recorder("t", "P1M", field("land_cover", "cover", 12))], "offset"),
    "a later import": ([recorder("t", "P1M", field("sunshine", "import", 1))], "offset"),
    "its own output of the same month": ([recorder("t", "P1M", field("t", "output"))], "wait for each other"),
    "months of each other": (
        [recorder("a", "P1M", field("b", "output", -1)), recorder("b", "P1M", field("a", "output", -1))],
        "wait for each other",
    ),
    "an output that nobody makes": ([recorder("t", "P1M", field("snow", "output", -1))], "no predictor makes 'snow'"),
    "an output in other units": (
        [recorder("t", "P1Y", field("a", "output", -1)), recorder("a", "P1Y", units="kg")],
        "units",
    ),
    "a memory as an input": ([recorder("t", "P1Y", field("age", "memory", -1))], "spec.memory"),
    "one name twice": ([recorder("t", "P1Y", field("when", "forcing"), field("when", "static"))], "distinct names"),
    "no offset": ([recorder("t", "P1Y", field("when", "forcing") | {"offsets": ()})], "offsets"),
    "unknown units": ([recorder("t", "P1Y", field("when", "forcing") | {"units": "fortnightz"})], "fortnightz"),
    "unknown units of an output": ([recorder("t", "P1Y", units="leaves")], "leaves"),
    "units of another quantity": ([recorder("t", "P1Y", field("elevation", "static", units="K"))], "elevation"),
    "one variable in two units": (
        [recorder("t", "P1Y", field("when", "forcing")), recorder("u", "P1Y", field("when", "forcing", units="month"))],
        "units",
    ),
    "a step of months": ([recorder("t", "P3M")], "P3M"),
    "a step of a year and a half": ([recorder("t", "P18M")], "P18M"),
    "a map before the first": ([recorder("t", "P1Y", field("land_cover", "cover", -27))], "1989"),
    "a forcing before the first": ([recorder("t", "P1M", field("when", "forcing", -400))], "1981"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_carried_is_refused_at_load(site: Path, case: str) -> None:
    predictors, message = REFUSED[case]
    component = LandComponent(parse_config(run_of(*predictors), Path(), "test"))
    with pytest.raises(Ai4LandError, match=message):
        component.initialize()


def test_months_and_other_steps_do_not_mix(site: Path, tmp_path: Path) -> None:
    """Beside maps of several years, and backward in time, months are not carried."""
    long = run_of(recorder("t", "P1M"), stop=2018)
    long["predictors"][0] = {"name": "calendar", "options": {"step": "P3Y"}}
    with pytest.raises(Ai4LandError, match="P3Y"):
        LandComponent(parse_config(long, Path(), "test")).initialize()
    back = run_of(stop=2013, predictors=[recorder("t", "P1M", direction=-1)])
    with pytest.raises(Ai4LandError, match="forward"):
        simulation(back, tmp_path / "run.zarr").run()


def test_a_restart_of_the_earlier_format(site: Path, tmp_path: Path) -> None:
    """It is read where it says the same; where its labels were a year late, or it has no history, it is refused."""

    def earlier(name: str, *predictors: dict[str, Any]) -> Any:
        store = tmp_path / f"{name}.zarr"
        raw = run_of(*predictors) | {"output": {"store": str(store), "shard": 16}}
        config = parse_config(raw, tmp_path, "test")
        recorded(lambda: run_until(config, 2017))
        for path in Path(f"{store}.restart").glob("*/manifest.json"):
            content = unseal(path.read_bytes(), path, "")
            del content["attrs"]["history"]
            path.write_bytes(seal(content | {"format": 1}))
        return Simulation(config)

    earlier("maps", recorder("t", "P1Y", field("land_cover", "cover", -1))).run(restart=True)
    with pytest.raises(DataError, match="a year late"):
        earlier("months", recorder("t", "P1M")).run(restart=True)
    with pytest.raises(DataError, match="'land_cover'"):
        earlier("history", recorder("t", "P1Y", field("land_cover", "cover", -2))).run(restart=True)


def test_steps_of_several_years_and_back_in_time(site: Path, tmp_path: Path) -> None:
    """Offsets count in the steps of the run: of three years, and towards later years in a backward run."""
    inputs = (
        field("land_cover", "cover", 0, -1, -3),
        field("when", "forcing", 0, -2),
        field("t", "output", -1, -2),
        field("sunshine", "import", -1, -2),
    )
    raw = run_of(recorder("t", "P3Y", *inputs), start=2012, stop=2021)
    raw["predictors"][0] = {"name": "calendar", "options": {"step": "P3Y"}}
    record = recorded(lambda: host(raw, 2021, given_from=2009).finalize())
    assert sorted(time for _, time in record) == [(2015, 0), (2018, 0), (2021, 0)]
    got = record["t", (2021, 0)]
    assert got["land_cover"] == tuple(YEAR_CLASSES[year % 4] for year in (2021, 2018, 2012))
    assert got["when"] == (2021, 2015)
    assert got["t"] == (2018, 2015)
    years = 12 * np.array([2018, 2019, 2020]) + 5.5
    assert got["sunshine"] == pytest.approx((years.mean(), years.mean() - 36), abs=0.01)

    back = run_of(start=2005, stop=2002, imports={})
    back["predictors"] = [recorder("t", "P1Y", *inputs[1:3], field("land_cover", "cover", -1, -3), direction=-1)]
    record = recorded(simulation(back, tmp_path / "back.zarr").run)
    assert sorted(time for _, time in record) == [(2002, 0), (2003, 0), (2004, 0)]
    # without a predictor of land cover the map stays that of 2005; the two maps before the run are those of later years
    assert record["t", (2004, 0)]["land_cover"] == (YEAR_CLASSES[2005 % 4], YEAR_CLASSES[2007 % 4])
    assert record["t", (2002, 0)] == {"when": (2002, 2004), "t": (2003, 2004), "land_cover": (YEAR_CLASSES[1],) * 2}

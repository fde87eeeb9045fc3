"""Time in the component: calendars, calls without a step, the next year, ways to start."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import cftime
import needs
import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE, PHENOLOGY, Raw, config_of, realized
from hypothesis import given
from hypothesis import strategies as st
from ranks import mpirun

from ai4land_coupler import LandComponent
from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.errors import ConfigError, DataError, FieldError, TimeError
from ai4land_coupler.host.time import HostTime
from ai4land_coupler.land.forcing import LandForcing, StepForcing

needs.yac()

CALENDARS = ("standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day")
COVER = "land_cover_fraction"


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    return {**twin_config, "predictors": [PERSISTENCE]}


class TestCalendar:
    @pytest.mark.parametrize(
        ("calendar", "date", "there"),
        [
            ("standard", (2016, 2, 29), True),
            ("standard", (2015, 2, 29), False),
            ("standard", (1582, 10, 10), False),
            ("proleptic_gregorian", (1582, 10, 10), True),
            ("proleptic_gregorian", (1900, 2, 29), False),
            ("julian", (1900, 2, 29), True),
            ("noleap", (2016, 2, 29), False),
            ("all_leap", (2015, 2, 29), True),
            ("360_day", (2015, 2, 30), True),
            ("360_day", (2015, 1, 31), False),
            ("gregorian", (2015, 13, 1), False),
            ("365_day", (2015, 0, 1), False),
            ("366_day", (2015, 1, 0), False),
        ],
    )
    def test_dates_of_a_calendar(self, calendar: str, date: tuple[int, ...], there: bool) -> None:
        if there:
            assert HostCalendar(calendar).parse(date) == (*date, 0)
        else:
            with pytest.raises(TimeError, match="no such date"):
                HostCalendar(calendar).parse(date)

    def test_forms_of_one_date(self) -> None:
        calendar = HostCalendar("360_day")
        wanted = HostDate(2015, 2, 30, 6 * 3600 + 90)
        for moment in (
            "2015-02-30T06:01:30",
            "2015-02-30 06:01:30Z",
            (2015, 2, 30, 21690),
            [2015, 2, 30, 21690.0],
            cftime.datetime(2015, 2, 30, 6, 1, 30, calendar="360_day"),
            wanted,
        ):
            assert calendar.parse(moment) == wanted
        assert calendar.parse(2015) == calendar.parse("2015") == calendar.parse(np.int64(2015)) == (2015, 1, 1, 0)
        assert calendar.parse(datetime.date(2015, 2, 28)) == (2015, 2, 28, 0)
        assert HostCalendar().parse(datetime.datetime(2015, 2, 28, 12, 30)) == (2015, 2, 28, 45000)

    @pytest.mark.parametrize("moment", ["soon", "2015-2-3", "2015-02-03T25:00", (), (2015, 1.5), (1, 2, 3, 4, 5), 3.5])
    def test_values_that_are_no_date(self, moment: Any) -> None:
        with pytest.raises(TimeError, match="not a date"):
            HostCalendar().parse(moment)

    def test_seconds_of_a_day(self) -> None:
        for seconds in (-1, -0.5, 86401, 86400.5, np.nan):
            with pytest.raises(TimeError, match=r"time of day|not a date"):
                HostCalendar().parse((2015, 1, 1, seconds))

    def test_clocks_that_drift(self) -> None:
        """A time within 0.01 s of midnight is midnight; others stay as they are."""
        noleap = HostCalendar("noleap")
        for seconds in (86400, 86399.9999, np.nextafter(np.float32(86400), np.float32(0)), 86400.00001):
            assert noleap.parse((2015, 12, 31, seconds)) == (2016, 1, 1, 0)
            assert noleap.parse((2016, 2, 28, seconds)) == (2016, 3, 1, 0)
        assert noleap.parse((2015, 1, 1, -1e-9)) == noleap.parse((2015, 1, 1, 1e-9)) == (2015, 1, 1, 0)
        late = cftime.datetime(2015, 12, 31, 23, 59, 59, 999_990, calendar="noleap")
        assert noleap.parse(late) == (2016, 1, 1, 0)
        assert noleap.parse((2015, 1, 1, 86399.5)) == (2015, 1, 1, 86399.5)
        assert str(HostDate(2015, 1, 1, 86399.5)) == "2015-01-01T23:59:59.5"
        assert str(HostDate(2015, 1, 1, 12342.857142857143)) == "2015-01-01T03:25:42.857143"

    def test_a_year_that_ends_just_before_midnight(self, raw: Raw) -> None:
        component = realized(raw)
        component.run((2015, 12, 31, 86399.98))
        assert component.year == 2015
        component.run((2015, 12, 31, 86399.9999))
        assert component.year == 2016
        assert component.date == (2016, 1, 1, 0)
        component.run((2015, 12, 31, 86399.9999))  # the same date again
        component.run((2016, 1, 1, 0.1 + 0.2))

    def test_a_date_of_another_calendar(self) -> None:
        with pytest.raises(TimeError, match="another calendar"):
            HostCalendar("noleap").parse(cftime.datetime(2015, 1, 1, calendar="360_day"))
        assert HostCalendar("noleap").parse(cftime.DatetimeNoLeap(2015, 1, 1)) == (2015, 1, 1, 0)
        with pytest.raises(TimeError, match="did you mean 'noleap'"):
            HostCalendar("nolaep")

    @given(
        calendar=st.sampled_from(CALENDARS),
        days=st.integers(0, 400_000),
        steps=st.lists(st.integers(-40, 400), max_size=30),
    )
    def test_the_quick_check_agrees_with_cftime(self, calendar: str, days: int, steps: list[int]) -> None:
        """For any dates of a host: the quick check accepts later dates of the current year only."""
        chosen = HostCalendar(calendar)
        begin = cftime.datetime(1500, 1, 1, calendar=calendar) + datetime.timedelta(days=days)
        time = HostTime(chosen, HostDate(begin.year))
        last = HostDate(begin.year, begin.month, begin.day)
        time.move(last)
        for step in steps:
            moment = cftime.datetime(*last[:3], calendar=calendar) + datetime.timedelta(days=step)
            date = HostDate(moment.year, moment.month, moment.day, 0)
            gap = calendar == "standard" and date.year == 1582  # always looked at by cftime
            assert time.no_step_is_due(*date) == (date.year == last.year and date >= last and not gap)
            if date.year == last.year and date >= last:
                last = date
                assert gap or time.now == date
        assert not time.no_step_is_due(last.year, 2, 31, 0)
        assert not time.no_step_is_due(last.year, 12, 1, 86400)


class TestRun:
    @pytest.mark.parametrize("calendar", CALENDARS)
    def test_every_day_for_three_years(self, raw: Raw, calendar: str) -> None:
        """The state changes on each 1 January and on no other day."""
        component = LandComponent(config_of(raw))
        component.set_calendar(calendar)
        component.initialize()
        component.set_named_grid("host")
        component.realize()
        moment = cftime.datetime(2015, 1, 1, 12, calendar=calendar)
        changes = []
        while moment.year < 2018:
            before = component.step_count
            component.run((moment.year, moment.month, moment.day, moment.hour * 3600))
            assert component.year == moment.year
            assert component.date == (moment.year, moment.month, moment.day, 43200)
            if component.step_count != before:
                changes.append((moment.year, moment.month, moment.day))
            moment += datetime.timedelta(days=1)
        assert changes == [(2016, 1, 1), (2017, 1, 1)]
        plain = realized(raw)
        plain.run(2017)
        np.testing.assert_array_equal(component.export(COVER), plain.export(COVER))

    def test_a_date_twice_and_an_earlier_date(self, raw: Raw) -> None:
        component = realized(raw)
        component.run("2016-06-15T12:00:00")
        state, count = component.state, component.step_count
        for until in ("2016-06-15T12:00:00", (2016, 6, 15, 43200), cftime.datetime(2016, 6, 15, 12), (2016, 12, 31)):
            component.run(until)
        assert component.state is state
        assert component.step_count == count
        for until in ("2016-06-15T11:59:59", (2016, 1, 1), 2016, 2015, cftime.datetime(2016, 12, 30)):
            with pytest.raises(TimeError, match="2016-12-31 to 2021"):
                component.run(until)
        with pytest.raises(TimeError, match="no such date"):
            component.run((2016, 2, 30))
        assert component.date == (2016, 12, 31, 0)
        component.run(2017)  # and it goes on
        with pytest.raises(TimeError, match="2017 to 2021"):
            component.run((2022, 1, 1))
        component.run("2021-12-31")
        assert component.year == 2021

    def test_the_calendar_does_not_change_in_a_run(self, raw: Raw) -> None:
        component = realized(raw)
        component.set_calendar("noleap")
        component.run("2015-03-01")
        with pytest.raises(TimeError, match="cannot change"):
            component.set_calendar("360_day")
        component.set_calendar("365_day")  # another name of the same
        with pytest.raises(TimeError, match="no such date"):
            component.run("2016-02-29")

    def test_a_call_without_a_step_is_local(self, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
        component = realized(raw)

        def refuse(*arguments: Any, **options: Any) -> None:
            raise AssertionError("a collective call")

        for name in ("allgather", "gather", "bcast", "alltoall", "sum_by_block", "guard"):
            monkeypatch.setattr(component.comm, name, refuse)
        for day in range(1, 32):
            component.run((2015, 1, day))
        component.run("2015-12-31T23:59:59")
        with pytest.raises(TimeError):
            component.run("2015-06-01")
        with pytest.raises(AssertionError, match="collective"):
            component.run(2016)


class TestNextYear:
    @pytest.fixture
    def ahead(self, raw: Raw) -> Raw:
        return {**raw, "exports": {"lookahead": True, "transitions": True}}

    def test_equal_to_a_run_without_lookahead(self, raw: Raw, ahead: Raw) -> None:
        plain, early = realized(raw), realized(ahead)
        assert early.next_year == 2016
        for year in (2016, 2017, 2018):
            following = early.export(COVER, at="next")
            early.run(year)
            plain.run(year)
            for block, codes in plain.state.cover.items():
                np.testing.assert_array_equal(early.state.cover[block], codes)
            np.testing.assert_array_equal(early.export(COVER), plain.export(COVER))
            np.testing.assert_array_equal(following, plain.export(COVER))
            assert {k: v.tolist() for k, v in early.diagnostics.items()} == {
                k: v.tolist() for k, v in plain.diagnostics.items()
            }
        assert plain.next_year is None
        with pytest.raises(TimeError, match="lookahead: true"):
            plain.export(COVER, at="next")

    def test_a_restart_takes_the_step_ahead_again(self, raw: Raw, ahead: Raw, tmp_path: Path) -> None:
        """A run with lookahead writes it in mid-year; runs with and without lookahead continue it."""
        first = realized(ahead)
        first.run("2017-08-09")
        first.write_restart(tmp_path)
        following = first.export(COVER, at="next")
        first.run(2019)
        for other in (ahead, raw):
            again = LandComponent(config_of(other))
            again.initialize(tmp_path)
            again.set_named_grid("host")
            again.realize()
            assert again.date == (2017, 8, 9, 0)
            with pytest.raises(TimeError, match="2017-08-09"):
                again.run("2017-08-08")
            if other is ahead:
                np.testing.assert_array_equal(again.export(COVER, at="next"), following)
            again.run(2019)
            np.testing.assert_array_equal(again.export(COVER), first.export(COVER))

    def test_the_last_year_has_no_next_year(self, ahead: Raw) -> None:
        component = realized(ahead, time={"start": 2015, "stop": 2016})
        component.run(2016)
        assert component.next_year is None
        component.export(COVER)
        with pytest.raises(TimeError, match=r"extend time\.stop"):
            component.export(COVER, at="next")

    @pytest.mark.parametrize(("calendar", "middle"), [("360_day", "2016-07-01"), ("noleap", "2016-07-02T12:00:00")])
    def test_between_the_years(self, ahead: Raw, calendar: str, middle: str) -> None:
        component = LandComponent(config_of(ahead))
        component.set_calendar(calendar)
        component.initialize()
        component.set_named_grid("host")
        component.realize()
        component.run(2016)
        now, following = component.export(COVER), component.export(COVER, at="next")
        assert not np.array_equal(now, following)
        assert component.export(COVER, at="2016-01-01") is now
        assert component.export(COVER, at=2017) is following
        between = component.export(COVER, at=middle)
        np.testing.assert_allclose(between, (now + following) / 2, rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(between.sum(axis=0), component.export("land_area_fraction"), rtol=1e-12)
        for date in ("2015-12-30", "2017-01-02"):
            with pytest.raises(TimeError, match="2016 to 2017"):
                component.export(COVER, at=date)
        with pytest.raises(FieldError, match="not interpolated"):
            component.export("land_cover_transition", at=middle)

    def test_three_years_ahead(self, ahead: Raw) -> None:
        """``next`` is the next state of the predictor; fractions are interpolated over three years."""
        options = {"legend": "hilda-v1.0-f", "step": "P3Y"}
        component = realized(ahead, predictors=[{"name": "persistence", "options": options}])
        assert component.next_year == 2018
        now, following = component.export(COVER), component.export(COVER, at="next")
        component.run(2017)
        days = 365 + 366  # to 1 January 2017, of 1096
        np.testing.assert_allclose(
            component.export(COVER, at=2017), now + (following - now) * days / 1096, rtol=1e-12, atol=1e-15
        )
        component.run(2018)
        np.testing.assert_array_equal(component.export(COVER), following)

    def test_the_map_is_ahead_and_leaf_area_is_not(self, raw: Raw, ahead: Raw) -> None:
        """Leaf area needs the host's climate of the year, the map does not; both equal a run without lookahead."""
        predictors = [PHENOLOGY, PERSISTENCE]
        plain, early = (realized(r, predictors=predictors) for r in (raw, ahead))
        warm = 280.0 + np.arange(12.0)[:, None] * np.ones(plain.cell_count)
        for component in (plain, early):
            component.import_("air_temperature", warm)
            component.run(2017)
        np.testing.assert_array_equal(early.export("lai"), plain.export("lai"))
        following = early.export(COVER, at="next")
        with pytest.raises(FieldError, match="imports of the year"):
            early.export("lai", at="next")
        plain.run(2018)
        np.testing.assert_array_equal(following, plain.export(COVER))

    def test_a_failed_step_ahead_changes_nothing(self, ahead: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
        """The forcing of 2021 is lost: the fault is found a year early, and the current state does not change."""
        component = realized(ahead, time={"start": 2018, "stop": 2022})
        component.run(2019)
        of_step = LandForcing.of_step

        def lost(self: LandForcing, clock: Clock) -> StepForcing:
            if clock.now == 2021:
                raise DataError("the forcing of 2021 is lost")
            return of_step(self, clock)

        monkeypatch.setattr(LandForcing, "of_step", lost)
        state, fractions = component.state, component.export(COVER)
        with pytest.raises(DataError, match="2021 is lost"):
            component.run(2020)
        assert component.state is state
        assert component.date == (2019, 1, 1, 0)
        assert component.export(COVER) is fractions
        component.run("2019-06-01")


class TestStart:
    def test_wrong_start_and_restart(self, raw: Raw, tmp_path: Path) -> None:
        for options, text in (
            ({"start": "warm"}, "no such way"),
            ({"start": "startup", "restart": tmp_path}, "takes no restart"),
            ({"start": "continue"}, "needs a restart"),
            ({"start": "branch"}, "needs a restart"),
        ):
            with pytest.raises(ConfigError, match=text):
                LandComponent(config_of(raw)).initialize(**options)

    def test_a_branch_with_the_same_scenario(self, raw: Raw, tmp_path: Path) -> None:
        """With another start year and seed, the scenario's change is still measured from the first run's reference."""
        first = realized(raw)
        first.run(2017)
        first.write_restart(tmp_path)
        first.run(2019)
        other = {**raw, "time": {"start": 2017, "stop": 2020}, "title": "branch"}
        with pytest.raises(ConfigError, match="does not fit"):
            LandComponent(config_of(other)).initialize(tmp_path)
        branch = LandComponent(config_of(other))
        branch.initialize(tmp_path, start="branch")
        branch.set_named_grid("host")
        branch.realize()
        assert branch.year == 2017
        branch.run(2019)
        np.testing.assert_array_equal(branch.export(COVER), first.export(COVER))
        branch.write_restart(tmp_path / "branch")
        branch.run(2020)
        again = LandComponent(config_of(other))
        again.initialize(tmp_path / "branch")  # a branch continues as any run
        again.set_named_grid("host")
        again.realize()
        again.run(2020)
        np.testing.assert_array_equal(again.export(COVER), branch.export(COVER))

    def test_a_branch_under_another_label_and_scenario(self, raw: Raw, tmp_path: Path) -> None:
        """The map of 2018 becomes the year 2100 of a control run; constant forcing keeps the areas."""
        first = realized(raw)
        first.run(2018)
        first.write_restart(tmp_path)
        forcing = [{**raw["forcing"][0], "constant_year": 2018}]
        control = {**raw, "time": {"start": 2100, "stop": 2103}, "forcing": forcing}
        component = LandComponent(config_of(control))
        with pytest.raises(Exception, match="no finished restart of year 2100"):
            component.initialize(tmp_path, start="branch")
        component = LandComponent(config_of(control))
        component.initialize(tmp_path, 2018, start="branch")
        component.set_named_grid("host")
        component.realize()
        assert component.date == (2100, 1, 1, 0)
        np.testing.assert_array_equal(component.export(COVER), first.export(COVER))
        component.run("2103-04-05")
        whole = component.export("land_area_fraction") > 0.99
        np.testing.assert_allclose(component.export(COVER)[:, whole], first.export(COVER)[:, whole], atol=2e-4)

    def test_another_grid_of_maps_is_refused(self, raw: Raw, tmp_path: Path) -> None:
        first = realized(raw)
        first.write_restart(tmp_path)
        with pytest.raises(ConfigError, match="block_plan"):
            LandComponent(config_of(raw, parallel={"block": 2})).initialize(tmp_path, start="branch")


class TestControlRunsOnline:
    def test_constant_forcing(self, twin_config: Raw) -> None:
        """No net change, also after the years of the scenario; gross change continues within cells."""
        raw = {**twin_config, "forcing": [{**twin_config["forcing"][0], "constant_year": 2015}]}
        raw |= {"predictors": [PERSISTENCE], "time": {"start": 2015, "stop": 2030}, "exports": {"lookahead": True}}
        component = realized(raw)
        first = component.export(COVER)
        area = component.hosts["host"].area
        component.run("2030-12-31")
        np.testing.assert_allclose(component.export(COVER) @ area, first @ area, rtol=2e-4)

    def test_repeated_forcing(self, raw: Raw) -> None:
        """The scenario repeats 2015 to 2017: after each cycle the areas are the same again."""
        forcing = [{**raw["forcing"][0], "repeat": {"first": 2015, "last": 2017}}]
        component = realized(raw, forcing=forcing, time={"start": 2015, "stop": 2027})
        area = component.hosts["host"].area
        sums = {}
        for year in range(2015, 2028):
            component.run((year, 6, 1))
            sums[year] = component.export(COVER) @ area
        for year in (2018, 2021, 2024, 2027):
            np.testing.assert_allclose(sums[year], sums[2015], rtol=5e-4, atol=1e-4 * sums[2015].sum())
        changed = np.abs(sums[2017] - sums[2015]).max()
        assert changed > 10 * np.abs(sums[2018] - sums[2015]).max()


@pytest.mark.mpi
def test_ranks_that_run_to_different_dates(raw: Raw, tmp_path: Path) -> None:
    """Every rank gets an error with a code, and the component can continue."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "from ai4land_coupler.errors import Ai4LandError\n"
        "comm = MPI.COMM_WORLD\n"
        "land = LandComponent(sys.argv[1], comm)\n"
        "land.initialize()\n"
        "land.set_named_grid('host')\n"
        "land.realize()\n"
        "try:\n"
        "    land.run((2016 + comm.rank, 1, 1))\n"
        "except Ai4LandError as error:\n"
        "    print(f'<{comm.rank}> code {error.host_code} {error.what}', flush=True)\n"
        "land.run((2016, 1, 2))\n"
        "print(f'<{comm.rank}> year {land.year}', flush=True)\n"
    )
    done = mpirun(2, program, path)
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("<"))
    assert [line[4:] for line in lines] == ["code 5 ranks run to different dates", "year 2016"] * 2, done

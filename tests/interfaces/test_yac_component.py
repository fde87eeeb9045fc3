"""The land under YAC: a toy atmosphere on other ranks gets the same land as a host in the same process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from ranks import environment, launcher

from ai4land_coupler import LandComponent
from ai4land_coupler.cli import cli

needs.yac()

YAC_PAGE = Path(__file__).parents[2] / "docs" / "yac.md"
MODEL = Path(__file__).parents[2] / "examples" / "hosts" / "yac" / "model.py"
PERSISTENCE = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
PHENOLOGY = {"name": "phenology", "options": {"legend": "hilda-v1.0-f", "start": 0.0}}


def write(config: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def run_file(twin_config: dict[str, Any], tmp_path: Path) -> Path:
    return write({**twin_config, "predictors": [PERSISTENCE]}, tmp_path / "run.yaml")


def coupled(
    run_file: Path, *model: str, land: tuple[str, ...] = (), ranks: int = 2
) -> subprocess.CompletedProcess[str]:
    """Land and atmosphere, each on its own ranks."""
    command = [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "ai4land_coupler.cli", "couple"]
    command += [str(run_file), *land, ":", "-n", "2", sys.executable, str(MODEL), "--start", "2015", *model]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600, check=False)


def in_process(run_file: Path, years: list[int]) -> np.ndarray:
    """Area of each class, on the sphere of radius 1, in the same years: (years, classes)."""
    land = LandComponent(run_file)
    land.initialize()
    land.set_named_grid("host")
    land.realize()
    for name in land.imports():
        land.import_(name, np.full(land.cell_count, 283.0))
    areas = []
    for year in years:
        land.run(year)
        areas.append(land.export("land_cover_fraction") @ land.hosts["host"].area)
    land.finalize()
    return np.array(areas) / 6_371_007.2**2


@pytest.mark.mpi
@pytest.mark.parametrize(
    "calendar", ["noleap", *(pytest.param(name, marks=pytest.mark.soak) for name in ("proleptic_gregorian", "360_day"))]
)
def test_areas_equal_those_of_an_in_process_host(run_file: Path, tmp_path: Path, calendar: str):
    got = tmp_path / "got.npz"
    ended = coupled(run_file, "--stop", "2018", "--calendar", calendar, "-o", str(got), land=("--calendar", calendar))
    assert ended.returncode == 0, ended.stderr[-2000:]
    with np.load(got) as received:
        assert received["years"].tolist() == [2015, 2016, 2017]
        areas = (received["land_cover_fraction"] * received["area"]).sum(axis=-1)
    expected = in_process(run_file, [2015, 2016, 2017])
    np.testing.assert_allclose(areas, expected, rtol=1e-10, atol=1e-14)
    assert not np.array_equal(areas[0], areas[2])


@pytest.mark.mpi
def test_imports_arrive(twin_config: dict[str, Any], tmp_path: Path):
    """Without temperatures and default the leaf model stops; with the atmosphere's temperatures it runs."""
    run_file = write({**twin_config, "predictors": [PERSISTENCE, PHENOLOGY]}, tmp_path / "run.yaml")
    arguments = ("--stop", "2017", "-o", str(tmp_path / "got.npz"))
    ended = coupled(run_file, *arguments)
    assert ended.returncode != 0
    assert "air_temperature" in ended.stderr
    assert "Traceback" not in ended.stderr
    # a band that covers the whole host grid: cells without data would be refused
    ended = coupled(run_file, *arguments, "--put-temperature", ranks=1)
    assert ended.returncode == 0, ended.stderr[-2000:]


@pytest.mark.mpi
def test_the_coupling_file_of_the_page(twin_config: dict[str, Any], tmp_path: Path):
    """The file in docs/yac.md: YAC accepts it, and the areas are those of couples that the model defines."""
    (text,) = (
        block for block in re.findall(r"```yaml\n(.*?)```", YAC_PAGE.read_text(), re.DOTALL) if "coupling:" in block
    )
    file = tmp_path / "coupling.yaml"
    file.write_text(text)
    run_file = write({**twin_config, "predictors": [PERSISTENCE, PHENOLOGY]}, tmp_path / "run.yaml")
    arguments = ("--stop", "2018", "--put-temperature", "-o", str(tmp_path / "got.npz"))
    ended = coupled(run_file, *arguments, "--couples-in-file", land=("--coupling", str(file)), ranks=1)
    assert ended.returncode == 0, ended.stderr[-2000:]
    with np.load(tmp_path / "got.npz") as received:
        assert received["years"].tolist() == [2015, 2016, 2017]
        areas = (received["land_cover_fraction"] * received["area"]).sum(axis=-1)
    np.testing.assert_allclose(areas, in_process(run_file, [2015, 2016, 2017]), rtol=1e-10, atol=1e-14)


@pytest.mark.mpi
def test_a_run_with_another_start_or_end_is_refused(run_file: Path, tmp_path: Path):
    ended = coupled(run_file, "--stop", "2030", "-o", str(tmp_path / "got.npz"))
    assert ended.returncode != 0
    assert "after the last state of the land" in ended.stderr
    ended = coupled(run_file, "--stop", "2018", "-o", str(tmp_path / "got.npz"), land=("--set", "time.start=2016"))
    assert ended.returncode != 0
    assert "starts at another time" in ended.stderr


def test_names_in_a_coupling_file_are_checked_before_yac_starts(run_file: Path, tmp_path: Path):
    def check(*options: str, **coupling: Any) -> tuple[int, str]:
        item = {
            "source": {"component": "ai4land", "grid": "host"},
            "target": {"component": "atmosphere", "grid": "band"},
            "field": "land_cover_fraction",
            "coupling_period": "P1Y",
            "interpolation": [{"conservative": {"order": 1}}],
        }
        raw = {"calendar": "proleptic-gregorian", "coupling": [{**item, **coupling}]}
        file = write(raw, tmp_path / "coupling.yaml")
        command = ["couple", str(run_file), "--check", "--coupling", str(file), *options]
        result = CliRunner().invoke(cli, command)
        return result.exit_code, result.output

    code, text = check()
    assert (code, "ready" in text) == (0, True)
    code, text = check(field=["land_area_fraction", "land_cover_fractions"])
    assert code == 2
    assert "land_cover_fraction" in text
    assert "coupling 1" in text
    code, text = check(source={"component": "ai4land", "grid": "hots"})
    assert (code, "another grid" in text) == (2, True)
    code, text = check("--component", "land")
    assert (code, "no couple" in text) == (2, True)
    code, text = check("--calendar", "noleap")
    assert (code, "another calendar" in text) == (2, True)
    code, text = check("--grid", "T42")
    assert (code, "not clear" in text) == (2, True)
    code, text = check(target={"component": "ai4land", "grid": "host"}, source={"component": "a", "grid": "b"})
    assert (code, "no import" in text) == (2, True)


def test_inputs_that_end_before_the_run_are_found_before_yac_starts(twin_config: dict[str, Any], tmp_path: Path):
    """The scenario ends in 2022, and the stored maps in 2022 too."""

    def check(*options: str, **parts: Any) -> tuple[int, str]:
        run_file = write({**twin_config, "predictors": [PERSISTENCE], **parts}, tmp_path / "run.yaml")
        result = CliRunner().invoke(cli, ["couple", str(run_file), "--check", *options])
        return result.exit_code, result.output

    code, text = check("--set", "time.stop=2022")
    # 12 x 10 cells of 0.7 x 0.5 degrees from 3 W and 49 N; the land is 1.5 W to 1.5 E, 50.5 N to 52.5 N: 4 x 4 centres
    assert (code, "the centres of 104 others are outside" in " ".join(text.split())) == (0, True)
    code, text = check("--set", "time.stop=2030")
    assert (code, "for the year 2023" in text) == (2, True)
    assert "beyond: hold" in text
    assert check("--set", "time.stop=2030", "--set", "forcing.0.beyond=hold")[0] == 0

    maps = {"path": twin_config["initial"]["options"]["path"], "legend": "hilda-v1.0-f"}
    replay = {"predictors": [{"name": "replay", "options": maps}], "allocation": {"method": "argmax"}}
    assert check("--set", "time.stop=2022", **replay)[0] == 0
    code, text = check("--set", "time.stop=2030", **replay)
    assert (code, "no stored map of 2023" in text) == (2, True)
    assert check("--set", "time.stop=2030", "--set", "predictors.0.options.beyond=hold", **replay)[0] == 0

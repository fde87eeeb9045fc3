"""Bad input: the message of each fault says what was expected, what was found, where, and what to do."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
import yaml
from installed_plugins import install
from ranks import mpirun

from ai4land_coupler import Simulation
from ai4land_coupler.cli import cli
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import Ai4LandError

Raw = dict[str, Any]
BUNDLE = Path(__file__).parents[2] / "plugins" / "ai4land_unet" / "bundles" / "twin"


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    """A valid run, without host grids (they need YAC)."""
    twin_config.pop("hosts")
    return twin_config


def refused(raw: Raw, folder: Path) -> Ai4LandError:
    """The error before a run starts, as the command line shows it."""
    with pytest.raises(Ai4LandError) as caught:
        Simulation(parse_config(raw, folder, "run.yaml")).run()
    assert caught.value.exit_code == 2
    assert not (folder / "run.zarr" / "land_cover" / "c" / "1").exists()  # no year was written
    return caught.value


def says(error: Ai4LandError, *texts: str) -> None:
    for text in texts:
        assert text in str(error), f"{text!r} is not in:\n{error}"


@pytest.fixture
def scenario(raw: Raw, tmp_path: Path) -> Callable[[], netCDF4.Dataset]:
    """A copy of the scenario that a test can damage. The run reads this copy."""

    def opened() -> netCDF4.Dataset:
        path = tmp_path / "scenario.nc"
        shutil.copy(raw["forcing"][0]["options"]["states"], path)
        raw["forcing"][0]["options"]["states"] = str(path)
        return netCDF4.Dataset(path, "a")

    return opened


@pytest.fixture
def land_map(raw: Raw, tmp_path: Path) -> Callable[[Callable[[np.ndarray], None]], None]:
    """Damage a copy of the initial map."""

    def spoil(change: Callable[[np.ndarray], None]) -> None:
        source = raw["initial"]["options"]["path"].format(year=2015)
        target = tmp_path / Path(source).name
        with rasterio.open(source) as file:
            codes, profile = file.read(1), file.profile
        change(codes)
        with rasterio.open(target, "w", **profile) as file:
            file.write(codes, 1)
        raw["initial"]["options"]["path"] = str(target)

    return spoil


def test_valid_run_works(raw: Raw, tmp_path: Path) -> None:
    raw["time"]["stop"] = 2016
    assert Simulation(parse_config(raw, tmp_path, "run.yaml")).run().years == (2015, 2016)


def test_missing_file(raw: Raw, tmp_path: Path) -> None:
    raw["forcing"][0]["options"]["states"] = "nowhere/states.nc"
    says(refused(raw, tmp_path), "missing", str(tmp_path / "nowhere" / "states.nc"))


def test_missing_variable(raw: Raw, tmp_path: Path, scenario: Callable[[], netCDF4.Dataset]) -> None:
    with scenario() as file:
        file.renameVariable("secdf", "secdff")
    raw["forcing"].pop()  # otherwise the historical file would be used
    says(refused(raw, tmp_path), "lacks secdf of group 'forest'", "primf secdf", "forcing of 2015")


def test_wrong_units(raw: Raw, tmp_path: Path, scenario: Callable[[], netCDF4.Dataset]) -> None:
    with scenario() as file:
        file["urban"].units = "km2"
    says(refused(raw, tmp_path), "urban", "units", "km2", "scenario.nc")


def test_wrong_grid(raw: Raw, tmp_path: Path, scenario: Callable[[], netCDF4.Dataset]) -> None:
    """The scenario is half a cell away from the lattice of the historical file, which is read first."""
    with scenario() as file:
        file["lon"][:] = file["lon"][:] + 0.125
    raw["forcing"].reverse()
    says(refused(raw, tmp_path), "grid", "0.25", "scenario.nc")


def test_year_outside(raw: Raw, tmp_path: Path) -> None:
    raw["time"]["stop"] = 2040
    says(refused(raw, tmp_path), "for the year 2023", "ssp: 2015-2022; luh2: 2010-2015", "time.stop")


def test_states_over_one(raw: Raw, tmp_path: Path, scenario: Callable[[], netCDF4.Dataset]) -> None:
    with scenario() as file:
        states = [n for n, v in file.variables.items() if v.ndim == 3 and n not in ("secma", "secmb")]
        total = sum(np.where(np.ma.getdata(file[n][1]) < 1e19, np.ma.getdata(file[n][1]), 0.0) for n in states)
        row, col = np.unravel_index(total.argmax(), total.shape)
        file["pastr"][1, row, col] = file["pastr"][1, row, col] + 1.02 - total[row, col]
    says(refused(raw, tmp_path), "1.02", "2016", "scenario.nc", "tolerance")


def test_unmasked_fill_value(raw: Raw, tmp_path: Path, scenario: Callable[[], netCDF4.Dataset]) -> None:
    """A fill value that was averaged with others is neither 1e20 nor a fraction."""
    with scenario() as file:
        file["primf"][1, 2, 2] = 1e18
    says(refused(raw, tmp_path), "primf", "1e+18", "2016", "scenario.nc")


def test_unknown_class_code(raw: Raw, tmp_path: Path, land_map: Callable[[Callable[[np.ndarray], None]], None]) -> None:
    def spoil(codes: np.ndarray) -> None:
        codes[10, 10:13] = 23  # tree crops, of HILDA+ v2

    land_map(spoil)
    says(refused(raw, tmp_path), "code 23 in 3 cells", "hilda-v1.0-f", "_2015_")


def test_legend_mismatch(raw: Raw, tmp_path: Path) -> None:
    """Code 44 is all forest in v1.0 and deciduous broad-leaf forest in v1.0-f."""
    raw["initial"]["options"]["legend"] = raw["legend"] = "hilda-v1.0"
    raw["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0"}}]
    says(refused(raw, tmp_path), "44", "hilda-v1.0", "hilda-v1.0-f")


def test_predictor_of_another_legend(raw: Raw, tmp_path: Path) -> None:
    raw["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0"}}]
    says(refused(raw, tmp_path), "another legend", "hilda-v1.0-f", "predictors[0]")


def test_truncated_weights(raw: Raw, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    weights = bundle / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    raw["predictors"] = [{"name": "unet", "options": {"bundle": str(bundle)}}]
    says(refused(raw, tmp_path), "weights.safetensors", "sha256")


def test_unknown_plugin(raw: Raw, tmp_path: Path) -> None:
    raw["predictors"] = [{"name": "unett", "options": {}}]
    says(refused(raw, tmp_path), "no plugin offers the predictor 'unett'", "did you mean 'unet'?", "predictors[0]")


def test_misspelt_key(raw: Raw, tmp_path: Path) -> None:
    raw["time"]["stopp"] = raw["time"].pop("stop")
    says(refused(raw, tmp_path), "time.stopp", "did you mean 'stop'?", "run.yaml")


def test_misspelt_option_of_a_plugin(raw: Raw, tmp_path: Path) -> None:
    raw["predictors"] = [{"name": "unet", "options": {"bundel": "twin"}}]
    says(refused(raw, tmp_path), "bundel", "did you mean 'bundle'?", "predictors[0]")


def test_direction_of_the_network(raw: Raw, tmp_path: Path) -> None:
    raw["time"] = {"start": 2015, "stop": 2011}
    says(refused(raw, tmp_path), "other direction", "backward", "unet")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Install a distribution for this test, in this process."""

    def make(name: str, code: str) -> Path:
        install(tmp_path / "site", name, code)
        monkeypatch.setattr("sys.path", [str(tmp_path / "site"), *sys.path])
        return tmp_path / "site"

    yield make
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


FRAGILE = """
import os

from ai4land_coupler.api import FieldSpec, Options, Predictor, PredictorSpec, hookimpl


class FragileOptions(Options):
    pass


class Fragile(Predictor):
    spec = PredictorSpec(
        inputs=(FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),),
        outputs=(FieldSpec("land_cover_logits", "1", source="output"),),
        legend="hilda-v1.0-f",
    )

    def predict(self, batch, rng):
        if os.environ.get("OMPI_COMM_WORLD_RANK", "1") == "1":
            raise ValueError("the ice is too thin")
        rows, cols = batch.fields["land_cover"].shape[-2:]
        import numpy as np

        return {"land_cover_logits": np.zeros((1, 7, rows, cols), np.float32)}


@hookimpl
def ai4land_register(registry):
    registry.predictor("NAME", lambda options: Fragile(), FragileOptions)
"""


def test_two_owners_of_a_name(raw: Raw, tmp_path: Path, installed: Callable[[str, str], Path]) -> None:
    installed("thin-ice", FRAGILE.replace("NAME", "unet"))
    says(refused(raw, tmp_path), "two plugins offer the predictor 'unet'", "thin-ice 1.0", "ai4land_coupler")


def test_predictor_that_raises(raw: Raw, tmp_path: Path, installed: Callable[[str, str], Path]) -> None:
    installed("thin-ice", FRAGILE.replace("NAME", "fragile"))
    raw["predictors"] = [{"name": "fragile"}]
    says(refused(raw, tmp_path), "a predictor failed", "ValueError: the ice is too thin", "2016", "fragile")


@pytest.mark.mpi
def test_predictor_that_raises_on_one_rank_of_two(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks get the error, none waits for ever, and the job ends with the exit code for bad input."""
    install(tmp_path / "ice", "thin-ice", FRAGILE.replace("NAME", "fragile"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "ice"))
    raw["predictors"] = [{"name": "fragile"}]
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import Simulation\n"
        "try:\n"
        "    Simulation(sys.argv[1], MPI.COMM_WORLD).run()\n"
        "except Exception as error:\n"
        "    print(f'<{MPI.COMM_WORLD.rank}> ' + ' / '.join(str(error).splitlines()), flush=True)\n"
    )
    done = mpirun(2, program, path, timeout=600)
    for rank in (0, 1):
        (line,) = (part for part in done.stdout.splitlines() if f"<{rank}>" in part)
        assert "the ice is too thin" in line
    ended = mpirun(2, "-m", "ai4land_coupler.cli", "run", path, "--set", "output.overwrite=true", timeout=600)
    assert ended.returncode == 2
    assert "the ice is too thin" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_exit_codes_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    from ai4land_coupler.cli import main

    monkeypatch.setattr("sys.argv", ["ai4land", "run", str(tmp_path / "absent.yaml")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "the configuration does not exist" in capsys.readouterr().err
    assert "run" in cli.commands


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (lambda: np.empty(2**50), ["the memory is not enough", "Unable to allocate 8.00 PiB", "fewer ranks"]),
        (Path("/nowhere/x").open, ["cannot be read or written", "No such file", "where: /nowhere/x"]),
        (lambda: {}["absent"], ["an error inside ai4land", "KeyError: 'absent'", "please report it, with the file "]),
    ],
)
def test_errors_of_the_program_have_a_message_and_no_traceback(
    raised: Any, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    import click

    from ai4land_coupler.cli import main

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(cli.commands, "fails", click.Command("fails", callback=raised))
    for options in ([], ["--debug"]):
        monkeypatch.setattr("sys.argv", ["ai4land", *options, "fails"])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 1
        printed = capsys.readouterr().err
        assert all(text in printed for text in told)
        assert ("Traceback" in printed) == bool(options)
    for log in tmp_path.glob("ai4land-*.log"):
        assert "Traceback" in log.read_text()
    assert any(tmp_path.iterdir()) == ("KeyError: 'absent'" in told)

"""Errors of a user."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_stores import make_store

from ai4land_coupler.errors import ConfigError, DataError, RunError, TimeError
from ai4land_coupler.formats import export
from ai4land_coupler.formats.store_reader import chosen_years

COMMITTED = [2015, 2018, 2021]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (2015, 2018, 2021)),
        ("2018", (2018,)),
        ("2015:2018", (2015, 2018)),
        ("2016:2020", (2018,)),
        (":2018", (2015, 2018)),
        ("2018:", (2018, 2021)),
        (":", (2015, 2018, 2021)),
    ],
)
def test_years(text: str | None, expected: tuple[int, ...]) -> None:
    assert chosen_years(text, COMMITTED, Path("run.zarr")) == expected


@pytest.mark.parametrize("text", ["2016", "2014:2018", "2018:2022", "2016:2017", "2021:2015"])
def test_missing_years(text: str) -> None:
    with pytest.raises(TimeError, match="does not hold the years") as caught:
        chosen_years(text, COMMITTED, Path("run.zarr"))
    assert "2015, 2018, 2021" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "a:b", "2015-2018", "2015:2016:2017", "20156"])
def test_malformed_years(text: str) -> None:
    with pytest.raises(ConfigError, match="malformed"):
        chosen_years(text, COMMITTED, Path("run.zarr"))


def test_no_committed_year(tmp_path: Path) -> None:
    path = make_store(tmp_path / "empty.zarr", commit=0)
    with pytest.raises(DataError, match="no committed year"):
        export(path, "netcdf", tmp_path / "m.nc")
    assert not (tmp_path / "m.nc").exists()


def test_only_committed_years_are_exported(tmp_path: Path) -> None:
    path = make_store(tmp_path / "part.zarr", commit=2)
    names = [p.name[11:15] for p in export(path, "geotiff", tmp_path / "tif")]
    assert names == ["2015", "2018"]


def test_existing_files_are_not_replaced(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "hilda_plus_2018_states_ai4land-v1-0-f_wgs84-nn.tif"
    target.write_text("mine")
    with pytest.raises(ConfigError, match="exists already") as caught:
        export(store, "geotiff", tmp_path)
    assert "--overwrite" in str(caught.value)
    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    export(store, "geotiff", tmp_path, overwrite=True)
    assert target.read_bytes()[:2] == b"II"
    assert len(list(tmp_path.iterdir())) == 3


def test_failed_export_leaves_no_new_file_and_keeps_old_ones(tmp_path: Path) -> None:
    path = make_store(tmp_path / "run.zarr")
    old = tmp_path / "out" / "m.nc"
    old.parent.mkdir()
    old.write_text("old")
    shard = path / "land_cover" / "c" / "2" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read") as caught:
        export(path, "netcdf", old, overwrite=True)
    assert "land_cover, year 2021" in str(caught.value)
    shard.unlink()
    with pytest.raises(DataError, match="missing or broken files"):
        export(path, "netcdf", old, overwrite=True)
    assert old.read_text() == "old"
    assert [item.name for item in old.parent.iterdir()] == ["m.nc"]


def test_export_into_the_store_is_refused(store: Path) -> None:
    with pytest.raises(ConfigError, match="inside of the output store"):
        export(store, "netcdf", store / "m.nc")


def test_folder_instead_of_a_file(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        export(store, "luh2", tmp_path)


def test_unknown_host_and_host_for_a_format_without_hosts(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'icon'"):
        export(store, "netcdf", tmp_path / "m.nc", host="icom")
    with pytest.raises(ConfigError, match="latitude-longitude grid"):
        export(store, "luh2", tmp_path / "m.nc", host="icon")


def test_options_that_a_format_would_ignore(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a resolution belongs to"):
        export(store, "luh2", tmp_path / "m.nc", resolution=0.5)
    with pytest.raises(ConfigError, match="a resolution belongs to"):
        export(store, "cmip", tmp_path, host="icon", resolution=0.5)
    with pytest.raises(ConfigError, match="does not divide the globe"):
        export(store, "cmip", tmp_path, resolution=0.7)
    with pytest.raises(ConfigError, match="global attributes belong to netCDF"):
        export(store, "geotiff", tmp_path, attrs={"license": "CC0"})
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_created(store: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(RunError, match="could not be written") as caught:
        export(store, "netcdf", tmp_path / "taken" / "m.nc")
    assert "taken" in str(caught.value)
    assert caught.value.exit_code == 1


def test_unknown_format(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'netcdf'"):
        export(store, "netcfd", tmp_path / "m.nc")  # type: ignore[arg-type]


def test_command_line(store: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from ai4land_coupler.cli import cli

    target = tmp_path / "m.nc"
    command = ["export", str(store), "netcdf", "-o", str(target), "--years", "2018", "--attr", "license=CC BY 4.0"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert str(target) in done.output.replace("\n", "")
    import netCDF4

    with netCDF4.Dataset(target) as file:
        assert file.license == "CC BY 4.0"
    again = CliRunner().invoke(cli, command)
    assert isinstance(again.exception, ConfigError)
    wrong = CliRunner().invoke(cli, [*command, "--attr", "license"])
    assert isinstance(wrong.exception, ConfigError)

"""The wheel holds all that the repository does, and works where the repository is not."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import needs
import pytest
import yaml

ROOT = Path(__file__).parents[1]
#: Where each folder of the repository lies in the wheel.
PLACES = {"ai4land_coupler": "ai4land_coupler", "schemas": "ai4land_coupler/schemas", "plugins": "", "adapters": ""}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files that git tracks, so that nothing of an earlier build slips in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        [needs.program("git"), "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        needs.missing("a git checkout", "this folder is none")
    for name in filter(None, listed.stdout.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (source / name).symlink_to((ROOT / name).readlink())
        elif (ROOT / name).is_file():
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", target, "."]
    subprocess.run([str(word) for word in command], cwd=source, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return built


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    missing = []
    for name in filter(None, tracked.split("\0")):
        top, _, rest = name.partition("/")
        if top in PLACES and rest and (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            place = f"{PLACES[top]}/{rest}" if PLACES[top] else rest
            if place not in held:
                missing.append(name)
    assert missing == []


def test_the_wheel_finds_its_plugins_and_data(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "from pathlib import Path; import ai4land_coupler as a; "
        "from ai4land_coupler.registry.loading import load_plugins; "
        f"assert Path(a.__file__).is_relative_to({str(tmp_path)!r}), a.__file__; p = load_plugins(); "
        "assert not p.failures, p.failures; "
        "print(*p.predictors, *p.adapters, *p.regridders); "
        "from ai4land_coupler.core.legend import legend_names; print(*legend_names()); "
        "p.create('predictor', 'unet', {'bundle': 'twin'}, 'test')"
    )
    # -P: not the folder that the test runs in; the extracted wheel goes before the editable install
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("unet", "persistence", "replay", "phenology", "luh2", "ssp", "hilda", "static", "yac", "hilda-v1.0-f"):
        assert name in done.stdout.split()


def test_the_folders_of_the_repository_are_no_packages(tmp_path: Path) -> None:
    """`import plugins` would hide another project's."""
    code = "import importlib.util as u; print([n for n in ('plugins', 'adapters', 'schemas') if u.find_spec(n)])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
    assert importlib.util.find_spec("ai4land_coupler.schemas") is not None


def test_the_environment_of_conda_asks_for_the_versions_of_the_package() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e .[yac,dev]"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["mpi"]]
    versions = dict(re.fullmatch(r"([\w-]+)(.*)", item.lower()).groups() for item in wanted)
    renamed = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
    found = dict(re.fullmatch(r"([\w-]+)(.*)", item).groups() for item in conda)
    assert {"openmpi", "mpi4py", "netcdf4", "pytorch-cpu"} < set(found)
    for name, version in found.items():
        assert version == versions.get(renamed.get(name, name), version), name

"""Every snippet of the pages is compiled, or read as the program reads it."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import needs
import numpy as np
import pytest
from coupling import PERSISTENCE, Raw, realized

from ai4land_coupler import LandComponent
from ai4land_coupler.cli import cli
from ai4land_coupler.config.parts import parse_parts
from ai4land_coupler.config.sections import Config, load_config, parse_config
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.registry.loading import load_plugins

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FORTRAN_MODULE = ROOT / "ai4land_coupler" / "capi" / "ai4land_mod.f90"
#: The least that a configuration has; sections of the pages replace these.
LEAST: dict[str, Any] = {
    "title": "a page",
    "legend": "hilda-v1.0-f",
    "time": {"start": 2015, "stop": 2020},
    "initial": {"name": "hilda", "options": {"path": "map.tif", "legend": "hilda-v1.0-f"}},
    "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}],
}
KINDS = dict.fromkeys(("initial", "forcing", "static", "climate"), "adapter") | {"predictors": "predictor"}
#: What a model has around a snippet in C.
C_MODEL = """
#include <stdint.h>
#include <stdio.h>
#include "a4l.h"
typedef int MPI_Comm;
int MPI_Comm_c2f(MPI_Comm comm);
int next_time_step(int *year, int *month, int *day, double *seconds);
int handle, land, nvert, ntype, year, month, day, ncell;
int64_t *id, *global_id, global_size, count;
double *lon, *lat, *own, *t2m, *cover, *fraction, seconds;
char text[4096], units[64];
void model(MPI_Comm comm) {
%s
}
"""
#: What a model has around a snippet in Fortran.
FORTRAN_MODEL = """
module the_model
  use, intrinsic :: iso_fortran_env, only: wp => real64, int64
  type :: comm_t
    integer :: mpi_val
  end type comm_t
  COMM :: comm
  integer :: code, year, month, day
  real(wp) :: seconds
  integer(int64) :: global_size
  integer(int64), allocatable :: global_id(:)
  real(wp), allocatable :: lon(:, :), lat(:, :), t2m(:)
  logical, allocatable :: mask(:)
end module the_model
"""


class Snippet(NamedTuple):
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}-{self.line}-{self.language or 'shell'}"


def snippets() -> Iterator[Snippet]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
            yield Snippet(page, text[: found.start()].count("\n") + 1, found[2], textwrap.dedent(found[3]))


def of(*languages: str) -> Any:
    return pytest.mark.parametrize("snippet", [s for s in snippets() if s.language in languages], ids=str)


def test_every_language_has_a_test() -> None:
    assert {s.language for s in snippets()} == {"python", "yaml", "toml", "bash", "", "c", "fortran"}


@of("python")
def test_python(snippet: Snippet) -> None:
    """It compiles, and what it imports exists."""
    tree = ast.parse(snippet.text, str(snippet))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ai4land"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)


@of("yaml")
def test_yaml(snippet: Snippet) -> None:
    """A part of a configuration is accepted, with the options of its plugins."""
    raw = parse_yaml(snippet.text, str(snippet))
    assert isinstance(raw, dict)
    if "parts" in raw:
        assert parse_parts({**LEAST, **raw}, ROOT, str(snippet)).scenarios
        return
    if not set(raw) <= set(Config.model_fields):
        return
    config = parse_config({**LEAST, **raw}, ROOT, str(snippet))
    plugins = load_plugins(None)
    for section in set(raw) & set(KINDS):
        given = getattr(config, section)
        for choice in given if isinstance(given, tuple) else (given,):
            if choice.name != "neighbour-vote":  # the example of docs/plugins.md
                options = plugins.find(KINDS[section], choice.name).options
                options.model_validate(choice.options, context={"base": ROOT})


@of("toml")
def test_toml(snippet: Snippet) -> None:
    assert tomllib.loads(snippet.text)["project"]["entry-points"]["ai4land"]


@of("bash", "")
def test_shell(snippet: Snippet) -> None:
    """The shell accepts it; commands, their options and targets of make exist."""
    checked = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    known = 0
    for line in snippet.text.splitlines():
        words = [word.strip("[]") for word in shlex.split(line, comments=True)]
        if words[:1] == ["make"] and "-C" not in words:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
            known += 1
        if "ai4land" in words:
            part = words[words.index("ai4land") + 1 :]
            part = part[: part.index(":")] if ":" in part else part
            command = cli.get_command(click.Context(cli), part[0])
            assert command is not None, line
            options = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            assert {word for word in part if re.match(r"--?[a-z]", word)} <= options | {"--help"}, line
            known += 1
        known += any(word.startswith(("python", "conda", "mpifort", "make")) for word in words[:1])
    assert known, "nothing in this snippet is known to this test"


@of("c")
def test_c(snippet: Snippet, tmp_path: Path) -> None:
    compiler, source = needs.program("gcc"), tmp_path / "model.c"
    source.write_text(C_MODEL % snippet.text)
    command = [compiler, "-fsyntax-only", "-Wall", "-Werror", f"-I{FORTRAN_MODULE.parent}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def fortran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled module."""
    folder = tmp_path_factory.mktemp("fortran")
    subprocess.run([needs.program("gfortran"), "-c", str(FORTRAN_MODULE)], cwd=folder, check=True, capture_output=True)
    return folder


@of("fortran")
def test_fortran(snippet: Snippet, fortran: Path) -> None:
    source, text = fortran / "model.f90", snippet.text
    if not text.lstrip().startswith("subroutine"):
        own = "" if "use ai4land_mod" in text else "use ai4land_mod\ntype(ai4land_t) :: land\n"
        own += "" if ":: cover" in text else "real(wp), allocatable, target :: cover(:, :, :)\n"
        model = FORTRAN_MODEL.replace("COMM ::", "type(comm_t) ::" if "comm%mpi_val" in text else "integer ::")
        text = f"{model}\nprogram the_program\nuse the_model\n{own}{text}\nend program the_program\n"
    source.write_text(text)
    command = [needs.program("gfortran"), "-std=f2008", "-Wall", "-fsyntax-only", str(source)]
    done = subprocess.run(command, cwd=fortran, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_argument_of_fortran_is_described() -> None:
    """The table in docs/fortran.md has each call of the module, with each of its arguments."""
    source, page = FORTRAN_MODULE.read_text(), (ROOT / "docs" / "fortran.md").read_text()
    described: dict[str, str] = {}
    for call, rest in re.findall(r"^\| (`[^|]*)?\|(.*)\|$", page.split("| call | argument |")[1], re.MULTILINE):
        for name in re.findall(r"`(\w+)`", call) or [*described][-1:]:
            described[name] = described.get(name, "") + rest
    described["bind"] += described["get"]
    kinds = {"surface_r64_2": "set_surface", "import_r64_2": "import_mean", "run_date_int": "run"}
    kinds |= {f"{name}_r64_{rank}": name for name, rank in (("get", 1), ("set", 1), ("bind", 1))}
    found = 0
    for name, arguments in re.findall(r"^  subroutine (\w+)\(self, ([^)]*)\)", source, re.MULTILINE):
        call = kinds.get(name, name)
        if call in described:
            found += 1
            for argument in arguments.split(", "):
                words = re.findall(r"\w+", described[call] + " code")
                assert argument in words, f"{call}: {argument}"
    public = re.search(r"procedure :: init, .*?finalize", source, re.DOTALL)
    assert public is not None
    assert set(re.findall(r"\w+", public[0])) - {"procedure"} <= set(described)
    assert found >= 24


# ---- snippets that run ------------------------------------------------------------------------------------------


def only(page: str, language: str, part: str) -> str:
    """The one snippet of a page that contains a text."""
    (found,) = (s.text for s in snippets() if (s.page.name, s.language) == (page, language) and part in s.text)
    return found


def test_the_first_run_with_replay(small_twin: Any, tmp_path: Path) -> None:
    """The whole run file of docs/coupling.md, with the maps of the twin in place of its maps."""
    text, maps = only("coupling.md", "yaml", "A first coupled run"), str(small_twin.paths["maps"])
    (tmp_path / "run.yaml").write_text(text.replace("maps/hilda_{year}.tif", maps))
    config = load_config(tmp_path / "run.yaml")
    land = LandComponent(config)
    land.initialize()
    land.set_named_grid("host")
    land.realize()
    for year in (2015, 2018):
        land.run(year)
        area = land.export("land_cover_fraction") @ land.hosts["host"].area
        np.testing.assert_allclose(area, areas_of(maps.replace("{year}", str(year)), land), rtol=1e-9)
    land.write_restart(config.resolve(config.restart.folder or Path()))
    assert (tmp_path / "restarts" / "2018").is_dir()


def areas_of(path: str, land: LandComponent) -> np.ndarray:
    """Area of each class on a map, counted with rasterio; the cells of a row have one area."""
    import rasterio

    with rasterio.open(path) as file:
        codes = file.read(1)
    legend, grid = land.setup.legend, land.setup.grid
    view = legend.to_view(np.where(np.isfinite(codes), codes, legend.ocean[0]).astype(np.uint8))
    return np.array([((view == k).sum(axis=1) * grid.row_area).sum() for k in range(len(legend.view))])


def test_pools_are_conserved(twin_config: Raw) -> None:
    """The function of docs/conservation.md, with transitions of a run, and a case that was computed by hand."""
    space: dict[str, Any] = {}
    exec(compile(only("conservation.md", "python", "def move_pools"), "conservation.md", "exec"), space)
    # two classes, half and half, with 10 and 2 kg m-2; a tenth of the cell goes from the first to the second
    after, fractions = space["move_pools"](np.array([[10.0], [2.0]]), np.array([[0.4], [0.1], [0.0], [0.5]]))
    np.testing.assert_allclose(fractions[:, 0], [0.4, 0.6], rtol=1e-15)
    np.testing.assert_allclose(after[:, 0], [10.0, (0.1 * 10 + 0.5 * 2) / 0.6], rtol=1e-15)

    land = realized({**twin_config, "predictors": [PERSISTENCE], "exports": {"transitions": True}})
    before = land.export("land_cover_fraction")
    pools = np.random.default_rng(1).uniform(0, 100, before.shape)
    for year in (2016, 2017, 2018):
        amount = (pools * before).sum(axis=0)
        land.run(year)
        pools, before = space["move_pools"](pools, land.export("land_cover_transition"))
        np.testing.assert_allclose(before, land.export("land_cover_fraction"), atol=1e-13)
        np.testing.assert_allclose((pools * before).sum(axis=0), amount, rtol=1e-12, atol=1e-12)


def test_pools_are_conserved_in_fortran(fortran: Path) -> None:
    """The subroutine of docs/conservation.md, with the same case; and a class that appears, and one that vanishes."""
    compiler = needs.program("gfortran")
    text = only("conservation.md", "fortran", "subroutine move_pools")
    program = f"""
program try
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none
  real(real64) :: pool(2), other(3)
  pool = [10.0_real64, 2.0_real64]
  call move_pools([0.5_real64, 0.5_real64], [0.4_real64, 0.6_real64], pool)
  print *, pool
  other = [8.0_real64, 5.0_real64, 0.0_real64]
  call move_pools([0.25_real64, 0.5_real64, 0.0_real64], [0.0_real64, 0.5_real64, 0.25_real64], other)
  print *, other
contains
{text}
end program try
"""
    (fortran / "try.f90").write_text(program)
    subprocess.run([compiler, "-std=f2008", "-o", "try", "try.f90"], cwd=fortran, check=True, capture_output=True)
    said = subprocess.run([fortran / "try"], capture_output=True, text=True, check=True).stdout.split()
    np.testing.assert_allclose(np.array(said, float), [10, 2 / 0.6, 0, 5, 8], rtol=1e-14)

"""Loading plugins from distributions that pip installed; each probe runs in its own process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ai4land_coupler.api.hooks import HookSpecs, Registry
from ai4land_coupler.errors import ConfigError, PluginError
from ai4land_coupler.registry.loading import HOOKS, load_plugins

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "third_party"

RIVAL = """
    from ai4land_coupler import api

    class Options(api.Options):
        pass

    @api.hookimpl
    def ai4land_register(registry):
        registry.predictor("neighbour-vote", dict, Options)
"""

BROKEN = {
    "raises": "import a_package_that_nobody_has",
    "misspelt": """
        from ai4land_coupler.api import hookimpl

        @hookimpl
        def ai4land_regster(registry):
            pass
    """,
    "unmarked": "def ai4land_register(registry): pass",
    "hookless": "x = 1",
    "arguments": """
        from ai4land_coupler.api import hookimpl

        @hookimpl
        def ai4land_step_done(event, surprise):
            pass
    """,
    "lenient": """
        import pydantic
        from ai4land_coupler.api import hookimpl

        @hookimpl
        def ai4land_register(registry):
            registry.adapter("fine-until-then", dict, type("O", (pydantic.BaseModel,), {}))
    """,
    "quits": "raise SystemExit(3)",
}

ODD = """
    import click
    from ai4land_coupler import api

    class Options(api.Options):
        tile_size: int = 3

    class NotQuite:
        spec = None

        def __init__(self, options):
            self.options = options

    class WrongSpec(api.Predictor):
        spec = None

        def __init__(self, options):
            pass

        def predict(self, batch, rng):
            return {}

    def failing(options):
        return 1 / 0

    def refusing(options):
        raise api.DataError("no such file", found="x.nc")

    seen = []

    @api.hookimpl
    def ai4land_register(registry):
        registry.predictor("not-quite", NotQuite, Options)
        registry.predictor("wrong-spec", WrongSpec, Options)
        registry.regridder("failing", failing, Options)
        registry.adapter("refusing", refusing, Options)

    @api.hookimpl
    def ai4land_step_done(event):
        seen.append(event.year)

    @api.hookimpl
    def ai4land_commands(cli):
        cli.add_command(click.Command("odd", callback=lambda: print("odd command ran")))
"""


def write_wheel(folder: Path, name: str, modules: dict[str, str]) -> Path:
    """A wheel (PyPA specification "Binary distribution format") with an entry point for each module."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    entries = "\n".join(f"{module} = {name}_{module}" for module in modules)
    files = {f"{name}_{module}.py": textwrap.dedent(text) for module, text in modules.items()}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = f"[ai4land]\n{entries}\n"
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return path


def pip_install(target: Path, *what: Path) -> Path:
    """Install for real, into a folder of its own: the environment under test is not touched."""
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, *map(str, what)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution of ``tests/third_party``, built from a copy and installed."""
    folder = tmp_path_factory.mktemp("third_party")
    source = shutil.copytree(THIRD_PARTY, folder / "source")
    return pip_install(folder / "site", source)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution with seven plugins that fail in different ways, and one with odd offers."""
    folder = tmp_path_factory.mktemp("others")
    broken = write_wheel(folder, "much_broken", BROKEN)
    return pip_install(folder / "site", broken, write_wheel(folder, "odd_one", {"plugin": ODD}))


@pytest.fixture(scope="module")
def rival(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rival")
    return pip_install(folder / "site", write_wheel(folder, "rival_votes", {"plugin": RIVAL}))


def probe(code: str, *sites: Path) -> Any:
    """Run code in a fresh process that has these distributions; its last line is JSON."""
    script = "import json\nfrom ai4land_coupler.registry.loading import load_plugins\n" + textwrap.dedent(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def attempt(call: str, *sites: Path) -> str:
    """The message of the error of ours that a call raises, with its kind in front."""
    code = f"""
    from ai4land_coupler.errors import Ai4LandError
    try:
        {call}
        told = "no error"
    except Ai4LandError as error:
        told = f"{{type(error).__name__}}: {{error}}"
    print(json.dumps(told))
    """
    return str(probe(code, *sites))


# --- our own plugins


def test_the_first_party_plugins_are_found_without_importing_torch() -> None:
    found = probe("""
        import sys
        plugins = load_plugins([])
        heavy = [name for name in ("torch", "rasterio", "netCDF4", "zarr", "mpi4py.MPI") if name in sys.modules]
        print(json.dumps([sorted(plugins.predictors), [str(f) for f in plugins.failures], heavy]))
    """)
    assert set(found[0]) >= {"persistence", "phenology", "replay"}
    assert found[1] == []
    assert found[2] == []


def test_a_misspelt_name_suggests_the_nearest() -> None:
    with pytest.raises(
        PluginError, match=r"no plugin offers the predictor 'persistance'\n(.|\n)*did you mean 'persistence'"
    ):
        load_plugins([]).create("predictor", "persistance", {}, "run.yaml: predictors[0]")


def test_a_misspelt_option_names_its_place_and_the_nearest_right_key() -> None:
    options = {"legend": "hilda-v1.0", "directoin": "forward"}
    with pytest.raises(ConfigError) as caught:
        load_plugins([]).create("predictor", "persistence", options, "run.yaml: predictors[0]")
    assert "directoin: unknown key; did you mean 'direction'?" in str(caught.value)
    assert "where: run.yaml: predictors[0], options of predictor 'persistence'" in str(caught.value)


def test_the_description_has_a_row_for_each_name() -> None:
    rows = {(row.kind, row.name): row for row in load_plugins([]).describe()}
    row = rows["predictor", "persistence"]
    assert (row.plugin, row.distribution) == ("ai4land_persistence", "ai4land_coupler")
    assert row.options == "legend, step='P1Y', direction='forward'"
    assert row.summary == "Predicts the class of the step before."


# --- a third party


def test_a_predictor_and_an_adapter_of_another_distribution_work(third_party: Path) -> None:
    """The vote is worked by hand: one field of class 1 amid class 0 gives way; the block of ocean has no say."""
    found = probe(
        """
        import numpy as np
        from ai4land_coupler import api
        plugins = load_plugins()
        offer = plugins.predictors["neighbour-vote"]
        predictor = plugins.create("predictor", "neighbour-vote", {"legend": "hilda-v1.0-f"}, "test")
        cover = np.zeros((1, 1, 5, 6), np.int8)
        cover[..., 2, 2] = 1
        cover[..., 4:] = -1
        tile = api.Tile(0, api.Box(1, 4, 1, 5), api.Box(0, 5, 0, 6))
        logits = predictor.predict(api.Batch((tile,), (2001, 0), {"land_cover": cover}), api.KeyedRng(0))
        adapter = plugins.create("adapter", "synthetic-forcing", {"first": 2000}, "test")
        grid = api.LatLonGrid(-10.0, 0.25, 8, 60.0, -0.25, 4)
        data = adapter.read(api.Request(tuple(adapter.fields()), grid, (2015, 2016)))
        total = sum(data[name] for name in data)
        print(json.dumps([
            offer.distribution, offer.version, offer.plugin, predictor.spec.halo,
            logits["land_cover_logits"][0, :2, 2, 2].tolist(), str(logits["land_cover_logits"].dtype),
            list(total.dims), list(total.shape), float(abs(total - 1).max()), str(data["c3ann"].dtype),
            float((data["c3ann"][1] - data["c3ann"][0]).min()) > 0,
        ]))
        """,
        third_party,
    )
    # Around (2, 2): 8 neighbours of class 0, itself of class 1 with 1.5 votes.
    expected = ["ai4land-thirdparty-example", "0.3.0", "neighbours", 1, [8.0, 1.5], "float32"]
    assert found[:6] == expected
    assert found[6:8] == [["year", "lat", "lon"], [2, 4, 8]]
    assert found[8] < 1e-6
    assert found[9:] == ["float32", True]


def test_the_order_is_by_distribution_and_name(third_party: Path, others: Path) -> None:
    code = """
        from ai4land_coupler.registry.loading import _sources
        print(json.dumps([[s.distribution, s.plugin] for s in _sources(None)]))
    """
    one, other = probe(code, third_party, others), probe(code, others, third_party)
    assert one == other == sorted(one, key=lambda row: (row[0].replace("_", "-"), row[1]))
    assert len(one) > 15


def test_two_owners_of_a_name_are_rejected_naming_both(third_party: Path, rival: Path) -> None:
    told = attempt("load_plugins()", third_party, rival)
    assert told.startswith("PluginError: two plugins offer the predictor 'neighbour-vote'")
    assert "'neighbours' (ai4land_thirdparty_example.neighbour_vote) of ai4land-thirdparty-example 0.3.0" in told
    assert "'plugin' (rival_votes_plugin) of rival-votes 1.0" in told


def test_the_allow_list_chooses_the_owner_of_a_name(third_party: Path, rival: Path) -> None:
    code = """
        import sys
        plugins = load_plugins(["AI4Land_ThirdParty.Example"])
        print(json.dumps([plugins.predictors["neighbour-vote"].distribution, "rival_votes_plugin" in sys.modules]))
    """
    assert probe(code, third_party, rival) == ["ai4land-thirdparty-example", False]


def test_an_empty_allow_list_keeps_our_own_plugins(third_party: Path) -> None:
    found = probe("print(json.dumps(sorted(load_plugins([]).predictors)))", third_party)
    assert "neighbour-vote" not in found
    assert "persistence" in found


def test_an_allowed_distribution_that_is_missing_is_reported(third_party: Path) -> None:
    told = attempt('load_plugins(["ai4land-thirdparty-exmple"])', third_party)
    assert "an allowed distribution offers no plugin, or is not installed" in told
    assert "did you mean 'ai4land-thirdparty-example'?" in told


# --- plugins that fail


@pytest.fixture(scope="module")
def failures(others: Path, third_party: Path) -> dict[str, str]:
    """Reason of failure by plugin. The other plugins must still work."""
    code = """
        plugins = load_plugins()
        names = {o.name for o in [*plugins.predictors.values(), *plugins.adapters.values()]}
        assert names >= {"neighbour-vote", "synthetic-forcing", "persistence", "not-quite", "refusing"}, names
        assert "fine-until-then" not in names
        mine = [f for f in plugins.failures if f.source.distribution == "much-broken"]
        rows = [row.plugin for row in plugins.describe() if row.kind == "failed" and row.distribution == "much-broken"]
        assert rows == [f.source.plugin for f in mine]
        print(json.dumps({f.source.plugin: f.reason for f in mine}))
    """
    return dict(probe(code, others, third_party))


def test_each_failing_plugin_is_isolated(failures: dict[str, str]) -> None:
    assert set(failures) == set(BROKEN)


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("raises", "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"),
        ("misspelt", "there is no hook 'ai4land_regster'\n  what to do: did you mean 'ai4land_register'?"),
        ("unmarked", "function 'ai4land_register' is not marked as a hook"),
        ("hookless", "the module has no hook"),
        ("arguments", "surprise"),
        ("lenient", "the options of adapter 'fine-until-then' let unknown keys pass"),
        ("quits", "SystemExit: 3"),
    ],
)
def test_the_reason_is_reported(failures: dict[str, str], plugin: str, reason: str) -> None:
    assert reason in failures[plugin]


def test_an_unknown_name_reports_the_broken_plugins(others: Path) -> None:
    told = attempt('load_plugins().create("predictor", "deep-net", {}, "run.yaml")', others)
    assert "no plugin offers the predictor 'deep-net'" in told
    assert (
        "plugin 'raises' (much_broken_raises) of much-broken 1.0: ModuleNotFoundError: No module named 'a_pack" in told
    )


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("predictor", "not-quite", "expected: an instance of ai4land_coupler.api.Predictor\n  found: NotQuite"),
        ("predictor", "wrong-spec", "PluginError: the spec of predictor 'wrong-spec' is not a PredictorSpec"),
        ("regridder", "failing", "PluginError: the regridder 'failing' could not be made: ZeroDivisionError"),
        ("adapter", "refusing", "DataError: no such file\n  found: x.nc"),
    ],
)
def test_odd_factories_are_reported_by_name(others: Path, kind: str, name: str, message: str) -> None:
    assert message in attempt(f'load_plugins(["odd-one"]).create({kind!r}, {name!r}, {{}}, "run.yaml")', others)


def test_the_hooks_are_called_in_every_plugin(others: Path) -> None:
    code = """
        import click, odd_one_plugin
        from ai4land_coupler.api import StepEvent
        hook = load_plugins(["odd-one"]).hook
        hook.ai4land_step_done(event=StepEvent(2016, 0, {}, {}))
        cli = click.Group()
        hook.ai4land_commands(cli=cli)
        print(json.dumps([odd_one_plugin.seen, sorted(cli.commands)]))
    """
    assert probe(code, others) == [[2016], ["odd"]]


# --- the page


def test_every_hook_and_every_way_to_register_is_documented() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = [name for name in vars(HookSpecs) if name.startswith("ai4land_")]
    ways = [f"registry.{name}" for name in vars(Registry) if not name.startswith("_")]
    assert sorted(hooks) == sorted(HOOKS)
    assert len(ways) == 5
    assert [name for name in hooks + ways if f"`{name}(" not in page] == []


def test_the_code_on_the_page_is_the_example_that_is_tested() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", page, flags=re.DOTALL)
    source = THIRD_PARTY / "src" / "ai4land_thirdparty_example"
    shown = [THIRD_PARTY / "pyproject.toml", source / "neighbour_vote.py", source / "synthetic_forcing.py"]
    assert [path.name for path in shown if path.read_text() not in blocks] == []
    assert len((source / "neighbour_vote.py").read_text().splitlines()) <= 40

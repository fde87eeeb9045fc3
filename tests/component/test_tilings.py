"""Runs with blended windows: ranks, restarts, monthly predictors, and what the store says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE, PHENOLOGY
from ranks import mpirun
from stopped_runs import run_until

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.store.output import open_store

needs.yac()

#: 67 x 100 cells: five by seven windows of 32 cells.
GAUSSIAN = {"method": "gaussian", "window": 32}


def config_of(raw: dict[str, Any], store: Path, **parts: Any) -> Config:
    return parse_config({**raw, "output": {"store": str(store), "shard": 64}, **parts}, store.parent, "test")


def cover(store: Path) -> np.ndarray:
    values: np.ndarray = open_store(store)["land_cover"].values
    return values


@pytest.fixture
def raw(twin_config: dict[str, Any]) -> dict[str, Any]:
    twin_config["time"] = {"start": 2015, "stop": 2017}
    return twin_config | {"hosts": {}}


@pytest.mark.mpi
def test_ranks_and_restarts(raw: dict[str, Any], tmp_path: Path) -> None:
    stores = {name: tmp_path / f"{name}.zarr" for name in ("exact", "one", "ranks")}
    Simulation(config_of(raw, stores["exact"])).run()
    raw["parallel"] |= {"tiling": GAUSSIAN}
    Simulation(config_of(raw, stores["one"])).run()
    reference = cover(stores["one"])
    assert 0.95 < (cover(stores["exact"]) == reference).mean() < 1

    run_until(config_of(raw, stores["ranks"]), 2016)  # one rank, then three
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**raw, "output": {"store": str(stores["ranks"]), "shard": 64}}))
    done = mpirun(3, "-m", "ai4land_coupler.cli", "run", path, "--restart")
    assert done.returncode == 0, done.stdout + done.stderr
    np.testing.assert_array_equal(cover(stores["ranks"]), reference)


def test_the_store_names_the_tiling_and_a_restart_needs_the_same(raw: dict[str, Any], tmp_path: Path) -> None:
    raw |= {"predictors": [PERSISTENCE], "parallel": {"block": 3, "tiling": GAUSSIAN}}
    store = tmp_path / "run.zarr"
    config = config_of(raw, store)
    run_until(config, 2016)
    provenance = json.loads(open_store(store).attrs["provenance"])
    kept = json.loads(provenance["config"])["parallel"]["tiling"]
    assert kept == {"method": "gaussian", "window": 32, "overlap": 0.5, "sigma": 0.125}
    for tiling, text in (
        ({"method": "exact"}, "parallel.tiling.method exact"),
        (GAUSSIAN | {"overlap": 0.25}, "parallel.tiling.overlap 0.25"),
    ):
        other = config_of(raw, store, parallel={"block": 3, "tiling": tiling})
        assert other.digest != config.digest
        with pytest.raises(ConfigError, match="does not fit") as caught:
            Simulation(other).run(restart=True)
        assert text in str(caught.value)
    Simulation(config_of(raw, store)).run(restart=True)


def test_months_of_a_pointwise_predictor_are_those_of_exact(raw: dict[str, Any], tmp_path: Path) -> None:
    """Leaf area follows temperature with a memory; argmax keeps the maps of persistence."""
    raw |= {
        "predictors": [PHENOLOGY, PERSISTENCE],
        "allocation": {"method": "argmax"},
        "imports": {"air_temperature": {"values": [270.0 + 2 * month for month in range(12)], "units": "K"}},
    }
    found = []
    for tiling in ({"method": "exact"}, GAUSSIAN):
        component = LandComponent(
            config_of(raw, tmp_path / "none.zarr", parallel={"block": 3, "tiling": tiling}), online=False
        )
        component.initialize()
        clock = component.clock.next()
        forcing, imports = component.read_inputs(clock)
        found.append(component.model.advance(component.state, forcing, imports, clock).state)
    exact, blended = found
    assert exact.fields["lai"].keys() == blended.fields["lai"].keys() != set()
    for block, months in exact.fields["lai"].items():
        assert months.shape[0] == 12
        np.testing.assert_array_equal(blended.cover[block], exact.cover[block])
        np.testing.assert_allclose(blended.fields["lai"][block], months, rtol=3e-6, atol=1e-7)
        np.testing.assert_allclose(
            blended.memory["phenology.lai_carry"][block], exact.memory["phenology.lai_carry"][block], rtol=3e-6
        )
    assert max(months.max() for months in exact.fields["lai"].values()) > 1

"""A network run from C, on ranks, gives the arrays that the offline simulation stored."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from host_lines import HERE, Mpi
from ranks import launch_settings

from ai4land_coupler import Simulation
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.store.output import open_store

pytestmark = pytest.mark.mpi
needs.yac()


def test_c_host_and_simulation_agree_to_the_bit(
    twin_config: dict[str, Any], compile_host: Callable[..., Path], mpi: Mpi, tmp_path: Path
) -> None:
    twin_config["time"]["stop"] = 2018
    Simulation(parse_config(twin_config, tmp_path, "test")).run()
    stored = open_store(tmp_path / "run.zarr", host="host")["land_cover_fraction"].values
    assert stored.shape == (4, 7, 120)
    assert (np.diff(stored, axis=0) != 0).any(axis=(1, 2)).all()  # every year is another

    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(twin_config))
    program = compile_host(HERE / "dump.c", "dump", [mpi.compiler])
    for ranks in (1, 2):
        folder = tmp_path / f"ranks{ranks}"
        folder.mkdir()
        launch = [mpi.launcher, "--oversubscribe", "-n", str(ranks), program, config, "host", "2015", "2018", folder]
        done = subprocess.run(
            [str(word) for word in launch],
            env=os.environ | launch_settings(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        parts = [np.fromfile(folder / f"{rank}.f64").reshape(4, 7, -1) for rank in range(ranks)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), stored)

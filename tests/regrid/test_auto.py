"""The backend ``auto``: its choice is recorded, and another backend cannot continue the run."""

from pathlib import Path

import numpy as np
import pytest

from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.regrid import auto
from ai4land_coupler.regrid.backends import esmf_runtime


@pytest.mark.parametrize(("reason", "backend"), [(None, "esmf"), ("esmpy is not installed", "yac")])
def test_auto_is_esmf_if_it_can_be_used_else_yac(monkeypatch, reason, backend):
    asked = []
    monkeypatch.setattr(esmf_runtime, "missing", lambda ranks: asked.append(ranks) or reason)
    assert auto.resolve("auto", 3) == backend
    assert asked == [3]
    assert [auto.resolve(name, 3) for name in ("yac", "file")] == ["yac", "file"]


def test_ranks_with_different_software_are_refused():
    class Two:  # rank 0 of two machines, of which the other has ESMF
        @staticmethod
        def allgather(mine):
            return [mine, "esmf"]

    auto.check_same("esmf", Two)
    auto.check_same("yac", None)
    with pytest.raises(ConfigError, match=r"different regridding backends\n.*\n  found: esmf on 1 ranks; yac on 1"):
        auto.check_same("yac", Two)


def run(config: dict, backend: str, folder: Path, restart: bool) -> LandComponent:
    component = LandComponent(parse_config(config | {"regrid": {"backend": backend}}, Path(), "run.yaml"))
    component.initialize(folder if restart else None)
    return component


def test_a_restart_keeps_what_auto_came_to(monkeypatch, twin_config, tmp_path):
    monkeypatch.setattr(esmf_runtime, "missing", lambda ranks: "esmpy is not installed")
    first = run(twin_config, "auto", tmp_path, restart=False)
    first.write_restart(tmp_path)
    for backend in ("auto", "yac"):
        again = run(twin_config, backend, tmp_path, restart=True)
        assert all(np.array_equal(again.state.cover[b], cover) for b, cover in first.state.cover.items())
    monkeypatch.setattr(esmf_runtime, "missing", lambda ranks: None)
    with pytest.raises(ConfigError, match=r"expected: regrid_backend esmf\n  found: regrid_backend yac"):
        run(twin_config, "auto", tmp_path, restart=True)

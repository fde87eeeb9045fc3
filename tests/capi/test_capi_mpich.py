"""Hosts with MPICH, which few machines have in addition to Open MPI: skipped without mpicc.mpich."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import needs
import pytest
import yaml
from host_lines import HERE, Line

Run = Callable[..., list[Line]]
pytestmark = pytest.mark.mpi


@pytest.fixture(scope="module")
def mpich(compile_host: Callable[..., Path]) -> tuple[str, Path, Path]:
    """Launcher, host, and the library that the host is linked to."""
    compiler, launcher = needs.program("mpicc.mpich"), needs.program("mpiexec.mpich")
    host = compile_host(HERE / "host.c", "mpich", [compiler])
    linked = subprocess.check_output([needs.program("ldd"), str(host)], text=True).split()
    (library,) = (Path(word) for word in linked if word.startswith("/") and "libmpi" in word)
    return launcher, host, library


def test_library_of_another_name(run_host: Run, mpich: tuple[str, Path, Path], tmp_path: Path) -> None:
    """Debian has libmpich.so.12; mpi4py's wheel needs libmpi.so.12, the name in MPICH itself."""
    launcher, host, library = mpich
    (tmp_path / "good.yaml").write_text("")
    calls = [launcher, "-n", "2", host, "mpi", "init=good.yaml", "grid=1", "realize", "run=2001", "get=lai", "finalize"]
    if library.name != "libmpi.so.12":
        lines = run_host(*calls)
        for line in (line for line in lines if line.call == "init"):
            assert line.code == 91
            assert "libmpi.so.12: cannot open" in line.text
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libmpi.so.12").symlink_to(library)
    lines = run_host(*calls, LD_LIBRARY_PATH=str(tmp_path / "lib"))
    assert [line.code for line in lines] == [0] * len(lines)
    assert {line.text for line in lines if line.call == "get"} == {"0.2001 1.2001 2.2001", "3.2001 4.2001 5.2001"}


def test_yac_of_open_mpi_is_refused(run_host: Run, mpich: tuple[str, Path, Path], tmp_path: Path) -> None:
    """The wheel of YAC is built with Open MPI; its import would abort this host."""
    needs.yac()
    rasterio = pytest.importorskip("rasterio")
    import numpy as np

    launcher, host, library = mpich
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", height=10, width=10, count=1, dtype="uint8", crs="EPSG:4326",
        transform=rasterio.Affine(0.1, 0, 0, 0, -0.1, 51),
    ) as target:  # fmt: skip
        target.write(np.full((10, 10), 40, np.uint8), 1)
    raw = {
        "title": "nothing changes",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2000, "stop": 2004},
        "initial": {"name": "hilda", "options": {"path": "map.tif", "legend": "hilda-v1.0-f", "year": 2000}},
        "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}],
        "allocation": {"method": "argmax", "gross": "none"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libmpi.so.12").symlink_to(library)
    calls = [launcher, "-n", "2", host, "mpi", "init=run.yaml", "grid=0", "realize", "count", "finalize"]
    lines = run_host(*calls, python=None, LD_LIBRARY_PATH=str(tmp_path / "lib"))
    assert [(line.code, "another MPI library" in line.text) for line in lines if line.call == "realize"] == [
        (8, True)
    ] * 2
    assert [line.code for line in lines if line.call in ("count", "finalize")] == [0] * 4

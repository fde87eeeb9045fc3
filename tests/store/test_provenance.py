"""Provenance: true, plain JSON, and without a word about who ran it."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import needs
import numpy as np
import pytest

import ai4land_coupler
from ai4land_coupler.errors import DataError
from ai4land_coupler.store import provenance


def test_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "states.nc").write_bytes(b"land use")
    monkeypatch.setattr(sys, "argv", ["/opt/somebody/bin/ai4land", "run", "case.yaml", f"--set=a={tmp_path}/x/y.nc"])
    found = provenance.collect("seed: 1\n", [tmp_path / "states.nc", Path("states.nc")])
    assert json.loads(json.dumps(found)) == found
    assert found["config"] == "seed: 1\n"
    assert found["config_sha256"] == hashlib.sha256(b"seed: 1\n").hexdigest()
    assert found["command"] == "ai4land run case.yaml --set=a=x/y.nc"
    assert found["software"]["numpy"] == np.__version__
    assert found["software"]["ai4land_coupler"] == ai4land_coupler.__version__
    record = {"name": "states.nc", "bytes": 8, "sha256": hashlib.sha256(b"land use").hexdigest(), "of": "content"}
    assert found["inputs"] == [record, record]
    assert found["created"].endswith("+00:00")


def test_provenance_contains_no_user_or_host_name(tmp_path: Path) -> None:
    (tmp_path / "in.nc").write_bytes(b"x")
    program = (
        "import json, sys\n"
        "try:\n    from mpi4py import MPI\nexcept (ImportError, RuntimeError):\n    pass\n"
        "from pathlib import Path\nfrom ai4land_coupler.store.provenance import collect\n"
        "print(json.dumps(collect('a: ' + str(Path.home()) + '/b', [Path(sys.argv[1])])))"
    )
    environment = {**os.environ, "HOME": "/home/a-user-of-ours", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "in.nc")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd="/",
    )
    text = done.stdout
    found = json.loads(text)
    assert found["config"] == "a: ~/b"
    assert found["inputs"][0]["name"] in ("in.nc", str((tmp_path / "in.nc").relative_to("/")))
    assert "a-user-of-ours" not in text
    assert socket.gethostname() not in text
    names = [value for key, value in found.items() if key not in ("inputs", "command")]
    assert getpass.getuser() not in json.dumps(names)
    assert found["mpi"] is None or "," not in found["mpi"]


def test_large_files_are_known_by_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "WHOLE", 1000)
    monkeypatch.setattr(provenance, "END", 100)
    file = tmp_path / "large.nc"
    content = bytes(i % 251 for i in range(1500))
    file.write_bytes(content)
    found = provenance.digest(file)
    assert found.sha256 == hashlib.sha256(b"1500" + content[:100] + content[-100:]).hexdigest()
    assert found.of.startswith("size, first and last")
    (tmp_path / "edge.nc").write_bytes(content[:1000])
    assert provenance.digest(tmp_path / "edge.nc").of == "content"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.nc"
    file.write_bytes(b"one")
    first = provenance.digest(file)
    assert provenance.digest(file) == first
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert provenance.digest(file).sha256 == hashlib.sha256(b"two").hexdigest()


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    store = tmp_path / "prepared.zarr"
    (store / "c").mkdir(parents=True)
    (store / "c" / "0").write_bytes(b"1234")
    first = provenance.digest(store)
    assert first.bytes == 4
    assert first.of == "names and sizes of files"
    (store / "c" / "1").write_bytes(b"")
    assert provenance.digest(store).sha256 != first.sha256


def test_missing_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*gone.nc"):
        provenance.collect("", [tmp_path / "gone.nc"])


def test_revision_is_that_of_this_checkout() -> None:
    folder = Path(ai4land_coupler.__file__).parent
    done = subprocess.run(
        [needs.program("git"), "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        assert provenance.revision() is None
    else:
        assert provenance.revision() in (done.stdout.strip(), f"{done.stdout.strip()}-dirty")


def test_torch_and_the_processor_give_the_same_instruction_set() -> None:
    program = (
        "from ai4land_coupler.store.provenance import instruction_set\n"
        "import sys\nassert 'torch' not in sys.modules\nalone = instruction_set()\n"
        "import torch\nprint(alone, instruction_set())"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ATEN_CPU_CAPABILITY"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    alone, torch = done.stdout.split()
    assert alone == torch

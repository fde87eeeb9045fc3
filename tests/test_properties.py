"""`make test` tries properties on the same examples every time, `make soak` on new ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROPERTY = """
import sys
from hypothesis import given, strategies as st
from properties import examples

{also}

@examples(40)
@given(st.integers(), st.floats(), st.sets(st.text(max_size=3)))
def test_property(number, value, words):
    with open("drawn", "a") as file:
        print(number, value, sorted(words), file=file)
"""


def drawn(folder: Path, *options: str, hash_seed: str, also: str = "") -> list[str]:
    """The examples that a property gets, one a line."""
    folder.mkdir()
    found = folder / "drawn"
    (folder / "test_property.py").write_text(PROPERTY.format(also=also))
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(tests), "PYTHONHASHSEED": hash_seed, "CI": "true"}
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", *options, folder]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return found.read_text().splitlines()


def test_the_same_examples_whatever_else_is_imported_and_others_in_a_soak(tmp_path: Path) -> None:
    first = drawn(tmp_path / "first", hash_seed="1")
    again = drawn(tmp_path / "again", hash_seed="2", also="import ai4land_coupler.land.setup")
    assert len(first) >= 40
    assert again == first
    soak = ["-m", "soak or hypothesis", "--hypothesis-profile=soak"]
    many = drawn(tmp_path / "many", *soak, hash_seed="1")
    assert len(many) >= 9 * len(first)
    assert many[: len(first)] != first

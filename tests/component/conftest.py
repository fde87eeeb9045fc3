"""The recording predictors of clockwork.py, installed for the tests of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clockwork import NAME, install_clockwork


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the installed distribution, on the path."""
    folder = tmp_path_factory.mktemp("clockwork") / "site"
    install_clockwork(folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop(NAME, None)

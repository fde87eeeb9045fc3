"""Fixtures shared by all floors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DEFAULT_SAMPLE_DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real sample data; tests that ask for it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("AI4LAND_SAMPLE_DATA", DEFAULT_SAMPLE_DATA))
    if not (folder / "README.md").is_file():
        pytest.skip(f"sample data not found at {folder}; set AI4LAND_SAMPLE_DATA")
    return folder

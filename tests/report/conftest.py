"""A store with known content, and a browser that shows its page."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from browser import Browser
from known_store import Known, random_maps, write_store

from ai4land_coupler.inputs.catalogue import Mended
from ai4land_coupler.inputs.mended_log import write_mended


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    provenance = {
        "created": "2026-01-02T03:04:05+00:00",
        "config": json.dumps({"allocation": {"method": "allocate", "crosswalk": "luh2-hilda"}}),
        "software": {"numpy": "2.0"},
        "inputs": [{"name": "<b>map.tif", "bytes": 1234, "sha256": "ab" * 32, "of": "content"}],
    }
    folder = tmp_path_factory.mktemp("known")
    store = write_store(folder / "run.zarr", random_maps(4), (2015, 2018, 2021, 2024, 2027), provenance=provenance)
    mended = {Mended("<i>ssp", "renormalised", 2018, "grid"): 7, Mended("<i>ssp", "renormalised", None, "grid"): 2}
    write_mended(store.path, "mend", mended)
    return store


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests. Skips the tests if Chromium or its driver is missing."""
    window = Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()

"""The states and transitions of a year of LUH2 give the states of the next year."""

from __future__ import annotations

import shutil

import netCDF4
import numpy as np
import pytest

from ai4land_coupler.api import DataError, Request
from ai4land_coupler.experiments.twin.luh_land_use import land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import write_published
from ai4land_luh2.balance import flows_between, imbalance
from ai4land_luh2.plugin import Luh2Options, luh2

YEAR = 2013


@pytest.fixture(scope="module")
def use(small_twin):
    return land_use_of(small_twin).part(YEAR, YEAR + 2)


@pytest.fixture(scope="module")
def written(use, tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("luh2"), "luh2-v2h", use)


def read(paths, use, **options):
    adapter = luh2(Luh2Options(**paths, **options))
    return adapter.read(Request(("secdf_to_c3ann",), use.grid, (YEAR,))).attrs["quality"]


def test_by_hand():
    """Two cells: 0.2 of primary forest harvested and 0.1 of secondary forest cropped; crops from nowhere."""
    before = {"primf": [0.5, 0.5], "secdf": [0.3, 0.3], "c3ann": [0.2, 0.1]}
    after = {"primf": [0.3, 0.5], "secdf": [0.4, 0.3], "c3ann": [0.3, 0.2]}
    flows = {"primf_harv": [0.2, np.nan], "secdf_to_c3ann": [0.1, 0.0], "secmf_harv": [0.3, 0.3], "primf_bioh": [9, 9]}
    arrays = [{name: np.array(values) for name, values in part.items()} for part in (before, after, flows)]
    rest = imbalance(*arrays)
    np.testing.assert_allclose(rest["primf"], [0, 0], atol=1e-12)
    np.testing.assert_allclose(rest["secdf"], [0, 0], atol=1e-12)
    np.testing.assert_allclose(rest["c3ann"], [0, 0.1], atol=1e-12)
    assert set(flows_between(flows)) == {"primf_harv", "secdf_to_c3ann"}


def test_a_twin_balances_to_its_rounding(written, use):
    assert read(written, use, balance_tolerance=1e-6)["unbalanced"] == 0


def test_transitions_of_another_year_are_refused_or_counted(written, use, tmp_path):
    """The transitions are shifted by one year, as if they belonged to the year in which they end."""
    paths = {kind: shutil.copy(path, tmp_path / path.name) for kind, path in written.items()}
    with netCDF4.Dataset(paths["transitions"], "a") as file:
        file.set_auto_maskandscale(False)
        for name in flows_between(file.variables):
            file[name][0] = file[name][1]
    with pytest.raises(DataError, match="do not balance") as error:
        read(paths, use, balance_tolerance=1e-4)
    assert f"year {YEAR}" in str(error.value)
    assert read(paths, use, balance_tolerance=1e-4, policy="mend")["unbalanced"] > 0
    assert read(paths, use)["unbalanced"] == 0

"""Legends and crosswalks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai4land_coupler.core.legend import OUTSIDE, get_crosswalk, get_legend, legend_names
from ai4land_coupler.errors import ConfigError, DataError, FieldError


@pytest.mark.parametrize("name", legend_names())
def test_each_native_code_belongs_to_one_class_of_the_view(name: str) -> None:
    legend = get_legend(name)
    owned = [code for item in legend.view for code in item.codes]
    assert sorted(owned) == sorted(legend.codes)
    assert all(item.new in item.codes for item in legend.view)
    assert legend.classes == ("urban", "cropland", "pasture", "forest", "grass_shrub", "other", "water")
    np.testing.assert_array_equal(legend.to_view(legend.new_codes), np.arange(7))
    assert (legend.to_view(np.array(legend.ocean, np.uint8)) == OUTSIDE).all()
    assert legend.fixed.tolist() == [False] * 6 + [True]


def test_code_44_means_another_forest_in_each_version() -> None:
    with_types, plain = get_legend("hilda-v1.0-f"), get_legend("hilda-v1.0")
    assert with_types.names[44] == "forest_deciduous_broad"
    assert plain.names[44] == "forest"
    assert with_types.new_codes[3] == 40
    assert plain.new_codes[3] == 44
    with pytest.raises(DataError, match=r"code 41 in 2 cells(.|\n)*known legends: hilda-v1.0, hilda-v1.0-f"):
        plain.check(np.array([[41, 41], [44, 0]], np.uint8), "map.tif")


def test_unknown_legends_and_crosswalks_offer_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'hilda-v1.0-f'"):
        get_legend("hilda-v1.0f")
    with pytest.raises(ConfigError, match="did you mean 'luh2-hilda'"):
        get_crosswalk("luh2_hilda")


def test_the_crosswalk_places_each_class_but_water_in_one_group() -> None:
    crosswalk = get_crosswalk("luh2-hilda")
    groups = crosswalk.group_of_class(get_legend("hilda-v1.0-f"))
    assert [crosswalk.groups[g] if g >= 0 else None for g in groups] == [
        "urban", "cropland", "pasture", "forest", "open", "open", None,
    ]  # fmt: skip
    luh2 = {"primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range"}
    chosen = [state for states in crosswalk.choose(luh2).values() for state in states]
    assert sorted(chosen) == sorted(luh2)
    derived = luh2 - {"c3ann", "c4ann", "c3per", "c4per", "c3nfx", "range"} | {"crop"}
    assert crosswalk.choose(derived)["cropland"] == ("crop",)
    assert crosswalk.choose(derived)["pasture"] == ("pastr",)
    with pytest.raises(FieldError, match="lacks secdf of group 'forest'"):
        crosswalk.choose(luh2 - {"secdf"})


@pytest.mark.parametrize("one", ["hilda-v1.0", "hilda-v1.0-f", "hilda-v2.0", "hilda-v2.1"])
def test_views_that_are_the_same(one: str) -> None:
    """By the published legends: v2 parts cropland further; code 44 of v1.0 is all forest, elsewhere broad-leaf."""
    typed = {"hilda-v1.0-f", "hilda-v2.0", "hilda-v2.1"}
    for other in legend_names():
        expected = one == other or {one, other} <= typed
        assert get_legend(one).same_view(get_legend(other)) == expected
    moved = get_legend(one)
    swapped = replace(moved, view=(*moved.view[1:], moved.view[0]))
    assert not swapped.same_view(moved)

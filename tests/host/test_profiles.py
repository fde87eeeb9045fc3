"""Host profiles: each class has types, values are shares, and the first year equals the host's own surface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.core.legend import get_legend, legend_names
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.host.delta import add_type_change
from ai4land_coupler.host.profiles import HostProfile, get_profile, profile_names
from ai4land_coupler.inputs.climate_zones import ZONES, bioclimate_at, bioclimates

PROFILES = profile_names()


def row(profile: HostProfile, name: str) -> int:
    return list(profile.types).index(name)


def cover_of(profile: HostProfile, **types: float) -> np.ndarray:
    """The cover of one cell with these shares."""
    cover = np.zeros((len(profile.types), 1))
    for name, share in types.items():
        cover[row(profile, name)] = share
    return cover


def test_names_of_profiles():
    assert set(PROFILES) == {"cf", "clm", "ecland", "jsbach", "noahmp"}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("legend", legend_names())
def test_types_of_each_class_and_bioclimate_sum_to_one(name: str, legend: str):
    profile = get_profile(name)
    table = profile.table(get_legend(legend))
    assert table.shape == (len(profile.types), len(get_legend(legend).codes) * len(profile.zones))
    np.testing.assert_allclose(table.sum(axis=0), 1, atol=1e-12)
    kept = [item.keep for item in profile.types.values()]
    assert not table[kept].any(), "what the host keeps is not made from a map"


def test_each_zone_is_in_one_bioclimate():
    assert sorted(zone for zones in bioclimates().values() for zone in zones) == sorted(ZONES)


def test_bioclimates_of_known_places():
    names = list(bioclimates())
    for place, (lon, lat), expected in [
        ("Manaus", (-60.0, -3.1), "tropical"),
        ("the Sahara", (5.0, 25.0), "arid_hot"),
        ("London", (-0.1, 51.5), "temperate"),
        ("Yakutsk", (129.7, 62.0), "boreal"),
        ("Greenland", (-40.0, 72.0), "polar"),
    ]:
        assert names[bioclimate_at(np.array([lon]), np.array([lat]))[0, 0]] == expected, place


def test_codes_are_columns_of_the_table():
    profile, legend = get_profile("clm"), get_legend("hilda-v1.0-f")
    zones = list(bioclimates())
    cover = np.array([44, 44, 44, 41, 0, 99, 77], np.uint8)
    zone = np.array([zones.index(z) for z in ("tropical", "temperate", "boreal", "boreal", "polar", "polar", "boreal")])
    codes = profile.codes(legend, cover, zone.astype(np.uint8))
    assert (codes[4:6] == -1).all()
    types = [list(profile.types)[np.argmax(profile.table(legend)[:, code])] for code in codes[[0, 1, 2, 3, 6]]]
    assert types == [
        "broadleaf_deciduous_tropical_tree",
        "broadleaf_deciduous_temperate_tree",
        "broadleaf_deciduous_boreal_tree",
        "needleleaf_evergreen_boreal_tree",
        "lake",
    ]


def test_clm_by_hand():
    """A cell with 80 % land: 0.4 natural (half of it trees), 0.2 crops, 0.1 urban, 0.1 lake."""
    profile = get_profile("clm")
    cover = cover_of(
        profile, needleleaf_evergreen_temperate_tree=0.2, c3_grass=0.2, c3_crop=0.2, urban_md=0.1, lake=0.1
    )
    values = profile.values(cover)
    assert values["PCT_NATVEG"] == pytest.approx([50.0])
    assert values["PCT_CROP"] == pytest.approx([25.0])
    np.testing.assert_allclose(values["PCT_URBAN"][:, 0], [0, 0, 12.5])
    assert values["PCT_LAKE"] == pytest.approx([12.5])
    expected = np.zeros(15)
    expected[[1, 13]] = 50
    np.testing.assert_allclose(values["PCT_NAT_PFT"][:, 0], expected)
    np.testing.assert_allclose(values["PCT_CFT"][:, 0], [100, 0])


def test_clm_without_land_or_crops_still_sums_to_100():
    values = get_profile("clm").values(cover_of(get_profile("clm"), lake=0.3))
    assert values["PCT_NAT_PFT"][0, 0] == values["PCT_CFT"][0, 0] == 100
    assert values["PCT_LAKE"][0] == 100


def test_ecland_by_hand():
    """Covers refer to dry land; types are the numbers of IFS of the largest type of each kind."""
    profile = get_profile("ecland")
    cover = cover_of(
        profile,
        crops_mixed_farming=0.2,
        short_grass=0.3,
        evergreen_needleleaf_trees=0.05,
        mixed_forest=0.15,
        desert=0.1,
        inland_water=0.2,
    )
    values = profile.values(cover)
    assert values["cvl"][0] == pytest.approx(0.5 / 0.8)
    assert values["cvh"][0] == pytest.approx(0.2 / 0.8)
    assert (values["tvl"][0], values["tvh"][0]) == (2, 18)
    assert values["cl"][0] == pytest.approx(0.2)


@examples(60)
@given(data=st.data(), name=st.sampled_from(PROFILES))
def test_values_are_shares_for_any_cover(data: st.DataObject, name: str):
    profile = get_profile(name)
    size = len(profile.types)
    raw = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    land = data.draw(st.floats(0, 1))
    cover = (raw / raw.sum() * land if raw.sum() > 0 else raw)[:, None]
    for key, values in profile.values(cover).items():
        variable = profile.variables[key]
        assert np.isfinite(values).all()
        full = 100.0 if variable.units == "%" else 1.0
        if variable.kind == "dominant":
            chosen = {item.id for item in profile.types.values()} | {variable.none}
            assert values[0] in chosen
        else:
            assert values.min() >= 0
            assert values.max() <= full * (1 + 1e-12)
        if variable.kind == "shares" and variable.empty is not None:
            assert values.sum() == pytest.approx(full, abs=1e-9)
    if name == "ecland":  # the model stops at a type that is missing where there is cover
        values = profile.values(cover)
        for kind in "lh":
            assert values[f"cv{kind}"][0] < 1e-9 or values[f"tv{kind}"][0] > 0


def random_cover(rng: np.random.Generator, profile: HostProfile, cells: int, kept: bool) -> np.ndarray:
    cover = rng.dirichlet(np.full(len(profile.types), 0.3), cells).T
    if not kept:
        cover[[item.keep for item in profile.types.values()]] = 0
        cover /= cover.sum(axis=0)
    return cover


@examples(40)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(PROFILES))
def test_type_change_starts_at_the_host_and_keeps_kept_types(seed: int, name: str):
    profile, rng = get_profile(name), np.random.default_rng(seed)
    host = random_cover(rng, profile, 9, kept=True)
    start, now = (random_cover(rng, profile, 9, kept=False) * 0.7 for _ in range(2))
    first, cut = add_type_change(profile, start, start, host)
    np.testing.assert_allclose(first, host, atol=1e-15)
    assert not cut.any()
    later, cut = add_type_change(profile, now, start, host)
    np.testing.assert_allclose(later.sum(axis=0), 1, atol=1e-12)
    kept = [item.keep for item in profile.types.values()]
    np.testing.assert_array_equal(later[kept], host[kept])
    assert later.min() >= 0
    assert cut.min() >= 0


def test_type_change_by_hand():
    """Forest loses 0.3 to crops; the host has 0.5 forest in two types, 0.1 crops, 0.2 glacier, 0.2 grass."""
    profile = get_profile("clm")
    host = cover_of(
        profile,
        needleleaf_evergreen_temperate_tree=0.4,
        broadleaf_deciduous_temperate_tree=0.1,
        c3_irrigated=0.1,
        glacier=0.2,
        c3_grass=0.2,
    )
    start = cover_of(profile, broadleaf_deciduous_temperate_tree=0.5, c3_crop=0.5)
    now = cover_of(profile, broadleaf_deciduous_temperate_tree=0.2, c3_crop=0.8)
    later, cut = add_type_change(profile, now, start, host)
    expected = cover_of(
        profile,
        needleleaf_evergreen_temperate_tree=0.16,
        broadleaf_deciduous_temperate_tree=0.04,
        c3_irrigated=0.4,
        glacier=0.2,
        c3_grass=0.2,
    )
    np.testing.assert_allclose(later, expected, atol=1e-15)
    assert not cut.any()

    # grass loses more than the host has: 0.2 - 0.9 is cut off at 0, and the rest is scaled to the land
    later, cut = add_type_change(
        profile, cover_of(profile, c3_crop=1), cover_of(profile, c3_grass=0.1, c4_grass=0.8, c3_crop=0.1), host
    )
    assert cut == pytest.approx([0.7])
    assert later[row(profile, "c3_grass"), 0] == 0
    np.testing.assert_allclose(later.sum(axis=0), 1)
    assert later[row(profile, "c3_irrigated"), 0] == pytest.approx(0.8 * 1.0 / 1.5)


def test_a_cell_without_mapped_land_does_not_change():
    profile = get_profile("jsbach")
    host = cover_of(profile, c3_grass=0.6, bare=0.4)
    none = np.zeros_like(host)
    for now, start in [(none, none), (none, cover_of(profile, crops=1)), (cover_of(profile, crops=1), none)]:
        later, _ = add_type_change(profile, now, start, host)
        np.testing.assert_array_equal(later, host)


def test_a_users_profile(tmp_path: Path):
    raw = {
        "name": "mine",
        "title": "Two types",
        "sources": ["this test"],
        "types": {"tall": {"id": 1, "group": "tall"}, "rest": {"id": 2, "group": "rest"}},
        "crosswalk": [{"class": "forest", "to": {"tall": 1}}]
        + [
            {"class": name, "to": {"rest": 1}}
            for name in ("urban", "cropland", "pasture", "grass_shrub", "other", "water")
        ],
        "variables": {"tall": {"kind": "cover", "types": ["tall"], "long_name": "tall vegetation"}},
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(raw))
    profile = get_profile("mine.yaml", tmp_path)
    assert profile.table(get_legend("hilda-v2.1")).sum() == pytest.approx(len(get_legend("hilda-v2.1").codes))

    for change, text in [
        ({"crosswalk": [{"class": "forest", "to": {"tal": 1}}]}, "tall"),
        ({"crosswalk": [{"class": "forest", "to": {"tall": 0.4}}]}, "sum to 0.4"),
        ({"variables": {"x": {"kind": "cover", "types": "hgih", "long_name": ""}}}, "hgih"),
        ({"tpyes": {}}, "tpyes"),
    ]:
        file.write_text(yaml.safe_dump(raw | change))
        with pytest.raises(ConfigError, match=text):
            get_profile(str(file))
    file.write_text(yaml.safe_dump(raw | {"crosswalk": raw["crosswalk"][:1]}))
    with pytest.raises(ConfigError, match="does not say what becomes"):
        get_profile(str(file)).table(get_legend("hilda-v1.0"))


def test_an_unknown_profile_gets_a_suggestion():
    with pytest.raises(ConfigError, match="ecland"):
        get_profile("ecLand")

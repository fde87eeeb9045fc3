"""Exports of a host profile, also with the host's own surface of the first year."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from coupling import config_of
from ranks import mpirun

from ai4land_coupler import LandComponent
from ai4land_coupler.errors import ConfigError, FieldError
from ai4land_coupler.host.delta import add_type_change
from ai4land_coupler.host.profiles import TYPES, get_profile

needs.yac()

CELLS = 120


@pytest.fixture
def raw(twin_config: dict[str, Any]) -> dict[str, Any]:
    return {**twin_config, "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]}


def component(raw: dict[str, Any], profile: str, types: np.ndarray | None = None, **given: Any) -> LandComponent:
    land = LandComponent(config_of(raw, exports={"profile": profile}))
    land.initialize(given.get("restart"))
    land.set_named_grid("host")
    if "land" in given:
        land.set_land_fraction(given["land"])
    if types is not None:
        land.set_surface(TYPES, types)
    land.realize()
    return land


def own_surface(profile_name: str) -> np.ndarray:
    """A host's own types (with glaciers) in every cell, on a land fraction of 0.2 to 1."""
    rng = np.random.default_rng(4)
    size = len(get_profile(profile_name).types)
    return rng.dirichlet(np.full(size, 0.5), CELLS).T * rng.uniform(0.2, 1, CELLS)


def test_cf_has_the_classes_of_the_map(raw: dict[str, Any]):
    """One type for each class in every bioclimate: shares equal the land-cover fractions."""
    land = component(raw, "cf")
    land.run(2018)
    np.testing.assert_allclose(land.export("area_fraction"), land.export("land_cover_fraction"), atol=1e-15)
    table = land.exports()["area_fraction"]
    assert table.types == ("urban", "crops", "pastures", "trees", "natural_grasses", "bare_ground", "lake")
    vegetation = land.export("land_cover_fraction")[1:5].sum(axis=0)
    np.testing.assert_allclose(land.export("vegetation_area_fraction"), vegetation, atol=1e-15)


def test_types_sum_to_the_land_for_every_profile(raw: dict[str, Any]):
    for name in ("clm", "ecland", "jsbach", "noahmp"):
        land = component(raw, name)
        np.testing.assert_allclose(land.export(TYPES).sum(axis=0), land.export("land_area_fraction"), atol=1e-14)
        assert land.exports()[TYPES].types == tuple(get_profile(name).types)
        for variable, info in get_profile(name).variables.items():
            values = land.export(variable)
            assert values.shape == ((len(land.exports()[variable].types), CELLS) if info.kind == "shares" else (CELLS,))


def test_ecland_has_a_type_on_every_land_cell(raw: dict[str, Any]):
    """All cells are land in the host, also those without mapped land."""
    land = component(raw, "ecland", land=np.ones(CELLS))
    land.run(2017)
    profile = get_profile("ecland")
    mapped = component(raw, "ecland").export("land_area_fraction")
    assert (mapped == 0).any()
    for kind, members in (("l", "low"), ("h", "high")):
        cover, number = land.export(f"cv{kind}"), land.export(f"tv{kind}")
        assert np.isfinite(cover).all()
        numbers = {profile.types[name].id for name in profile.sets[members]}
        assert set(number[cover > 0]) <= numbers
        assert (cover > 0).any()
    assert (land.export("cvl") + land.export("cvh") + land.export("cur") <= 1 + 1e-12).all()


@pytest.mark.parametrize("name", ["clm", "jsbach"])
def test_the_first_year_equals_the_hosts_own_surface(raw: dict[str, Any], name: str):
    own, profile = own_surface(name), get_profile(name)
    land = component(raw, name, own)
    np.testing.assert_allclose(land.export(TYPES), own, atol=1e-15)
    np.testing.assert_allclose(land.export("land_area_fraction"), own.sum(axis=0), atol=1e-15)
    for variable, values in profile.values(own).items():
        np.testing.assert_allclose(land.export(variable), values, atol=1e-9)
    land.run(2021)
    later = land.export(TYPES)
    np.testing.assert_allclose(later.sum(axis=0), own.sum(axis=0), atol=1e-12)
    kept = [item.keep for item in profile.types.values()]
    np.testing.assert_allclose(later[kept], own[kept], atol=1e-15)
    assert np.abs(later - own).max() > 1e-4

    # the same from the types of a run without a host surface, in cells with mapped land
    plain = component(raw, name)
    start = plain.export(TYPES)
    plain.run(2021)
    mapped = start.sum(axis=0) > 1e-9
    shares, _ = add_type_change(profile, plain.export(TYPES), start, own / own.sum(axis=0))
    np.testing.assert_allclose(later[:, mapped], (shares * own.sum(axis=0))[:, mapped], atol=1e-12)


def test_clm_sums_to_100_every_year(raw: dict[str, Any]):
    land = component(raw, "clm", own_surface("clm"))
    for year in range(2015, 2022):
        land.run(year)
        units = [land.export(f"PCT_{unit}") for unit in ("NATVEG", "CROP", "LAKE", "GLACIER", "WETLAND")]
        np.testing.assert_allclose(sum(units) + land.export("PCT_URBAN").sum(axis=0), 100, atol=1e-6)
        for name in ("PCT_NAT_PFT", "PCT_CFT"):
            np.testing.assert_allclose(land.export(name).sum(axis=0), 100, atol=1e-6)


def test_a_continued_run_has_the_same_first_year(raw: dict[str, Any], tmp_path: Path):
    own = own_surface("clm")
    whole = component(raw, "clm", own)
    whole.run(2018)
    whole.write_restart(tmp_path)
    whole.run(2020)
    later = component(raw, "clm", own, restart=tmp_path)
    np.testing.assert_array_equal(later.export("PCT_NAT_PFT").shape, (15, CELLS))
    later.run(2020)
    for name in (TYPES, "PCT_NAT_PFT", "PCT_CROP"):
        np.testing.assert_array_equal(later.export(name), whole.export(name))


def test_faulty_surfaces_are_refused(raw: dict[str, Any]):
    own = own_surface("clm")
    with pytest.raises(FieldError, match="wrong shape"):
        component(raw, "clm", own[:-1])
    with pytest.raises(FieldError, match="no share"):
        component(raw, "clm", own * 3)
    with pytest.raises(FieldError, match="surface_type_fraction to sum to"):
        component(raw, "clm", own, land=np.ones(CELLS))
    with pytest.raises(ConfigError, match="unknown host profile"):
        component(raw, "clm5")
    land = LandComponent(config_of(raw))
    land.initialize()
    with pytest.raises(FieldError, match="cannot set this field"):
        land.set_surface(TYPES, own)
    land = LandComponent(config_of(raw, exports={"profile": "clm"}))
    land.initialize()
    land.set_named_grid("host")
    land.set_surface(TYPES, own)
    land.set_surface("land_cover_fraction", np.full((7, CELLS), 0.1))
    with pytest.raises(FieldError, match="twice"):
        land.realize()


@pytest.mark.mpi
def test_a_surface_on_one_rank_only(raw: dict[str, Any], tmp_path: Path):
    """Both ranks refuse each part of it; else they would wait for each other."""
    path, program = tmp_path / "run.yaml", tmp_path / "host.py"
    path.write_text(yaml.safe_dump({**raw, "exports": {"profile": "cf"}}))
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "from ai4land_coupler.errors import GridError\n"
        "comm = MPI.COMM_WORLD\n"
        "for part in ('land', 'land_cover_fraction', 'surface_type_fraction'):\n"
        "    land = LandComponent(sys.argv[1], comm)\n"
        "    land.initialize()\n"
        "    land.set_named_grid('host')\n"
        "    cells = land.cell_count\n"
        "    if comm.rank == 1 or part != 'land':\n"
        "        land.set_land_fraction(np.full(cells, 0.7))\n"
        "    if comm.rank == 1 and part != 'land':\n"
        "        land.set_surface(part, np.full((7, cells), 0.1))\n"
        "    try:\n"
        "        land.realize()\n"
        "    except GridError as error:\n"
        "        print('refused', error.what, flush=True)\n"
    )
    done = mpirun(2, program, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("refused ranks gave different host grids, calendars or surfaces") == 6, done.stdout

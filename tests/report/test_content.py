"""Content of the page: maps without loss, numbers as stored, no markup or addresses from the store."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from known_store import GRID, LEGEND, TITLE, Known, random_maps, write_store
from numpy.typing import NDArray

from ai4land_coupler.cli import cli
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import ConfigError, DataError, RunError
from ai4land_coupler.report import content
from ai4land_coupler.report.content import MapHistory, collect_content, varints
from ai4land_coupler.report.web_page import write_page


def read_varints(data: bytes) -> list[int]:
    """The decoder of DWARF 5, appendix C, for one number after the other."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(value)
            value = shift = 0
    assert shift == 0
    return found


def unpack(parts: dict[str, bytes], counts: tuple[int, ...], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode the maps, following only the description of the format."""
    now = np.frombuffer(zlib.decompress(parts["first"]), np.uint8).copy()
    gaps, classes = read_varints(zlib.decompress(parts["gaps"])), list(zlib.decompress(parts["classes"]))
    maps = [now.copy()]
    for count in counts:
        cell = 0
        for _ in range(count):
            cell += gaps.pop(0)
            now[cell] = classes.pop(0)
        maps.append(now.copy())
    assert not gaps
    assert not classes
    return np.array(maps).reshape(-1, *shape)


@given(st.lists(st.integers(0, 2**40)))
def test_varints_are_read_back(values: list[int]) -> None:
    assert read_varints(varints(np.array(values, np.int64))) == values


def test_varints_of_the_standards_examples() -> None:
    # DWARF 5, figure 22
    assert varints(np.array([2, 127, 128, 129, 12857])).hex() == "02" + "7f" + "8001" + "8101" + "b964"


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 40)), elements=st.integers(0, 7))
)
def test_maps_are_stored_without_loss(maps: NDArray[np.uint8]) -> None:
    history = MapHistory.of(iter(maps))
    np.testing.assert_array_equal(unpack(history.packed(), history.counts, maps.shape[1:]), maps)


def test_page_has_the_maps_of_the_store(known: Known) -> None:
    found = collect_content(known.path)
    grid = found.facts["grid"]
    maps = unpack(found.maps, found.facts["steps"], (grid["rows"], grid["cols"]))
    # the sea at the western edge is cut off, but for a margin of two columns
    np.testing.assert_array_equal(maps, known.classes[:, :, 1:] + 1)
    assert grid["lon"] == pytest.approx([GRID.lon0 + 1.5 * GRID.dlon, GRID.lon0 + (GRID.nlon - 0.5) * GRID.dlon])
    assert grid["lat"] == pytest.approx([GRID.lat0 + 0.5 * GRID.dlat, GRID.lat0 + (GRID.nlat - 0.5) * GRID.dlat])
    assert found.facts["years"] == list(known.years)


def test_numbers_are_those_of_the_store(known: Known) -> None:
    facts = collect_content(known.path).facts
    np.testing.assert_allclose(facts["area"], known.class_area, rtol=1e-5)
    names = [item["name"] for item in facts["groups"]]
    assert names == ["urban", "cropland", "pasture", "forest", "open"]
    members = [[0], [1], [2], [3], [4, 5]]
    assert [item["classes"] for item in facts["groups"]] == members
    for i, group in enumerate(facts["groups"]):
        np.testing.assert_allclose(group["unmet"], known.unmet[:, i], rtol=1e-5)
        demand = known.class_area[:, members[i]].sum(axis=1) + known.unmet_change[:, i]
        np.testing.assert_allclose(group["demand"], demand, rtol=1e-5)
    # gross change a year: what changed in the step, by its new class, over the three years of the step
    for step in range(1, len(known.years)):
        before, after = known.classes[step - 1], known.classes[step]
        rows, _ = np.nonzero((before != after) & (after == 2))
        assert facts["gained"][step][2] == pytest.approx(known.row_area[rows].sum() / 3, rel=1e-5)


def test_large_map_is_thinned_with_a_note(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_CELLS", 60)
    found = collect_content(known.path)
    grid = found.facts["grid"]
    assert grid["thin"] == 2
    maps = unpack(found.maps, found.facts["steps"], (grid["rows"], grid["cols"]))
    np.testing.assert_array_equal(maps, known.classes[:, ::2, 1::2] + 1)
    np.testing.assert_allclose(grid["rowArea"], 4 * known.row_area[::2])


def test_backward_runs_are_shown_forward_in_time(tmp_path: Path) -> None:
    maps = random_maps(2)
    write_store(tmp_path / "run.zarr", maps, (2015, 2014, 2013))
    found = collect_content(tmp_path / "run.zarr")
    assert found.facts["years"] == [2013, 2014, 2015]
    grid = found.facts["grid"]
    shown = unpack(found.maps, found.facts["steps"], (grid["rows"], grid["cols"]))
    np.testing.assert_array_equal(shown, maps[::-1, :, 1:] + 1)


def test_north_is_up_for_a_grid_from_the_south(tmp_path: Path) -> None:
    maps, grid = random_maps(1), LatLonGrid(-6.0, 0.5, 16, 52.0, 0.5, 12)
    known = write_store(tmp_path / "run.zarr", maps, (2015, 2016), grid=grid)
    found = collect_content(tmp_path / "run.zarr")
    shape = found.facts["grid"]
    assert shape["lat"] == pytest.approx([57.75, 52.25])
    np.testing.assert_allclose(shape["rowArea"], known.row_area[::-1])
    shown = unpack(found.maps, found.facts["steps"], (shape["rows"], shape["cols"]))
    np.testing.assert_array_equal(shown, maps[:, ::-1, 1:] + 1)


def test_86_maps_of_the_british_isles_take_less_than_15_mb() -> None:
    """Size and number of changes are those of the United Kingdom run. Random changes compress worse than real ones."""
    rng = np.random.default_rng(0)

    def maps() -> Iterator[NDArray[np.uint8]]:
        now = rng.integers(1, 8, (1096, 1063), np.uint8)
        now[:, :700] = 0
        for _ in range(86):
            yield now
            now = now.copy()
            chosen = rng.integers(0, 1096, 38_000) * 1063 + rng.integers(700, 1063, 38_000)
            now.reshape(-1)[chosen] = rng.integers(1, 8, chosen.size, np.uint8)

    history = MapHistory.of(maps())
    assert min(history.counts) > 30_000
    packed = history.packed()
    assert sum(len(base64.b64encode(part)) for part in packed.values()) < 14_000_000


def test_a_run_without_allocation_shows_no_demand(tmp_path: Path) -> None:
    told = {"config": json.dumps({"allocation": {"method": "argmax", "crosswalk": "luh2-hilda"}})}
    write_store(tmp_path / "run.zarr", random_maps(1), (2015, 2016), provenance=told)
    assert "groups" not in collect_content(tmp_path / "run.zarr").facts


def test_only_committed_years_are_shown(tmp_path: Path) -> None:
    write_store(tmp_path / "run.zarr", random_maps(2), (2015, 2016, 2017), commit=2)
    facts = collect_content(tmp_path / "run.zarr").facts
    assert facts["years"] == [2015, 2016]
    assert facts["run"][0] == ["years", "2 of 3 committed, 2015 to 2016"]


def test_a_store_without_years_is_refused(tmp_path: Path) -> None:
    write_store(tmp_path / "run.zarr", random_maps(1), (2015, 2016), commit=0)
    with pytest.raises(DataError, match="holds no year"):
        write_page(tmp_path / "run.zarr", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_says_where(known: Known, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="could not be written"):
        write_page(known.path, tmp_path / "file" / "page.html")


def test_a_folder_is_not_a_page(known: Known, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    with pytest.raises(ConfigError, match="one file"):
        write_page(known.path, tmp_path / "pages")
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


class Reader(HTMLParser):
    """Elements of a page, with their attributes and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text("utf-8"))
    return reader


def test_text_from_the_store_is_never_markup(known: Known, tmp_path: Path) -> None:
    reader = read(write_page(known.path, tmp_path / "page.html"))
    scripts = [(a, t) for (tag, a), t in zip(reader.elements, reader.texts, strict=True) if tag == "script"]
    assert [a.get("type") for a, _ in scripts] == [
        "application/json",
        "text/plain",
        "text/plain",
        "text/plain",
        "module",
    ]
    titles = [t for (tag, _), t in zip(reader.elements, reader.texts, strict=True) if tag in ("title", "h1")]
    assert titles == [TITLE, TITLE]
    facts = json.loads(scripts[0][1])
    assert facts["title"] == TITLE
    assert facts["inputs"][0][0] == "<b>map.tif"
    assert ["mended while reading: <i>ssp: renormalised", "9"] in facts["quality"]
    assert not {"img", "b", "i", "iframe"} & {tag for tag, _ in reader.elements}
    assert not any(key.startswith("on") or key == "style" for _, attrs in reader.elements for key in attrs)


def test_page_allows_only_its_own_code(known: Known, tmp_path: Path) -> None:
    page = write_page(known.path, tmp_path / "page.html")
    reader = read(page)
    policy = next(a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        pairs = zip(reader.elements, reader.texts, strict=True)
        text = [t for (name, a), t in pairs if name == tag and a.get("type") in (None, "module")]
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page.read_text("utf-8")))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_the_command_writes_page_and_figures(known: Known, tmp_path: Path) -> None:
    page, figures = tmp_path / "deep" / "page.html", tmp_path / "figures"
    done = CliRunner().invoke(cli, ["report", str(known.path), "-o", str(page), "--figures", str(figures)])
    assert done.exit_code == 0, done.output
    assert page.stat().st_size > 10_000
    heads = {
        name: (figures / name).read_bytes()[:4] for name in ("map.png", "map.pdf", "class_areas.png", "class_areas.pdf")
    }
    assert heads == {
        "map.png": b"\x89PNG", "map.pdf": b"%PDF", "class_areas.png": b"\x89PNG", "class_areas.pdf": b"%PDF",
    }  # fmt: skip


def test_default_path_of_the_page_is_next_to_the_store(tmp_path: Path) -> None:
    write_store(tmp_path / "some.run.zarr", random_maps(1), (2015, 2016), diagnostics=False)
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "some.run.zarr")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "some.run.html").is_file()


def test_legend_of_the_page_is_that_of_the_store(known: Known) -> None:
    found = collect_content(known.path).facts["classes"]
    assert [item["colour"] for item in found] == [item.colour for item in LEGEND.view]

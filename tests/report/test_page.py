"""The page in a real browser, with mouse and keyboard, compared with maps drawn by numpy."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from known_store import GRID, LEGEND, TITLE, Known, random_maps, write_store
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.report import web_page
from ai4land_coupler.report.web_page import write_page

#: Columns of sea that the page cuts off (it keeps two beside the land).
CUT = 1
SEA, FADED = (0xE3, 0xEB, 0xEF), (0xF1, 0xEE, 0xE6)
COLOURS = np.array([[int(item.colour[i : i + 2], 16) for i in (1, 3, 5)] for item in LEGEND.view])
NAMES = [item.name for item in LEGEND.view]


@pytest.fixture(scope="session")
def file(known: Known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(known.path, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Browser]:
    """The opened page. After the test, checks that there were no console messages and no requests."""
    browser.devtools("Emulation.setDeviceMetricsOverride", width=1200, height=1000, deviceScaleFactor=1, mobile=False)
    browser.open(file)
    yield browser
    assert browser.log("browser") == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [file.as_uri()]


def expected(classes: NDArray[np.int8], faded: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """Expected colours of a map of classes on the page: (rows, cols, 3)."""
    classes = classes[:, CUT:]
    table = np.vstack([COLOURS, SEA])
    table[list(faded)] = FADED
    return table[classes]


def cells_on_screen(page: Browser, canvas: str) -> NDArray[np.uint8]:
    """Colours in the middle of each cell of a whole map, from a screenshot of the window.

    Where cells lie follows from the sizes of grid and canvas: all of the map, in the middle, a degree of latitude
    longer than one of longitude by the cosine of the middle latitude.
    """
    page.run("document.getElementById(arguments[0]).scrollIntoView({block: 'center'})", canvas)
    page.frame()
    left, top, width, height = page.run(
        "const b = document.getElementById(arguments[0]).getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]",
        canvas,
    )
    rows, cols = GRID.nlat, GRID.nlon - CUT
    aspect = 1 / np.cos(np.deg2rad(GRID.lat0 + GRID.dlat * rows / 2))
    scale = min(width / cols, height / (rows * aspect))
    x = left + width / 2 + (np.arange(cols) + 0.5 - cols / 2) * scale
    y = top + height / 2 + (np.arange(rows) + 0.5 - rows / 2) * scale * aspect
    return page.screenshot()[np.ix_(y.astype(int), x.astype(int))]


def seen(page: Browser, canvas: str, want: NDArray[np.int64]) -> None:
    """Compare the map on the screen with the expected one, cell by cell. The year and the buttons cover some cells."""
    got = cells_on_screen(page, canvas)
    under = np.zeros(got.shape[:2], bool)
    if canvas == "map":
        under[:4, :6] = under[:5, -3:] = under[-2:, :4] = True
    wrong = np.argwhere((got != want).any(axis=-1) & ~under)
    assert wrong.size == 0, f"{len(wrong)} cells, first {wrong[0]}: {got[tuple(wrong[0])]}, {want[tuple(wrong[0])]}"


def text(page: Browser, selector: str) -> str:
    return str(page.run("return document.querySelector(arguments[0]).textContent", selector))


def test_it_opens_on_the_first_year(page: Browser, known: Known) -> None:
    assert text(page, "#big-year") == "2015"
    assert page.run("return document.title") == re.sub(r"\s+", " ", TITLE).strip()
    seen(page, "map", expected(known.classes[0]))


def test_the_slider_moves_the_year_by_keys(page: Browser, known: Known) -> None:
    page.type("#year", "right")
    assert text(page, "#big-year") == "2018"
    assert page.run("return document.getElementById('year').getAttribute('aria-valuetext')") == "2018"
    assert text(page, "#live") == "2018"
    seen(page, "map", expected(known.classes[1]))
    page.press("end")
    assert text(page, "#big-year") == "2027"
    seen(page, "map", expected(known.classes[4]))
    page.press("left")
    assert text(page, "#big-year") == "2024"
    seen(page, "map", expected(known.classes[3]))
    page.press("home")
    seen(page, "map", expected(known.classes[0]))
    assert (known.classes[0] != known.classes[4]).sum() > 20  # the years could be told apart


def test_areas_in_the_legend_follow_the_year(page: Browser, known: Known) -> None:
    page.type("#year", "end")
    shown = page.run("return [...document.querySelectorAll('#legend .area')].map((node) => node.textContent)")
    numbers = [float(item.removesuffix(" km²").replace(",", "")) for item in shown]
    np.testing.assert_allclose(numbers, known.class_area[-1], atol=0.5)
    rows = page.run("return [...document.querySelectorAll('#area-table tbody tr')].map((row) => row.textContent)")
    assert len(rows) == len(known.years)


def test_a_class_is_hidden_and_shown_again(page: Browser, known: Known) -> None:
    button = "#legend li:nth-child(3) button"
    page.click(button)
    assert page.run("return document.querySelector(arguments[0]).getAttribute('aria-pressed')", button) == "false"
    seen(page, "map", expected(known.classes[0], faded=(2,)))
    page.type("#year", "right")
    seen(page, "map", expected(known.classes[1], faded=(2,)))
    page.type("#legend li:nth-child(4) button", "enter")
    seen(page, "map", expected(known.classes[1], faded=(2, 3)))
    page.click("#show-all")
    seen(page, "map", expected(known.classes[1]))


def test_playing_runs_to_the_end_and_stops(page: Browser, known: Known) -> None:
    page.click("#play")
    assert page.run("return document.getElementById('play').getAttribute('aria-pressed')") == "true"
    for _ in range(300):
        if page.run("return document.getElementById('play').getAttribute('aria-pressed')") == "false":
            break
        time.sleep(0.05)
    assert text(page, "#big-year") == "2027"
    seen(page, "map", expected(known.classes[4]))


def changed(known: Known, first: int, second: int) -> NDArray[np.int64]:
    """The map of changes: changed cells in their new colour, other land faded, sea."""
    want = expected(known.classes[second])
    still = (known.classes[first] == known.classes[second]) & (known.classes[second] >= 0)
    want[still[:, CUT:]] = FADED
    return want


def choose(page: Browser, select: str, index: int) -> None:
    page.click(f"#{select} option:nth-child({index + 1})")


def matrix(page: Browser) -> NDArray[np.float64]:
    cells = page.run(
        "return [...document.querySelectorAll('#matrix tbody tr')]"
        ".map((row) => [...row.querySelectorAll('td:not(.total)')].map((cell) => cell.textContent))"
    )
    return np.array([[float(c.replace(",", "").replace("·", "0")) for c in row] for row in cells])


@pytest.mark.parametrize(("first", "second"), [(0, 4), (1, 3), (3, 1), (2, 2)])
def test_change_between_two_years(page: Browser, known: Known, first: int, second: int) -> None:
    choose(page, "from-year", first)
    choose(page, "to-year", second)
    seen(page, "change-map", changed(known, first, second))
    before, after = known.classes[first], known.classes[second]
    area = np.broadcast_to(known.row_area[:, None], before.shape)
    want = np.zeros((7, 7))
    land = before >= 0
    np.add.at(want, (before[land], after[land]), area[land])
    np.testing.assert_allclose(matrix(page), want, atol=0.5)
    np.testing.assert_allclose(matrix(page).sum(axis=1), known.class_area[first], atol=4)


def test_one_transition_is_selected_by_keys(page: Browser, known: Known) -> None:
    before, after = known.classes[0], known.classes[4]
    moved = [(i, j) for i in range(7) for j in range(7) if i != j and ((before == i) & (after == j)).any()]
    start = moved[0]
    right = next((i, j) for i, j in moved[1:] if i == start[0])
    page.run("document.querySelector('#matrix button').focus()")
    page.press("right", "enter")
    pressed = page.run("return {...document.querySelector('#matrix button[aria-pressed=true]').dataset}")
    assert pressed == {"row": str(right[0]), "col": str(right[1])}
    want = changed(known, 0, 4)
    others = (before >= 0) & ~((before == right[0]) & (after == right[1]))
    want[others[:, CUT:]] = FADED
    seen(page, "change-map", want)
    page.press("enter")
    seen(page, "change-map", changed(known, 0, 4))


def middle(page: Browser) -> list[int]:
    """Centre of the first map, in pixels of the window."""
    page.run("document.getElementById('map').scrollIntoView({block: 'center'})")
    found = page.run(
        "const b = document.getElementById('map').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    return [int(v) for v in found]


def test_zoom_and_pan_by_keys_and_mouse(page: Browser, known: Known) -> None:
    want = expected(known.classes[0])
    rows, cols = want.shape[:2]
    x, y = middle(page)
    move = {"type": "pointerMove", "duration": 0, "origin": "viewport"}
    page.pointer({**move, "x": x, "y": y}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})
    page.press("+", "+", "+", "+")
    page.frame()
    # cells are square in degrees and now at least three times as large: a patch around the centre has one colour
    patch = page.screenshot()[y - 40 : y + 40, x - 40 : x + 40].reshape(-1, 3)
    assert len(np.unique(patch, axis=0)) <= 4
    shown = {tuple(int(v) for v in colour) for colour in np.unique(patch, axis=0)}
    assert shown == {tuple(int(v) for v in want[r, c]) for r in (rows // 2 - 1, rows // 2) for c in ((cols - 1) // 2,)}
    box = page.run("const b = document.getElementById('map').getBoundingClientRect(); return [b.width, b.height]")
    aspect = 1 / np.cos(np.deg2rad(GRID.lat0 + GRID.dlat * rows / 2))
    scale = min(box[0] / cols, box[1] / (rows * aspect)) * 1.5**4
    # drag the map by two cells to the left and by one up: the cell that lies there comes to the middle
    page.pointer(
        {**move, "x": x, "y": y}, {"type": "pointerDown", "button": 0},
        {**move, "x": round(x - 2 * scale), "y": round(y - scale * aspect / 2)}, {"type": "pointerUp", "button": 0},
    )  # fmt: skip
    page.frame()
    here = page.screenshot()[y, x]
    assert here.tolist() == want[rows // 2, cols // 2 + 2].tolist()
    page.press("0")
    seen(page, "map", want)


def test_cell_shows_its_history(page: Browser, known: Known) -> None:
    x, y = middle(page)
    page.pointer({"type": "pointerMove", "duration": 0, "origin": "viewport", "x": x, "y": y + 2})
    row, col = GRID.nlat // 2, (GRID.nlon - CUT) // 2
    told = text(page, "#cell")
    lat, lon = GRID.lat0 + (row + 0.5) * GRID.dlat, GRID.lon0 + (col + CUT + 0.5) * GRID.dlon
    assert told.startswith(f"{lat:.2f}°N {abs(lon):.2f}°{'W' if lon < 0 else 'E'} ")
    held = known.classes[:, row, col + CUT]
    story = [NAMES[held[0]].replace("_", " / ")]
    for i in range(1, held.size):
        if held[i] != held[i - 1]:
            story.append(f"{NAMES[held[i]].replace('_', ' / ')} from {known.years[i]}")
    assert told.split(" ", 2)[2] == ", ".join(story)


def test_tab_reaches_all_controls_in_order(page: Browser) -> None:
    order = []
    for _ in range(20):
        page.press("tab")
        order.append(page.run("const a = document.activeElement; return a.id || a.textContent.slice(0, 8)"))
        outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", order[-1]
    wanted = ["map", "zoom-in", "zoom-out", "zoom-fit", "play", "year", "from-year", "to-year", "change-map"]
    assert [item for item in order if item in wanted] == wanted


def test_all_controls_have_a_name(page: Browser) -> None:
    nameless = page.run(
        "return [...document.querySelectorAll('button, input, select, canvas, svg[role=img]')].filter((node) =>"
        " !(node.getAttribute('aria-label') || node.textContent.trim() || node.closest('label')))"
        ".map((node) => node.outerHTML)"
    )
    assert nameless == []


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (900, 1200), (390, 844)])
def test_it_fits_the_window(page: Browser, known: Known, width: int, height: int) -> None:
    page.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    page.frame()
    assert page.run("return document.documentElement.scrollWidth") <= width
    seen(page, "change-map", changed(known, 0, 4))


def test_text_from_the_store_stays_text(page: Browser) -> None:
    assert page.run("return document.querySelectorAll('img, iframe').length") == 0
    assert page.run("return document.querySelector('h1').textContent") == TITLE
    assert "<i>ssp" in text(page, "#quality")
    assert "<b>map.tif" in text(page, "#inputs")


def test_code_from_elsewhere_does_not_run(browser: Browser, file: Path, tmp_path: Path) -> None:
    """The policy would stop foreign code even if escaping failed."""
    foul = file.read_text().replace("</main>", "<script>document.title = 'taken'</script></main>")
    other = tmp_path / "foul.html"
    other.write_text(foul)
    browser.open(other)
    assert browser.run("return document.title") != "taken"
    assert any("Content Security Policy" in entry["message"] for entry in browser.log("browser"))


def test_damaged_page_shows_a_message(browser: Browser, file: Path, tmp_path: Path) -> None:
    broken = re.sub(r'(id="packed-gaps">)[^<]+', r"\1AAAA", file.read_text())
    other = tmp_path / "broken.html"
    other.write_text(broken)
    browser.open(other)
    assert "could not be drawn" in text(browser, "#failure")
    assert any(entry["level"] == "SEVERE" for entry in browser.log("browser"))


def test_distant_changes_are_found(browser: Browser, tmp_path: Path) -> None:
    """Distances between cells need one, two and three bytes. Each cell changes to another class."""
    grid = LatLonGrid(0.0, 0.05, 200, 65.0, -0.2, 150)
    maps = np.full((3, 150, 200), 2, np.int8)
    moved = {0: (1, 20_000), 1: (1, 20_100), 3: (2, 300), 4: (2, 29_990)}
    for new, (step, cell) in moved.items():
        maps[step:].reshape(3 - step, -1)[:, cell] = new
    write_store(tmp_path / "run.zarr", maps, (2015, 2016, 2017), grid=grid)
    browser.open(write_page(tmp_path / "run.zarr", tmp_path / "far.html"))
    areas = {new: grid.row_area[cell // 200] / 1e6 for new, (_, cell) in moved.items()}
    found = matrix(browser)[2]
    np.testing.assert_allclose([found[new] for new in moved], list(areas.values()), rtol=6e-3)  # three digits
    assert len({round(value) for value in areas.values()}) == 3  # rows could be told apart, but for the first two


def test_met_demand_is_shown_as_met(browser: Browser, file: Path, tmp_path: Path) -> None:
    browser.open(file)
    assert browser.run("return document.querySelectorAll('#chart-unmet rect').length") > 0
    assert "2015" not in text(browser, "#chart-gross .value")  # no step ends in the first year
    write_store(tmp_path / "run.zarr", random_maps(1), (2015, 2016), unmet=0)
    browser.open(write_page(tmp_path / "run.zarr", tmp_path / "met.html"))
    assert "was met, in every year" in text(browser, "#chart-unmet")
    assert (
        browser.run("return document.querySelectorAll('#chart-groups figure').length") == 4
    )  # `open` needs the crosswalk


def test_click_on_a_chart_selects_the_year(page: Browser, known: Known) -> None:
    box = page.run(
        "const svg = document.querySelector('#chart-change svg'); svg.scrollIntoView({block: 'center'});"
        "const b = svg.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
    )
    # years are spread evenly between the axis and the names; a little right of the middle is the third of five
    x, y = int(box[0] + 54 + (box[2] - 54 - 104) * 0.55), int(box[1] + box[3] / 2)
    move = {"type": "pointerMove", "duration": 0, "origin": "viewport", "x": x, "y": y}
    page.pointer(move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})
    assert text(page, "#big-year") == "2021"
    seen(page, "map", expected(known.classes[2]))


def test_page_of_a_single_year(browser: Browser, tmp_path: Path) -> None:
    write_store(tmp_path / "run.zarr", random_maps(0), (2015,), diagnostics=False)
    browser.open(write_page(tmp_path / "run.zarr", tmp_path / "one.html"))
    assert text(browser, "#failure") == ""
    assert browser.run("return document.getElementById('year').disabled") is True
    assert browser.log("browser") == []


def test_all_parts_of_the_page_are_used() -> None:
    folder = Path(web_page.__file__).parent / "page"
    assert {path.name for path in folder.iterdir()} == {"page.html", "page.css", "evaluation.css", *web_page.SCRIPTS}

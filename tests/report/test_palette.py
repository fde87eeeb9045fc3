"""Colours of the legends: all pairs can be distinguished, also by colour-blind people."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ai4land_coupler import report
from ai4land_coupler.core.legend import get_legend, legend_names
from ai4land_coupler.report.picture import SEA

#: Machado, Oliveira and Fernandes 2009 (https://doi.org/10.1109/TVCG.2009.113), severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
#: CIEDE2000. A difference of 1 is just noticeable; a difference of 10 is visible at once.
FAR_APART = 10.0


def to_lab(colours: list[str], vision: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE Lab (D65) of #rrggbb, as seen with this kind of vision."""
    code = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ vision.T, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = seen @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


def ciede2000(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Colour difference of two Lab colours (Sharma, Wu and Dalal 2005, https://doi.org/10.1002/col.20070)."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean_c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    dh = (h2 - h1 + 180) % 360 - 180
    turn = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    mean_h = (h1 + h2) / 2 if abs(h1 - h2) <= 180 else ((h1 + h2 + 360) / 2) % 360
    cosine = [np.cos(np.radians(k * mean_h - p)) for k, p in ((1, 30), (2, 0), (3, -6), (4, 63))]
    t = 1 + np.dot((-0.17, 0.24, 0.32, -0.20), cosine)
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    theta = 30 * np.exp(-(((mean_h - 275) / 25) ** 2))
    r_t = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(np.radians(2 * theta))
    parts = (l2 - l1) / s_l, (c2 - c1) / s_c, turn / s_h
    return float(np.sqrt(np.dot(parts, parts) + r_t * parts[1] * parts[2]))


@pytest.mark.parametrize(
    ("one", "two", "difference"),
    [  # from the test data of Sharma, Wu and Dalal 2005, table 1
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
        ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
        ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ],
)
def test_measure_has_the_published_values(one: tuple[float, ...], two: tuple[float, ...], difference: float) -> None:
    assert ciede2000(np.array(one), np.array(two)) == pytest.approx(difference, abs=1e-4)


def surroundings() -> dict[str, str]:
    """Colours around the classes: the sea of the figures; sea and faded land of the page, in light and dark mode."""
    style = Path(next(iter(report.__path__)), "page", "page.css").read_text()
    sea, night_sea = re.findall(r"--sea: (#[0-9a-f]{6})", style)
    faded, night_faded = re.findall(r"--still: (#[0-9a-f]{6})", style)
    return {"sea of figures": SEA, "sea": sea, "sea by night": night_sea, "faded": faded, "faded by night": night_faded}


@pytest.mark.parametrize("name", legend_names())
@pytest.mark.parametrize("vision", VISION)
def test_all_classes_can_be_distinguished(name: str, vision: str) -> None:
    view = {item.name: item.colour for item in get_legend(name).view}
    for around, colour in surroundings().items():
        colours = {**view, around: colour}
        lab = dict(zip(colours, to_lab(list(colours.values()), VISION[vision]), strict=True))
        near = {
            pair: round(ciede2000(lab[pair[0]], lab[pair[1]]), 1)
            for pair in itertools.combinations(colours, 2)
            if ciede2000(lab[pair[0]], lab[pair[1]]) < FAR_APART
        }
        assert not near


def test_legends_of_one_family_have_the_same_colours() -> None:
    views = [{item.name: item.colour for item in get_legend(name).view} for name in legend_names()]
    for one, two in itertools.combinations(views, 2):
        assert {k: one[k] for k in one.keys() & two.keys()} == {k: two[k] for k in one.keys() & two.keys()}

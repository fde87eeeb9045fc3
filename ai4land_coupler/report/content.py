"""Reads the content of a run's page from its store: maps (as changes), time series, facts about the run."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE, Legend, get_crosswalk, get_legend
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.inputs.mended_log import read_mended
from ai4land_coupler.store.output import inspect, open_store

if TYPE_CHECKING:
    import xarray as xr

#: Larger maps show only every second, third ... row and column: the browser needs four bytes per cell, and the page
#: must be small enough for an e-mail.
MOST_CELLS = 6_000_000
KM2 = 1e6


@dataclass(frozen=True)
class MapHistory:
    """The maps of all years: the first map, and the cells that changed in each later year.

    Parameters
    ----------
    first:
        uint8 (rows, cols): 0 outside of the land, 1 + class of the view on land.
    counts:
        Number of changed cells of each step; one step fewer than years.
    cells:
        int64: flat indices of the changed cells, for one step after the other, in rising order within a step.
    classes:
        uint8, same length: new values of these cells.
    """

    first: NDArray[np.uint8]
    counts: tuple[int, ...]
    cells: NDArray[np.int64]
    classes: NDArray[np.uint8]

    @classmethod
    def of(cls, maps: Iterator[NDArray[np.uint8]]) -> MapHistory:
        """Create it from the maps of the years in order, each uint8 (rows, cols)."""
        first = next(maps)
        before, counts, cells, classes = first.reshape(-1), [], [], []
        for item in maps:
            now = item.reshape(-1)
            changed = np.flatnonzero(now != before)
            counts.append(changed.size)
            cells.append(changed)
            classes.append(now[changed])
            before = now
        none = np.empty(0, np.int64)
        return cls(
            first,
            tuple(counts),
            np.concatenate([none, *cells]),
            np.concatenate([none.astype(np.uint8), *classes]),
        )

    def packed(self) -> dict[str, bytes]:
        """``first``, ``gaps`` (distances between changed cells within a step as :func:`varints`) and ``classes``.

        Each is compressed (zlib, RFC 1950).
        """
        gaps = np.diff(self.cells, prepend=0)
        starts = np.cumsum((0, *self.counts))[:-1]
        starts = starts[[count > 0 for count in self.counts]] if self.counts else starts[:0]
        gaps[starts] = self.cells[starts]
        parts = {"first": self.first.tobytes(), "gaps": varints(gaps), "classes": self.classes.tobytes()}
        return {name: zlib.compress(part, 9) for name, part in parts.items()}


def varints(values: NDArray[np.int64]) -> bytes:
    """Encode non-negative integers as unsigned LEB128 (DWARF 5, 7.6).

    Base 128, lowest digits first; 128 is added to all bytes of a number except its last.
    """
    digits = [values & 127]
    rest = values >> 7
    while rest.any():
        digits.append(rest & 127)
        rest >>= 7
    table = np.stack(digits, axis=1)
    length = table.shape[1] - (table[:, ::-1] != 0).argmax(axis=1)
    length[values == 0] = 1
    place = np.arange(table.shape[1])
    more = place < length[:, None] - 1
    digits_in_order: NDArray[np.int64] = (table + 128 * more)[place < length[:, None]]
    return bytes(digits_in_order.astype(np.uint8))


@dataclass(frozen=True)
class PageContent:
    """``facts`` is plain JSON, for the page's script; ``maps`` are the packed parts of a :class:`MapHistory`."""

    facts: dict[str, Any]
    maps: dict[str, bytes]


def land_window(data: xr.Dataset) -> dict[str, slice]:
    """Rows and columns without the sea around the land, by dimension. All rows and columns if there is no land."""
    legend = get_legend(data["land_cover"].attrs["legend"])
    land = legend.to_view(data["land_cover"].isel(year=0).values) != OUTSIDE
    window = {}
    for name, axis in (("lat", 1), ("lon", 0)):
        held = np.flatnonzero(land.any(axis=axis))
        first, last = (int(held[0]), int(held[-1])) if held.size else (0, data.sizes[name] - 1)
        margin = max(2, (last - first) // 40)
        window[name] = slice(max(first - margin, 0), last + margin + 1)
    return window


def open_run(store: str | Path) -> xr.Dataset:
    """Open a store, with years in rising order and rows from north to south.

    Raises
    ------
    DataError
        If there is no store, or it has no committed year.
    """
    data = open_store(store)
    if data.sizes["year"] == 0:
        raise DataError(
            "the store holds no year that could be shown",
            expected="at least one committed year",
            found="none",
            where=store,
            remedy="let the run commit its first year: `ai4land run`",
        )
    data = data.sortby("year")
    north_first = bool(data["lat"][0] >= data["lat"][-1])
    return data if north_first else data.isel(lat=slice(None, None, -1))


def collect_content(store: str | Path) -> PageContent:
    """Read the content of the page from a store. Areas are in km2.

    Raises
    ------
    DataError
        If there is no store, files of it are missing, or it has no committed year.
    """
    data = open_run(store)
    summary = inspect(store)
    legend = get_legend(data["land_cover"].attrs["legend"])
    window = land_window(data)
    rows, cols = (s.stop - s.start for s in (window["lat"], window["lon"]))
    thin = max(1, int(np.ceil(np.sqrt(rows * cols / MOST_CELLS))))
    window = {name: slice(s.start, s.stop, thin) for name, s in window.items()}
    shown = data.isel(window)
    history = MapHistory.of(
        (legend.to_view(shown["land_cover"].isel(year=i).values) + 1).astype(np.uint8)
        for i in range(data.sizes["year"])
    )
    provenance = _provenance(data)
    facts = {
        "title": str(data.attrs.get("title") or Path(store).name),
        "years": data["year"].values.tolist(),
        "legend": legend.title,
        "classes": [{"name": item.name.replace("_", " / "), "colour": item.colour} for item in legend.view],
        "grid": {
            "rows": history.first.shape[0],
            "cols": history.first.shape[1],
            "lat": [float(shown["lat"][0]), float(shown["lat"][-1])],
            "lon": [float(shown["lon"][0]), float(shown["lon"][-1])],
            "thin": thin,
            "rowArea": (shown["cell_area"].values * thin**2 / KM2).tolist(),
        },
        "steps": history.counts,
        "area": numbers(data["class_area"].values / KM2),
        **_series(data, legend, provenance),
        "run": _run_facts(summary, provenance),
        "quality": _quality(data, read_mended(Path(store))),
        "inputs": [
            [str(item.get("name")), int(item.get("bytes", 0)), str(item.get("sha256", "")), str(item.get("of", ""))]
            for item in provenance.get("inputs", [])
        ],
        "software": sorted([str(k), str(v)] for k, v in dict(provenance.get("software", {})).items()),
        "config": _configuration(provenance),
    }
    return PageContent(facts, history.packed())


def numbers(values: NDArray[np.floating[Any]]) -> Any:
    """Nested lists with six significant digits. ``None`` instead of NaN and infinity, which JSON does not have."""
    if values.ndim:
        return [numbers(item) for item in values]
    return float(f"{values:.6g}") if np.isfinite(values) else None


def _provenance(data: xr.Dataset) -> dict[str, Any]:
    raw = data.attrs.get("provenance", {})
    found = json.loads(raw) if isinstance(raw, str) else raw
    return dict(found) if isinstance(found, Mapping) else {}


def _configuration(provenance: Mapping[str, Any]) -> str:
    """The text of the configuration; for a joined store that of each part, with its name."""
    parts = provenance.get("parts")
    if not isinstance(parts, Mapping):
        return str(provenance.get("config", ""))
    return "\n\n".join(f"part {name}:\n{own.get('config', '')}" for name, own in parts.items())


def _series(data: xr.Dataset, legend: Legend, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Groups of the scenario with unmet demand, and gross change by new class, if the store has them."""
    found: dict[str, Any] = {}
    if "unmet_area" in data and _allocated(provenance):
        unmet = numbers(data["unmet_area"].values / KM2)
        names = [str(name) for name in data["group"].values]
        classes = _group_classes(names, legend, provenance)
        found["groups"] = [
            {"name": name, "classes": classes[name], "unmet": [row[i] for row in unmet]} for i, name in enumerate(names)
        ]
        if "unmet_change" in data:
            change = data["unmet_change"].values
            for i, group in enumerate(found["groups"]):
                demand = data["class_area"].values[:, group["classes"]].sum(axis=1) + change[:, i]
                group["demand"] = numbers(demand / KM2)
    if "transition_area" in data:
        n = len(legend.view)
        change = data["transition_area"].values.reshape(-1, n, n).copy()
        change[:, np.arange(n), np.arange(n)] = 0
        years = data["year"].values
        length = int(abs(np.diff(years)).min()) if years.size > 1 else 1
        found["gained"] = numbers(change.sum(axis=1) / KM2 / length)
    return found


def _settings(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The allocation section of the run's configuration. Empty if the store does not have it."""
    try:
        return dict(json.loads(provenance["config"])["allocation"])
    except (KeyError, TypeError, ValueError):
        return {}


def _allocated(provenance: Mapping[str, Any]) -> bool:
    """True if the run used the scenario's demand. Other runs have no demand to show."""
    return bool(_settings(provenance).get("method", "allocate") == "allocate")


def _group_classes(names: Iterable[str], legend: Legend, provenance: Mapping[str, Any]) -> dict[str, list[int]]:
    """Classes of each group, from the crosswalk of the run's configuration."""
    try:
        members: Mapping[str, Iterable[str]] = get_crosswalk(str(_settings(provenance).get("crosswalk"))).classes
    except ConfigError:
        members = {}
    return {
        name: [legend.classes.index(c) for c in members.get(name, (name,)) if c in legend.classes] for name in names
    }


def _run_facts(summary: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[list[str]]:
    committed, planned = summary["committed"], summary["years"]
    facts = [
        ("years", f"{len(committed)} of {len(planned)} committed, {committed[0]} to {committed[-1]}"),
        ("land grid", summary["grid"]),
        ("host grids", ", ".join(f"{name} ({cells} cells)" for name, cells in summary["hosts"].items())),
        ("size of the store", f"{summary['bytes'] / 1e6:.1f} MB"),
        ("made", provenance.get("created")),
        ("command", provenance.get("command")),
        ("predictors", _plain(provenance.get("predictors"))),
        ("ranks", provenance.get("ranks")),
        ("threads of a rank", provenance.get("threads")),
        ("revision", provenance.get("revision")),
        ("Python", provenance.get("python")),
        ("platform", provenance.get("platform")),
        ("instruction set", provenance.get("instruction_set")),
        ("MPI", provenance.get("mpi")),
        ("configuration, SHA-256", provenance.get("config_sha256")),
    ]
    return [[label, str(value)] for label, value in facts if value not in (None, "", [])]


def _plain(value: Any) -> str:
    """Nested values as text for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_plain(item) for item in value)
    return "" if value is None else str(value)


def _quality(data: xr.Dataset, mended: Mapping[str, Any] | None) -> list[list[str]]:
    """Quality counts of a run: totals over its steps, and values mended in the inputs."""
    rows = []
    if {"changed_cells", "land_cells"} <= set(data):
        changed, land = data["changed_cells"].values, data["land_cells"].values
        steps = land > 0
        if steps.any():
            rows.append(["cells that may change", f"{land.max():.0f}"])
            rows.append(
                ["changed in a step, on average", f"{100 * (changed[steps] / land[steps]).mean():.2f} % of them"]
            )
    if "unpaired_cells" in data:
        rows.append(["gross change without a partner", f"{np.nansum(data['unpaired_cells'].values):.0f} cells in all"])
    if "unmet_area" in data:
        unmet = np.nansum(data["unmet_area"].values, axis=1) / KM2
        rows.append(["demand unmet in the last year", f"{unmet[-1]:.1f} km2"])
        rows.append(["demand unmet at most", f"{unmet.max():.1f} km2, in {data['year'].values[unmet.argmax()]}"])
    if mended is not None:
        rows.append(["policy for bad inputs", str(mended["policy"])])
        rows += [[f"mended while reading: {name}", str(count)] for name, count in mended["total"].items()]
        if not mended["total"]:
            rows.append(["mended while reading", "nothing"])
    return rows

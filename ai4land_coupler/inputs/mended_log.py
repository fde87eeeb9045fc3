"""Counts of the mended values of a run, in ``year/quality.json`` of the store.

``total`` counts by adapter and fault. ``years`` has these counts for each year of the data, ``static`` those of static
fields. A restarted run adds its counts to those of the run before it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.inputs.catalogue import Mended, total
from ai4land_coupler.store.layout import YEAR

#: In the folder of the commit marker: zarr warns about unknown files in its groups.
NAME = f"{YEAR}/quality.json"


def write_mended(store: Path, policy: str, mended: Mapping[Mended, int]) -> None:
    """Write the counts durably, and keep those of the years that an earlier part of the run read."""
    by_year: dict[str, dict[str, int]] = {}
    for year in sorted({key.year for key in mended}, key=lambda y: -1 if y is None else y):
        counts = total({key: n for key, n in mended.items() if key.year == year})
        if counts:
            by_year["static" if year is None else str(year)] = dict(sorted(counts.items()))
    before = read_mended(store)
    years = (before["years"] if before else {}) | {year: n for year, n in by_year.items() if year != "static"}
    static = by_year.get("static", {})
    write_durably(store / NAME, _content(policy, static, years))


def joined_mended(stores: Iterable[Path]) -> bytes | None:
    """The file of a store that is joined from others. Each year of the data, and the static fields, count once."""
    found = [counts for counts in map(read_mended, stores) if counts is not None]
    if not found:
        return None
    years: dict[str, dict[str, int]] = {}
    static: Counter[str] = Counter()
    for counts in found:
        static |= Counter(counts["static"])
        for year, own in counts["years"].items():
            years[year] = dict(Counter(years.get(year, {})) | Counter(own))
    return _content(found[-1]["policy"], dict(sorted(static.items())), years)


def _content(policy: str, static: Mapping[str, int], years: Mapping[str, Mapping[str, int]]) -> bytes:
    everything: Counter[str] = Counter(static)
    for counts in years.values():
        everything.update(counts)
    content = {
        "policy": policy,
        "total": dict(sorted(everything.items())),
        "static": static,
        "years": dict(sorted(years.items(), key=lambda item: int(item[0]))),
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def read_mended(store: Path) -> dict[str, Any] | None:
    """Read the counts of a store. Returns ``None`` if it has none.

    Raises
    ------
    DataError
        The file is damaged.
    """
    path = store / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(
            "the counts of mended inputs cannot be read",
            expected="JSON",
            found=error,
            where=path,
            remedy="delete the file; the results do not depend on it",
        ) from error

"""What was mended in the inputs of a run, kept with its results: ``year/quality.json`` of the output store.

``total`` counts by adapter and fault; ``years`` has the same for each year of the data, ``static`` for what has no
year. A continued run adds to what the run before it wrote.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.inputs.catalogue import Mended, total
from ai4land_coupler.store.layout import YEAR

#: Beside the commit marker: zarr warns about files in its groups that it does not know.
NAME = f"{YEAR}/quality.json"


def write_mended(store: Path, policy: str, mended: Mapping[Mended, int]) -> None:
    """Write the counts durably; those of years that an earlier part of the run read are kept."""
    by_year: dict[str, dict[str, int]] = {}
    for year in sorted({key.year for key in mended}, key=lambda y: -1 if y is None else y):
        counts = total({key: n for key, n in mended.items() if key.year == year})
        if counts:
            by_year["static" if year is None else str(year)] = dict(sorted(counts.items()))
    before = read_mended(store)
    years = (before["years"] if before else {}) | {year: n for year, n in by_year.items() if year != "static"}
    static = by_year.get("static", {})
    everything: Counter[str] = Counter(static)
    for counts in years.values():
        everything.update(counts)
    content = {
        "policy": policy,
        "total": dict(sorted(everything.items())),
        "static": static,
        "years": dict(sorted(years.items(), key=lambda item: int(item[0]))),
    }
    write_durably(store / NAME, (json.dumps(content, indent=1) + "\n").encode())


def read_mended(store: Path) -> dict[str, Any] | None:
    """The counts of a store; ``None`` where there are none.

    Raises
    ------
    DataError
        When the file is damaged.
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

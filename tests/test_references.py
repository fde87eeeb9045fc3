"""Results are what they were when they were last looked at (references/twin.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reference_runs import FILE, RENEW, differences, has_yac, record, results


def test_results_are_those_of_the_references(tmp_path: Path) -> None:
    kept = json.loads(FILE.read_text())
    found = differences(kept, record(results(tmp_path, with_yac=has_yac())), None if has_yac() else "yac/")
    if found:
        pytest.fail(
            "\n".join(
                [
                    f"{len(found)} differences from {FILE}:",
                    *found,
                    f"Where this is meant: `{RENEW}`, and say in the commit why results change.",
                ]
            ),
            pytrace=False,
        )

"""Identity of input files by their content, wherever they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ai4land_coupler.store.provenance import digest


def contents(paths: Iterable[Path]) -> dict[str, str]:
    """Name of each file or folder, without its path, to its size and the start of its digest.

    Two files with one name in different folders are told apart by a number. For what the digest covers see
    :func:`ai4land_coupler.store.provenance.digest`.
    """
    found: dict[str, str] = {}
    for path in paths:
        facts = digest(path)
        name, number = path.name, 2
        while name in found:
            name, number = f"{path.name} ({number})", number + 1
        found[name] = f"{facts.bytes} bytes, sha256 {facts.sha256[:16]}"
    return found

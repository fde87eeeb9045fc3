"""Compare what the ranks of a run have: settings, versions, plans. Any difference is an error on every rank."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ai4land_coupler.parallel.communicator import Communicator

#: Most keys that a message names, and most characters of one value.
_KEYS, _LENGTH = 12, 160

#: For each key, the values that ranks have (as text), each with its ranks.
Differences = dict[str, dict[str, list[int]]]


def differences(facts: Mapping[str, Any], comm: Communicator) -> Differences:
    """The keys whose values are not the same on all ranks, on every rank. Collective.

    Parameters
    ----------
    facts:
        Plain JSON by key. A key that only some ranks have differs too.
    """
    text = json.dumps(dict(facts), sort_keys=True)
    digests = comm.allgather(hashlib.sha256(text.encode()).digest())
    if len(set(digests)) == 1:
        return {}
    every = comm.allgather({key: json.dumps(value, sort_keys=True) for key, value in facts.items()})
    found: Differences = {}
    for key in sorted(set().union(*every)):
        values: dict[str, list[int]] = {}
        for rank, own in enumerate(every):
            values.setdefault(own.get(key, "(absent)"), []).append(rank)
        if len(values) > 1:
            found[key] = values
    return found


def describe(found: Differences) -> str:
    """The differing keys with their values and ranks, for a message."""
    lines = [
        f"{key}: " + ", ".join(f"{_short(value)} ({ranks_text(ranks)})" for value, ranks in values.items())
        for key, values in list(found.items())[:_KEYS]
    ]
    more = len(found) - _KEYS
    return "; ".join(lines) + (f"; and {more} more keys" if more > 0 else "")


def ranks_text(ranks: Iterable[int]) -> str:
    """Ranks in a short text: ``rank 1``, ``ranks 0, 2 to 5``."""
    parts: list[list[int]] = []
    for rank in sorted(ranks):
        if parts and rank == parts[-1][1] + 1:
            parts[-1][1] = rank
        else:
            parts.append([rank, rank])
    texts = [f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in parts]
    return f"rank{'s' if len(parts) > 1 or parts[0][0] != parts[0][1] else ''} {', '.join(texts)}"


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."

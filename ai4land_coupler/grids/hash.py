"""A hash of a grid that does not depend on the distribution of its cells over ranks."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, merge_corners, next_corners

Words = NDArray[np.uint64]

#: Seeds of the two 64-bit parts of the digest (digits of pi).
_SEEDS = (0x243F6A8885A308D3, 0x13198A2E03707344)


def grid_hash(mesh: Mesh, comm: Any = None) -> str:
    """Digest of a whole grid, 32 hexadecimal digits: for caches, restarts and provenance. Collective.

    The hash does not depend on the number of ranks, the order of the cells, the first corner of a cell, padding, or
    whole turns of longitude. It changes if a corner, a centre, the mask, an id or the kind of edges changes. Names and
    notes are not included. Every cell has a digest of 128 bits. The digests are added, so the order does not matter.
    This is not a cryptographic hash: two different grids with the same hash can be made on purpose.
    """
    sums = [int(lane.sum(dtype=np.uint64)) for lane in _cell_digests(mesh)]
    counts, sizes = [mesh.size], [mesh.global_size]
    if comm is not None:
        parts = comm.allgather((sums, mesh.size, mesh.global_size))
        sums = [sum(part[0][lane] for part in parts) for lane in range(len(_SEEDS))]
        counts, sizes = [part[1] for part in parts], [part[2] for part in parts]
    facts = [value % 2**64 for value in sums] + [sum(counts), max(sizes), mesh.edges]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _cell_digests(mesh: Mesh) -> list[Words]:
    """The digest of each cell, in two parts, each uint64 (n,)."""
    merged = merge_corners(mesh)
    used = ~np.isnan(merged.corner_lat)
    lon, lat = _words(np.mod(merged.corner_lon, 360.0)), _words(merged.corner_lat)
    next_lon, next_lat = next_corners(merged)
    ends = _words(np.mod(next_lon, 360.0)), _words(next_lat)
    whole = [mesh.cell_ids.astype(np.uint64), mesh.mask.astype(np.uint64)]
    if mesh.centre_lon is not None and mesh.centre_lat is not None:
        whole += [_words(np.mod(mesh.centre_lon, 360.0)), _words(mesh.centre_lat)]
    lanes = []
    for seed in _SEEDS:
        # The sum over edges depends on the direction of the corners, but not on the first corner.
        edges = np.where(used, mix(np.uint64(seed), lon, lat, *ends), np.uint64(0))
        lanes.append(mix(np.uint64(seed), edges.sum(axis=1, dtype=np.uint64), *whole))
    return lanes


def _words(values: NDArray[np.float64]) -> Words:
    """The bits of floats. 0.0 and -0.0 give the same bits."""
    return np.ascontiguousarray(values + 0.0).view(np.uint64)


def mix(start: np.uint64, *words: Words) -> Words:
    """Combine 64-bit words in order into one digest. All arrays, and the result, have the same shape.

    Each round is the finaliser of SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195).
    """
    state = np.full(words[0].shape, start)
    with np.errstate(over="ignore"):
        for word in words:
            state = (state ^ word) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state

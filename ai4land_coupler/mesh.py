"""Polygonal grids of host models, as the part that one rank owns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mesh:
    """The cells of a grid that this rank owns; a rank without cells is legal.

    Parameters
    ----------
    name:
        For messages and provenance.
    cell_ids:
        Global ids of the owned cells, int64, 0-based, unique over all ranks; shape (n,).
    corner_lon, corner_lat:
        Corners in degrees, counter-clockwise seen from outside, float64 (n, k); unused corners are NaN at
        the end of a row.
    edges:
        ``great_circle``, or ``latlon`` where edges follow meridians and parallels.
    mask:
        True for cells that take part; shape (n,).
    global_size:
        Cells of the whole grid over all ranks.
    """

    name: str
    cell_ids: NDArray[np.int64]
    corner_lon: NDArray[np.float64]
    corner_lat: NDArray[np.float64]
    edges: Literal["great_circle", "latlon"]
    mask: NDArray[np.bool_]
    global_size: int

    @property
    def size(self) -> int:
        return int(self.cell_ids.size)

    def take(self, index: NDArray[np.int64]) -> Mesh:
        """The mesh of some of the owned cells, by local index."""
        return Mesh(
            self.name,
            self.cell_ids[index],
            self.corner_lon[index],
            self.corner_lat[index],
            self.edges,
            self.mask[index],
            self.global_size,
        )

    @property
    def hash(self) -> str:
        """Digest of the owned cells (of the whole grid, on one rank)."""
        digest = hashlib.sha256()
        for array in (self.cell_ids, self.corner_lon, self.corner_lat, self.mask):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(self.edges.encode())
        return digest.hexdigest()[:16]

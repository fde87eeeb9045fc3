"""Read a part of a weight file on each rank, and send it to the ranks that own the cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import ConfigError, GridError, Mesh, Method
from ai4land_coupler.parallel.collective import (
    exchange,
    local_index,
    owners,
    rank_and_size,
    send_to_owners,
    split_by_rank,
)
from ai4land_coupler.regrid.weight_files.read import (
    QUANTITIES,
    FileNorm,
    Quantity,
    Side,
    check_links,
    merge_links,
    open_weights,
)


@dataclass(frozen=True)
class FilePart:
    """The slice of a file that one rank reads: links, and quantities of cells of both grids.

    ``covers`` is the area of the unmasked source cells of this slice (steradians).
    """

    links: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
    grids: dict[Side, dict[Quantity, NDArray[Any]]]
    covers: float
    norm: FileNorm | None
    layout: str
    made_by: str


def read_part(path: Path, meshes: Mapping[Side, Mesh], method: Method, rank: int, size: int) -> FilePart:
    with open_weights(path) as reader:
        for side, mesh in meshes.items():
            found = reader.size(side)
            if found is not None and found != mesh.global_size:
                raise GridError(
                    f"a weight file was made for another {side} grid",
                    expected=f"{mesh.global_size} cells ({mesh.name})",
                    found=f"{found} cells ({reader.grid_name(side)})",
                    where=path,
                )
        if reader.method_text and reader.method != method:
            raise ConfigError(
                "a weight file was made with another method",
                expected=method,
                found=f"{reader.method_text!r}",
                where=path,
            )
        links = reader.links(*_slice(reader.n_links, rank, size))
        check_links(*links, meshes["destination"].global_size, meshes["source"].global_size, path)
        grids: dict[Side, dict[Quantity, NDArray[Any]]] = {}
        for side, mesh in meshes.items():
            here = _slice(mesh.global_size, rank, size)
            grids[side] = {q: reader.read(side, q, *here) for q in QUANTITIES if reader.has(side, q)}
        area, mask = grids["source"].get("area"), grids["source"].get("mask")
        covers = 0.0 if area is None else float(area.sum() if mask is None else area[mask != 0].sum())
        title = reader.attributes.get("title") or reader.attributes.get("version") or "unknown"
        return FilePart(links, grids, covers, reader.norm, reader.layout, str(title))


def _slice(n: int, rank: int, size: int) -> tuple[int, int]:
    return n * rank // size, n * (rank + 1) // size


def fetch(ids: NDArray[np.int64], values: NDArray[Any], n: int, comm: Any) -> NDArray[Any]:
    """Values of the cells ``ids`` (0 to ``n`` - 1), from the equal slices that the ranks have read. Collective."""
    rank, size = rank_and_size(comm)
    target = np.searchsorted([_slice(n, r, size)[1] for r in range(size)], ids, side="right")
    start = _slice(n, rank, size)[0]
    replies = [values[asked - start] for asked in exchange(split_by_rank(ids, target, size), comm)]
    found = np.empty((ids.size, *values.shape[1:]), values.dtype)
    found[np.argsort(target, kind="stable")] = np.concatenate(exchange(replies, comm))
    return found


def deliver(
    links: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], destination: Mesh, comm: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Send links to the ranks that own their destination cells. Returns sorted local rows. Collective."""
    # a mesh may lack cells of its grid: links to them are dropped
    row, col, values = send_to_owners(destination.cell_ids, links[0], links, comm)
    return merge_links(local_index(destination.cell_ids, row).astype(np.int64), col, values)


def has_source(col: NDArray[np.int64], source: Mesh, comm: Any) -> NDArray[np.bool_]:
    """Whether the source cell of each link is unmasked and a rank owns it. Collective."""
    ids, inverse = np.unique(col, return_inverse=True)
    return np.asarray(owners(source.cell_ids[source.mask], ids, comm)[inverse.ravel()] >= 0)

"""Arrays on the cells of a host grid in a restart, written and read on any number of ranks.

Each file holds a range of global cell ids of fixed length, so files do not depend on which rank owns a cell.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.parallel.collective import exchange, split_by_rank
from ai4land_coupler.store.restart import Restart, RestartFile, RestartWriter

#: Cells of one file.
RANGE = 1 << 16
_IDS = "ids"


def write_records(
    writer: RestartWriter,
    ids: NDArray[np.int64],
    arrays: Mapping[str, NDArray[np.float64]],
    comm: Communicator,
    first: int = 0,
) -> list[RestartFile]:
    """Write arrays (..., cells) of the owned cells. Collective.

    Parameters
    ----------
    ids:
        Global ids of the owned cells.
    arrays:
        By name; a rank without cells may pass an empty mapping.
    first:
        Number of the file of the first range.

    Returns
    -------
    The files that this rank wrote, for :meth:`RestartWriter.finish`.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for part in comm.allgather({name: array.shape[:-1] for name, array in arrays.items()}):
        shapes |= part
    if not shapes:
        return []
    target = (ids // RANGE) % comm.size
    gathered = {_IDS: np.concatenate(exchange(split_by_rank(ids, target, comm.size), comm.mpi))}
    for name, leading in sorted(shapes.items()):
        own = arrays.get(name, np.empty((*leading, 0)))
        rows = np.ascontiguousarray(np.moveaxis(own, -1, 0), np.float64)
        gathered[name] = np.concatenate(exchange(split_by_rank(rows, target, comm.size), comm.mpi))
    order = np.argsort(gathered[_IDS])
    ranges = gathered[_IDS][order] // RANGE
    entries = []
    with comm.guard():
        for number in np.unique(ranges):
            index = order[ranges == number]
            held = {name: values[index] for name, values in gathered.items()}
            entries.append(writer.write_host(first + int(number), held))
    return entries


def read_records(restart: Restart, ids: NDArray[np.int64], first: int = 0) -> dict[str, NDArray[np.float64]]:
    """Read the arrays (..., cells) of the cells with these ids. Returns {} if the restart has no host arrays. Local.

    A rank without cells gets the same arrays as the others, with no cells.

    Parameters
    ----------
    first:
        Number of the file of the first range, as in :func:`write_records`.

    Raises
    ------
    DataError
        The restart lacks a cell, or one of its files is damaged.
    """
    own = [number for number in restart.host if number >= first]
    if not own:
        return {}
    if not ids.size:
        held = restart.read_host(min(own))
        return {name: np.empty((*values.shape[1:], 0)) for name, values in held.items() if name != _IDS}
    found: dict[str, NDArray[np.float64]] = {}
    for number in np.unique(ids // RANGE):
        held = restart.read_host(first + int(number))
        mine = np.flatnonzero(ids // RANGE == number)
        known = held.pop(_IDS, np.empty(0, np.int64))
        place = np.searchsorted(known, ids[mine])
        inside = place < known.size
        if not inside.all() or (known[place] != ids[mine]).any():
            raise DataError(
                "a restart lacks cells of the host's grid",
                expected=f"the grid that the restart was written with, {known.size} cells in range {number}",
                found="other ids",
                where=restart.path,
                remedy="continue on the same grid",
            )
        for name, values in held.items():
            rows = found.setdefault(name, np.empty((*values.shape[1:], ids.size)))
            rows[..., mine] = np.moveaxis(values[place], 0, -1)
    return found

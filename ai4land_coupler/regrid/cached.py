"""A regridding backend with a cache of its weights on disk (:mod:`ai4land_coupler.regrid.cache`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LocalWeights, Mesh, Method, Norm, Regridder
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.regrid.cache import CachedTables, WeightCache, weight_key


def with_cache(regridder: Regridder, folder: Path | None, *facts: object) -> Regridder:
    """Add a cache to a backend. Returns the backend unchanged if ``folder`` is ``None`` or it reads weights from a
    file.

    ``facts`` are the name of the backend, its version and its options. The attribute ``version`` of the backend, the
    version of its library, is added to them.
    """
    if folder is None or regridder.reads_weights:
        return regridder
    identity = json.dumps([*facts, regridder.version], sort_keys=True, default=str)
    return CachedRegridder(regridder, folder, identity)


class CachedRegridder(Regridder):
    """Reads weights from the cache, or makes them with the backend if the cache does not have them.

    Weights from the cache have the same bits as those that were written, on any number of ranks.

    Parameters
    ----------
    inner:
        The backend.
    folder:
        Folder of the cache; all ranks must see it.
    identity:
        Identifies the backend, its version and its options. Another identity does not use these weights.

    ``inner``, ``folder`` and ``identity`` are public, because :mod:`ai4land_coupler.regrid.land.cache` stores its
    overlaps in the same folder.
    """

    def __init__(self, inner: Regridder, folder: str | Path, identity: str) -> None:
        self.inner, self.folder, self.identity = inner, Path(folder), identity
        self.methods: frozenset[Method] = inner.methods
        self.single_rank, self.reads_weights = inner.single_rank, inner.reads_weights

    @property
    def version(self) -> str:
        return self.inner.version

    def build(
        self,
        source: Mesh,
        destination: Mesh,
        method: Method = "conservative",
        norm: Norm = "destination",
        comm: Any = None,
    ) -> LocalWeights:
        """As ``build`` of the backend, with the same errors. Collective over ``comm``."""
        validate(source, comm)
        validate(destination, comm)
        cache = WeightCache(self.folder, comm)
        key = weight_key(grid_hash(source, comm), grid_hash(destination, comm), method, norm, self.identity)
        ids = destination.cell_ids
        entry = cache.load(key, {"links": ids, "destination": ids, "source": source.cell_ids})
        if entry is not None:
            return _from_entry(entry, source, destination)
        weights = self.inner.build(source, destination, method, norm, comm)
        cache.save(key, _tables(weights, source, destination), weights.provenance)
        return weights


def _tables(weights: LocalWeights, source: Mesh, destination: Mesh) -> dict[str, dict[str, NDArray[Any]]]:
    return {
        "links": {
            "id": np.repeat(destination.cell_ids, np.diff(weights.indptr)),
            "source": np.asarray(weights.source_ids, np.int64),
            "value": np.asarray(weights.values, np.float64),
        },
        "destination": {
            "id": destination.cell_ids,
            "area": np.asarray(weights.destination_area, np.float64),
            "fraction": np.asarray(weights.destination_fraction, np.float64),
        },
        "source": {"id": source.cell_ids, "area": np.asarray(weights.source_area, np.float64)},
    }


def _from_entry(entry: CachedTables, source: Mesh, destination: Mesh) -> LocalWeights:
    """Bring records, which are sorted by id, into the order of the owned cells of the meshes."""
    links, cells, source_cells = (entry.tables[name] for name in ("links", "destination", "source"))
    place = np.argsort(np.argsort(destination.cell_ids))  # index of each owned cell in ascending order of ids
    ends = np.searchsorted(links["id"], cells["id"][place], side="right")
    starts = np.searchsorted(links["id"], cells["id"][place], side="left")
    indptr = np.concatenate([[0], np.cumsum(ends - starts)])
    taken = np.repeat(starts - indptr[:-1], ends - starts) + np.arange(indptr[-1])
    return LocalWeights(
        indptr=indptr,
        source_ids=links["source"][taken],
        values=links["value"][taken],
        destination_fraction=cells["fraction"][place],
        source_area=source_cells["area"][np.argsort(np.argsort(source.cell_ids))],
        destination_area=cells["area"][place],
        provenance=entry.about,
    )

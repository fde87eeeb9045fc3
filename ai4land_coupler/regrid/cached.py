"""A regridding backend whose weights are kept on disk (:mod:`ai4land_coupler.regrid.cache`)."""

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
    """The backend, with a cache where there is a folder for it and its weights are not read from a file anyway.

    ``facts`` name the backend, its version and its options; the version of the library is its attribute ``version``.
    """
    if folder is None or regridder.reads_weights:
        return regridder
    identity = json.dumps([*facts, regridder.version], sort_keys=True, default=str)
    return CachedRegridder(regridder, folder, identity)


class CachedRegridder(Regridder):
    """Asks the cache first, and the backend where it has nothing.

    Weights out of the cache are those that some ranks made, to the bit, whatever ranks ask for them.

    Parameters
    ----------
    inner:
        The backend.
    folder:
        Of the cache; seen by all ranks.
    identity:
        Names the backend, its version and its options: under another one weights are made anew.

    ``inner``, ``folder`` and ``identity`` are public, for weights that are made in other ways and kept in the same
    place.
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
        """As the backend's own; errors are the same. Collective over ``comm``."""
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
    """Records by ascending id as the weights of the owned cells, in the order of the meshes."""
    links, onto, given = (entry.tables[name] for name in ("links", "destination", "source"))
    place = np.argsort(np.argsort(destination.cell_ids))  # of an owned cell, among those by ascending id
    ends = np.searchsorted(links["id"], onto["id"][place], side="right")
    starts = np.searchsorted(links["id"], onto["id"][place], side="left")
    indptr = np.concatenate([[0], np.cumsum(ends - starts)])
    taken = np.repeat(starts - indptr[:-1], ends - starts) + np.arange(indptr[-1])
    return LocalWeights(
        indptr=indptr,
        source_ids=links["source"][taken],
        values=links["value"][taken],
        destination_fraction=onto["fraction"][place],
        source_area=given["area"][np.argsort(np.argsort(source.cell_ids))],
        destination_area=onto["area"][place],
        provenance=entry.about,
    )

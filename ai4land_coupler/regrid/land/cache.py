"""A cache of the overlaps of the land with a host grid, in the folder of the cache of the regridding backend."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Mesh, Regridder
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.regrid.cache import WeightCache, weight_key
from ai4land_coupler.regrid.cached import CachedRegridder
from ai4land_coupler.regrid.land.weights import Cuts, LandWeights, Runs, land_weights

#: Version of the tables. It is a part of the key.
_FORMAT = 1


def cached_land_weights(
    plan: BlockPlan, land: Mapping[int, NDArray[np.bool_]], mesh: Mesh, regridder: Regridder, comm: Any
) -> LandWeights:
    """As :func:`land_weights`, but read from the cache if the regridder has one. Collective.

    The id of a record is its block, so that any number of ranks can read its own records.
    """
    if not isinstance(regridder, CachedRegridder):
        return land_weights(plan, land, mesh, regridder, comm)
    validate(mesh, comm)
    cache = WeightCache(regridder.folder, comm)
    source = f"{plan.hash} {_land_digest(land, comm)} {_FORMAT}"
    key = weight_key(source, grid_hash(mesh, comm), "conservative", "destination", regridder.identity)
    blocks = np.array(sorted(land), np.int64)
    entry = cache.load(key, {"runs": blocks, "cuts": blocks})
    if entry is not None:
        runs, cuts = entry.tables["runs"], entry.tables["cuts"]
        return LandWeights(
            Runs(runs["id"], runs["start"], runs["cell"]),
            Cuts(cuts["id"], cuts["place"], cuts["cell"], cuts["area"]),
            entry.about,
        )
    made = land_weights(plan, land, mesh, regridder.inner, comm)
    tables: dict[str, dict[str, NDArray[Any]]] = {
        "runs": {"id": made.runs.block, "start": made.runs.start, "cell": made.runs.cell},
        "cuts": {
            "id": made.cuts.block,
            "place": made.cuts.place,
            "cell": made.cuts.cell,
            "area": made.cuts.area,
        },
    }
    cache.save(key, tables, made.provenance)
    return made


def _land_digest(land: Mapping[int, NDArray[np.bool_]], comm: Any) -> str:
    """Digest of the land of all ranks. Collective."""
    own = {block: hashlib.sha256(np.packbits(mask).tobytes()).digest()[:16] for block, mask in land.items()}
    everywhere: dict[int, bytes] = {}
    for part in [own] if comm is None else comm.allgather(own):
        everywhere |= part
    return hashlib.sha256(repr(sorted(everywhere.items())).encode()).hexdigest()

"""A plugin with faults to order: persistence that fails on one rank, in one year, in the way that its options say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ai4land_coupler import api


class Options(api.Options):
    fault: Literal["none", "raise", "exit", "nan"] = "none"
    rank: int = 0
    year: int = 2002


class Faulty(api.Predictor):
    def __init__(self, options: Options) -> None:
        self.options = options
        self.spec = api.PredictorSpec(
            inputs=(
                api.FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),
                api.FieldSpec("air_temperature", "K", source="import", grid="forcing", offsets=(-1,)),
            ),
            outputs=(api.FieldSpec("land_cover_logits", "1", source="output"),),
            legend="hilda-v1.0-f",
        )

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        from mpi4py import MPI

        options, current = self.options, batch.fields["land_cover"][:, 0]
        logits = np.float32(12) * (current[:, None] == np.arange(7, dtype=np.int8)[:, None, None])
        if batch.time[0] != options.year or MPI.COMM_WORLD.Get_rank() != options.rank:
            return {"land_cover_logits": logits}
        if options.fault == "raise":
            raise ZeroDivisionError("deep inside a plugin")
        if options.fault == "exit":
            sys.exit(3)
        if options.fault == "nan":
            logits[:] = np.nan
        return {"land_cover_logits": logits}


@api.hookimpl
def ai4land_register(registry: api.Registry) -> None:
    registry.predictor("faulty", Faulty, Options)

"""Predicts that land cover does not change. This baseline has an overall accuracy of about 99.5 % a year."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ai4land_coupler import api

#: Logit of a cell's present class. The other six classes together have a probability of 4e-5: `argmax` and `sample`
#: keep the map, while `allocate` can still choose cells if the scenario demands change.
FAVOUR = 12.0


class PersistenceOptions(api.Options):
    """Options of ``persistence``: the legend, step and direction of the run."""

    legend: api.LegendName
    step: str = "P1Y"
    direction: Literal["forward", "backward"] = "forward"


class Persistence(api.Predictor):
    """Predicts the class of the step before."""

    def __init__(self, options: PersistenceOptions) -> None:
        self.legend = api.get_legend(options.legend)
        self.spec = api.PredictorSpec(
            inputs=(api.FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),),
            outputs=(api.FieldSpec(api.LOGITS, "1", source="output"),),
            legend=options.legend,
            step=options.step,
            direction=1 if options.direction == "forward" else -1,
        )

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """Logits (B, class, Y, X): ``FAVOUR`` for the class of the step before, else 0. All 0 outside of the land."""
        classes = np.arange(len(self.legend.view), dtype=np.int8)
        current = batch.fields["land_cover"][:, 0]
        same = current[:, None] == classes[:, None, None]
        return {api.LOGITS: np.float32(FAVOUR) * same}

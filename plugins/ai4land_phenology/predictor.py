"""Predicts a leaf area index for each class that follows temperature with a delay.

An illustration, not a calibrated model. Its shape is the minimum-temperature index of the growing-season index
(Jolly, Nemani and Running 2005, "A generalized, bioclimatic index to predict foliar phenology in response to
climate", Global Change Biology 11, 619-632): minimum leaf area below one temperature, maximum above another, linear in
between. The input is the host's monthly mean temperature. Leaf area approaches its target with an e-folding time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ai4land_coupler import api

#: Name of the field that is kept from month to month.
CARRY = "lai_carry"


class ClassOptions(api.Options):
    """Parameters of one class."""

    lai_min: float = Field(ge=0, description="Leaf area index in the cold season (m2 m-2).")
    lai_max: float = Field(ge=0, description="Leaf area index in full leaf (m2 m-2).")
    cold: float = Field(default=271.0, description="At or below this monthly mean the target is lai_min (K).")
    warm: float = Field(default=288.0, description="At or above this monthly mean the target is lai_max (K).")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lai_min > self.lai_max or self.cold >= self.warm:
            raise ValueError("lai_min must not exceed lai_max, and cold must be below warm")
        return self


def _defaults() -> dict[str, ClassOptions]:
    return {
        "urban": ClassOptions(lai_min=0.2, lai_max=0.8),
        "cropland": ClassOptions(lai_min=0.2, lai_max=3.5, cold=275.0, warm=290.0),
        "pasture": ClassOptions(lai_min=0.6, lai_max=2.5),
        "forest": ClassOptions(lai_min=1.2, lai_max=5.0, cold=273.0),
        "grass_shrub": ClassOptions(lai_min=0.5, lai_max=1.8),
        "other": ClassOptions(lai_min=0.05, lai_max=0.2),
        "water": ClassOptions(lai_min=0.0, lai_max=0.0),
    }


class PhenologyOptions(api.Options):
    """Options of ``phenology``: the legend, parameters of its classes, and the delay."""

    legend: api.LegendName
    tau_months: float = Field(default=1.0, gt=0, description="E-folding time of the leaves (months).")
    start: float = Field(default=1.0, ge=0, description="Leaf area index before the first month (m2 m-2).")
    classes: dict[str, ClassOptions] = Field(default_factory=_defaults, description="By class of the legend's view.")


class Phenology(api.Predictor):
    """Predicts ``lai`` (m2 m-2) of each month from the map of its year, air temperature and the month before."""

    def __init__(self, options: PhenologyOptions) -> None:
        self.options = options
        names = api.get_legend(options.legend).classes
        for name in options.classes:
            if name not in names:
                raise api.ConfigError(
                    f"legend {options.legend!r} has no such class",
                    found=name,
                    where="predictor 'phenology', option classes",
                    remedy=api.nearest(name, names),
                )
        lacking = [name for name in names if name not in options.classes]
        if lacking:
            raise api.ConfigError(
                "classes without parameters",
                expected=f"lai_min and lai_max of each class of legend {options.legend!r}",
                found=f"none for {', '.join(lacking)}",
                where="predictor 'phenology', option classes",
            )
        rows = [options.classes[name] for name in names]
        # OUTSIDE (-1) selects the last row, which gives zero.
        self._table = np.array(
            [(r.lai_min, r.lai_max, r.cold, r.warm) for r in rows] + [(0.0, 0.0, 0.0, 1.0)], np.float32
        )
        self.spec = api.PredictorSpec(
            inputs=(
                api.FieldSpec("land_cover", "1", source="cover"),
                # NaN marks cells without a temperature from the host: their leaf area does not change.
                api.FieldSpec("air_temperature", "K", source="import", fill=float("nan")),
            ),
            outputs=(api.FieldSpec("lai", "m2 m-2", source="output"),),
            legend=options.legend,
            step="P1M",
            memory={CARRY: options.start},
        )

    def target(self, cover: NDArray[np.int8], temperature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Target of the leaf area index (m2 m-2), for any shape; temperature in K."""
        low, high, cold, warm = np.moveaxis(self._table[cover], -1, 0)
        ramp = np.clip((temperature - cold) / (warm - cold), np.float32(0), np.float32(1))
        return np.asarray(low + (high - low) * ramp)

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """Solve dl/dt = (target - l)/tau exactly over one month, with a constant target.

        Returns
        -------
        ``lai`` (B, 1, Y, X) and the kept field (B, Y, X), both float32 in m2 m-2; 0 outside of the land.
        """
        cover = batch.fields["land_cover"][:, 0]
        temperature = batch.fields["air_temperature"][:, 0]
        before = batch.fields[CARRY][:, 0]
        share = np.float32(-np.expm1(-1.0 / self.options.tau_months))
        after = before + (self.target(cover, temperature) - before) * share
        after = np.where(np.isnan(temperature), before, after)
        after = np.where(cover == api.OUTSIDE, np.float32(0), after)
        return {"lai": after[:, None], CARRY: after}

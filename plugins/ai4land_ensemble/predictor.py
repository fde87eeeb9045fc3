"""Predicts the weighted mean of the logits of several predictors.

This is the logarithmic opinion pool of their probabilities (Genest and Zidek 1986,
https://doi.org/10.1214/ss/1177013825): the weighted geometric mean, which the softmax makes sum to 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from ai4land_coupler import api


class Member(api.Options):
    """One predictor of an ensemble.

    Parameters
    ----------
    name, options:
        As in the section ``predictors`` of a run.
    weight:
        Its weight, relative to those of the other members.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    weight: float = Field(1.0, gt=0)


class EnsembleOptions(api.Options):
    """Options of ``ensemble``: its members."""

    members: tuple[Member, ...] = Field(min_length=1)
    _base: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _keep_base(self, info: ValidationInfo) -> Self:
        self._base = (info.context or {}).get("base")
        return self

    @property
    def base(self) -> Path | None:
        """The folder from which relative paths in the options of the members start."""
        return self._base


class Ensemble(api.Predictor):
    """The mean of some predictors that have the same legend, step and direction.

    Gross change is that of the first member that knows it.

    Raises
    ------
    ConfigError
        If the members do not fit together, or one predicts more than land cover.
    """

    def __init__(self, members: Sequence[api.Predictor], weights: Sequence[float]) -> None:
        self._members = tuple(members)
        self._weights = [np.float32(weight / sum(weights)) for weight in weights]
        specs = [member.spec for member in members]
        _check(specs)
        self.spec = replace(
            specs[0],
            inputs=_joined_inputs(specs),
            align=math.lcm(*(spec.align for spec in specs)),
            halo=max(spec.halo for spec in specs),
        )
        self.gross = next((member.gross for member in members if member.gross is not None), None)
        parts = [f"{weight:.6g}*{member.identity}" for member, weight in zip(members, self._weights, strict=True)]
        self.identity = hashlib.sha256("+".join(parts).encode()).hexdigest()[:16]
        known = [member.bytes_per_cell for member in members]
        self.bytes_per_cell = max(known) + 40.0 if all(known) else 0.0  # and the sum of float32 logits

    def load(self) -> None:
        """Load all members."""
        for member in self._members:
            member.load()
        self.advice = tuple(dict.fromkeys(text for member in self._members for text in member.advice))

    def check_years(self, years: Sequence[int]) -> None:
        """Check the years with all members."""
        for member in self._members:
            member.check_years(years)

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X) over the core of a single tile, else over the windows."""
        total: NDArray[np.float32] | None = None
        for member, weight in zip(self._members, self._weights, strict=True):
            logits = member.predict(self._batch_of(member.spec, batch), rng)[api.LOGITS]
            part = weight * _core(batch, logits)
            total = part if total is None else np.add(total, part, out=total)
        return {api.LOGITS: total}

    def _batch_of(self, spec: api.PredictorSpec, batch: api.Batch) -> api.Batch:
        """The batch with the fields and the offsets of one member."""
        joined = {field.name: field.offsets for field in self.spec.inputs}
        fields = {}
        for field in spec.inputs:
            values = batch.fields[field.name]
            if field.source != "static" and field.offsets != joined[field.name]:
                values = values[:, [joined[field.name].index(offset) for offset in field.offsets]]
            fields[field.name] = values
        return replace(batch, fields=fields)


def _core(batch: api.Batch, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The core of a single tile, which some predictors return and others give within their window."""
    if len(batch.tiles) != 1:
        return logits
    tile = batch.tiles[0]
    return logits if logits.shape[-2:] == tile.core.shape else logits[..., *tile.core.slices(tile.window)]


def _check(specs: Sequence[api.PredictorSpec]) -> None:
    kinds = [f"legend {s.legend}, step {s.step}, direction {s.direction:+d}" for s in specs]
    if len(set(kinds)) > 1:
        raise api.ConfigError(
            "the members of an ensemble do not fit together",
            expected=f"that of the first member: {kinds[0]}",
            found="; ".join(kinds[1:]),
        )
    for spec in specs:
        outputs = [field.name for field in spec.outputs]
        if outputs != [api.LOGITS] or spec.memory:
            raise api.ConfigError(
                "a member of an ensemble predicts more than land cover",
                expected=api.LOGITS,
                found=", ".join([*outputs, *spec.memory]),
                remedy="list this predictor on its own",
            )


def _joined_inputs(specs: Sequence[api.PredictorSpec]) -> tuple[api.FieldSpec, ...]:
    """All input fields of the members, each once with the offsets of all.

    Raises
    ------
    ConfigError
        If two members want the same field in different ways.
    """
    joined: dict[str, api.FieldSpec] = {}
    for spec in specs:
        for field in spec.inputs:
            first = joined.setdefault(field.name, field)
            offsets = tuple(dict.fromkeys(first.offsets + field.offsets))
            if replace(first, offsets=offsets) != replace(field, offsets=offsets):
                raise api.ConfigError(
                    f"the members of an ensemble want the field {field.name!r} in different ways",
                    expected=first,
                    found=field,
                    remedy="train the members with the same channels and the same training land",
                )
            joined[field.name] = replace(first, offsets=offsets)
    return tuple(joined.values())

"""The predictors of a run: under which names, in which order, and which of them wait for a host's imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, Predictor
from ai4land_coupler.core.fields import PredictorSpec
from ai4land_coupler.errors import ConfigError


@dataclass(frozen=True)
class NamedPredictor:
    """A predictor and the name under which the configuration lists it."""

    name: str
    predictor: Predictor

    @property
    def spec(self) -> PredictorSpec:
        """What it reads and makes."""
        return self.predictor.spec

    @property
    def makes_maps(self) -> bool:
        """Whether it predicts land cover."""
        return any(field.name == LOGITS for field in self.spec.outputs)

    @property
    def identity(self) -> str:
        """Name, and a hash of the weights where there are any: a restart must agree on it."""
        return f"{self.name}:{self.predictor.identity}"

    def memory_name(self, name: str) -> str:
        """Name of one of its memories in the land state: two predictors may use the same word."""
        return f"{self.name}.{name}"

    def first_memory(self, cover: Mapping[int, NDArray[np.uint8]]) -> dict[str, dict[int, NDArray[np.float32]]]:
        """Its memories before the first step, by name in the land state and block."""
        return {
            self.memory_name(name): {i: np.full(codes.shape, start, np.float32) for i, codes in cover.items()}
            for name, start in self.spec.memory.items()
        }


def order_predictors(predictors: Sequence[NamedPredictor]) -> list[NamedPredictor]:
    """Predictors in the order that their inputs and outputs imply (leaf area after land cover).

    Raises
    ------
    ConfigError
        Two predictors make the same output, or they wait for each other.
    """
    maker: dict[str, int] = {}
    for index, entry in enumerate(predictors):
        for output in entry.spec.outputs:
            if output.name in maker:
                raise ConfigError(
                    f"two predictors make {output.name!r}",
                    found=f"{predictors[maker[output.name]].name} and {entry.name}",
                    where="predictors",
                    remedy="keep one of them",
                )
            maker[output.name] = index
    waits: dict[int, set[int]] = {index: set() for index in range(len(predictors))}
    for index, entry in enumerate(predictors):
        for field in entry.spec.inputs:
            made_by = LOGITS if field.source == "cover" else field.name
            if field.source in ("cover", "output") and 0 in field.offsets and made_by in maker:
                waits[index].add(maker[made_by])
    try:
        return [predictors[index] for index in TopologicalSorter(waits).static_order()]
    except CycleError as error:
        names = [predictors[index].name for index in error.args[1]]
        raise ConfigError("predictors wait for each other", found=" -> ".join(names), where="predictors") from None


def waiting_for_imports(ordered: Sequence[NamedPredictor]) -> frozenset[str]:
    """Names of the predictors, in the order of a step, that read an import or what such a predictor makes."""
    late: set[str] = set()
    made_late: set[str] = set()
    for entry in ordered:
        for field in entry.spec.inputs:
            read = LOGITS if field.source == "cover" else field.name
            follows = field.source in ("cover", "output") and 0 in field.offsets and read in made_late
            if field.source == "import" or follows:
                late.add(entry.name)
                made_late.update(output.name for output in entry.spec.outputs)
    return frozenset(late)

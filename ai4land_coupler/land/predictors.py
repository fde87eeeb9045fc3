"""The predictors of a run: their names, their order, and which of them need the imports of a host."""

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
    """A predictor and its name in the configuration."""

    name: str
    predictor: Predictor

    @property
    def spec(self) -> PredictorSpec:
        """The inputs and outputs of the predictor."""
        return self.predictor.spec

    @property
    def makes_maps(self) -> bool:
        """Whether it predicts land cover."""
        return any(field.name == LOGITS for field in self.spec.outputs)

    @property
    def identity(self) -> str:
        """Name, and a hash of the weights if it has any. A restart must have the same identity."""
        return f"{self.name}:{self.predictor.identity}"

    def memory_name(self, name: str) -> str:
        """Name of a memory in the land state. It is unique, although two predictors may use the same short name."""
        return f"{self.name}.{name}"

    def first_memory(self, cover: Mapping[int, NDArray[np.uint8]]) -> dict[str, dict[int, NDArray[np.float32]]]:
        """The memories before the first step, by name in the land state and by block."""
        return {
            self.memory_name(name): {i: np.full(codes.shape, start, np.float32) for i, codes in cover.items()}
            for name, start in self.spec.memory.items()
        }


def order_predictors(predictors: Sequence[NamedPredictor]) -> list[NamedPredictor]:
    """Sort predictors so that each runs after those whose outputs it reads (for example leaf area after land cover).

    Raises
    ------
    ConfigError
        Two predictors make the same output, or each reads an output of the other.
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
    """Names of the predictors that read an import, or the output of such a predictor, in the order of a step."""
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

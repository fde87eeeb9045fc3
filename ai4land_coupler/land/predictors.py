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
from ai4land_coupler.land.moments import made_in_the_same_step


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
    """Sort predictors so that each runs after those whose outputs of the same step it reads.

    Raises
    ------
    ConfigError
        Two predictors make the same output, or each reads an output of the other from the same step.
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
    waits = {
        index: {other for other, maker in enumerate(predictors) if _waits(entry, maker)}
        for index, entry in enumerate(predictors)
    }
    try:
        return [predictors[index] for index in TopologicalSorter(waits).static_order()]
    except CycleError as error:
        names = [predictors[index].name for index in error.args[1]]
        raise ConfigError(
            "predictors wait for each other",
            found=" -> ".join(names),
            where="predictors",
            remedy="one of them must read the other's output of an earlier step: for months, offsets of -12 or less",
        ) from None


def _waits(reader: NamedPredictor, maker: NamedPredictor) -> bool:
    """Whether a predictor must run after another one, or after itself, which never ends."""
    if reader is maker and reader.spec.monthly:  # its months follow each other
        own = {output.name for output in reader.spec.outputs}
        return any(field.name in own and 0 in field.offsets for field in reader.spec.inputs if field.source == "output")
    return any(made_in_the_same_step(reader.spec, field, maker.spec) for field in reader.spec.inputs)


def waiting_for_imports(ordered: Sequence[NamedPredictor]) -> frozenset[str]:
    """Names of the predictors that read an import, or the output of such a predictor, in the order of a step."""
    late: list[NamedPredictor] = []
    for entry in ordered:
        imports = any(field.source == "import" for field in entry.spec.inputs)
        if imports or any(_waits(entry, other) for other in late):
            late.append(entry)
    return frozenset(entry.name for entry in late)

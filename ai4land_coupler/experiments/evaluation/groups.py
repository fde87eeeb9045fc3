"""Groups of land: regions or climate zones, by the values of static fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import FieldSpec
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import FieldError
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig, GroupSection
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.registry.loading import Plugins


@dataclass(frozen=True)
class Groups:
    """The groups of an evaluation: readers of their fields, by name."""

    readers: Mapping[str, tuple[GroupSection, StaticReader]]

    @classmethod
    def make(cls, config: EvaluateConfig, plugins: Plugins, grid: LatLonGrid) -> Groups:
        """Open the fields of the groups."""
        readers = {}
        for name, section in config.groups.items():
            where = f"{config.where}: groups.{name}"
            adapter = plugins.create("adapter", section.name, section.options, where, base=config.base)
            catalogue = Catalogue("static", [NamedAdapter(section.name, adapter)])
            if section.field not in catalogue:
                raise FieldError(
                    "the adapter of a group has no such field",
                    expected=", ".join(sorted(catalogue.names)),
                    found=section.field,
                    where=where,
                )
            readers[name] = section, StaticReader(catalogue, grid)
        return cls(readers)

    def of(self, box: Box, judged: NDArray[np.bool_]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """The groups that have judged cells in a box, each with its cells; first all land, with an empty name."""
        yield "", judged
        for name, (section, reader) in self.readers.items():
            values = reader.read(FieldSpec(section.field, section.units, "static"), box)
            known = judged & np.isfinite(values)
            whole = np.rint(np.where(known, values, 0)).astype(np.int64)
            for value in np.unique(whole[known]).tolist():
                yield f"{name}: {section.names.get(value, value)}", known & (whole == value)

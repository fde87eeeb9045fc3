"""Frozen editions of the twin, used to compare predictors."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from ai4land_coupler.errors import ConfigError, DataError, nearest
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.report import TwinReport


class BenchmarkEdition(BaseModel):
    """One frozen twin.

    Parameters
    ----------
    edition:
        Name of the edition. Give it with every result.
    options:
        Options of the generator.
    maps_sha256, states_sha256:
        Hashes of the map sequence and of the coarse states.
    skill:
        Figure of merit by lead time (years) of the oracle that knows gross and net amounts, and of the one that knows
        net amounts only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str
    name: str
    options: TwinOptions
    maps_sha256: str
    states_sha256: str
    skill: dict[int, tuple[float, float]]

    def check(self, report: TwinReport) -> None:
        """Check that a generated twin is this edition.

        Raises
        ------
        DataError
            With the first difference.
        """
        skill = {s.lead: (s.oracle, s.oracle_net) for s in report.skill}
        for what, expected, found in (
            ("options", self.options, report.options),
            ("maps", self.maps_sha256, report.maps_sha256),
            ("coarse states", self.states_sha256, report.states_sha256),
            ("oracle skill", self.skill, skill),
        ):
            if expected != found:
                raise DataError(
                    f"the {what} of a Twin Earth differ from those of benchmark {self.name!r}",
                    expected=expected,
                    found=found,
                    where=f"edition {self.edition}",
                    remedy="generate it with the options of the edition and an unchanged generator",
                )


@cache
def _document() -> dict[str, Any]:
    text = (resources.files("ai4land_coupler.schemas") / "twin-benchmark.yaml").read_text()
    return dict(yaml.safe_load(text))


def benchmark_names() -> list[str]:
    """Names of the frozen twins."""
    return sorted(_document()["twins"])


def benchmark_edition(name: str) -> BenchmarkEdition:
    """Read a frozen twin from ``schemas/twin-benchmark.yaml``; ``ConfigError`` if the name is unknown."""
    document = _document()
    if name not in document["twins"]:
        raise ConfigError("unknown benchmark of the Twin Earth", found=name, remedy=nearest(name, benchmark_names()))
    return BenchmarkEdition(edition=document["edition"], name=name, **document["twins"][name])

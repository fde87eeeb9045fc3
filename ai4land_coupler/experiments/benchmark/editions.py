"""The benchmarks of ``schemas/benchmark.yaml``, and their data with checked hashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field

from ai4land_coupler.errors import ConfigError, DataError, nearest
from ai4land_coupler.experiments.twin import TwinReport, benchmark_edition, generate
from ai4land_coupler.experiments.twin.report import ArrayHash
from ai4land_coupler.files.geotiff import open_geotiff
from ai4land_coupler.store.provenance import digest

LEGEND = "hilda-v1.0-f"
_LAND_USE = ("primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range")


class RolloutYears(BaseModel):
    """Free runs of a benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    starts: tuple[int, ...]
    years: int


class Folds(BaseModel):
    """The folds of land of a benchmark. Each is judged with a predictor that was trained on the other land."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: float
    folds: int


class Benchmark(BaseModel):
    """One benchmark; the keys are explained in ``schemas/benchmark.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    twin: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    train: tuple[int, int]
    judge: tuple[int, int]
    step: str = "P1Y"
    rollout: RolloutYears | None = None
    folds: Folds | None = None
    block: float


@dataclass(frozen=True)
class Sources:
    """The data of a benchmark.

    Parameters
    ----------
    sections:
        ``legend``, ``cover`` (without years), ``forcing`` and ``static`` of an evaluation.
    channels:
        ``channels`` of a training: the inputs of the trained baselines.
    hashes:
        What was checked.
    oracle:
        Figure of merit of the oracle of a twin by lead (docs/twin.md): a predictor can hardly be better.
    """

    sections: dict[str, Any]
    channels: list[dict[str, Any]]
    hashes: dict[str, str]
    oracle: dict[str, float] = field(default_factory=dict)


@cache
def _document() -> dict[str, Any]:
    text = (resources.files("ai4land_coupler.schemas") / "benchmark.yaml").read_text()
    return dict(yaml.safe_load(text)["benchmarks"])


def benchmark_list() -> list[str]:
    """Names of the benchmarks."""
    return list(_document())


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name; ``ConfigError`` if there is none."""
    if name not in _document():
        raise ConfigError("unknown benchmark", found=name, remedy=nearest(name, benchmark_list()))
    return Benchmark(name=name, **_document()[name])


def open_sources(benchmark: Benchmark, data: Path, progress: Callable[[int, int], None] | None = None) -> Sources:
    """The data of a benchmark, with checked hashes.

    Parameters
    ----------
    data:
        For a twin, the folder in which twins are kept: it is generated if it is not there. Else the folder with the
        sample data.

    Raises
    ------
    DataError
        Data are missing, or differ from those of the benchmark.
    """
    if benchmark.twin is None:
        return _real(benchmark, data)
    edition = benchmark_edition(benchmark.twin)
    report = generate(edition.options, data / benchmark.twin, progress)
    edition.check(report)
    _check_maps(report, edition.maps_sha256)
    paths = {name: str(path) for name, path in report.paths.items()}
    sections = {
        "legend": LEGEND,
        "cover": {"name": "hilda", "options": {"path": paths["maps"], "legend": LEGEND}},
        "forcing": [
            {"name": "luh2", "options": {"states": paths["states"]}},
            {"name": "ssp", "options": {"states": paths["scenario"]}},
        ],
        "static": [{"name": "static", "options": {"path": paths[name]}} for name in ("elevation", "soil")],
    }
    channels: list[dict[str, Any]] = [
        {"names": list(_LAND_USE), "source": "forcing", "offsets": [-1, 0], "change": True},
        {"names": ["elevation"], "source": "static", "units": "m", "scaling": "standard"},
        {"names": ["slope"], "source": "static", "units": "degree", "scaling": "standard"},
        {"names": ["clay", "sand"], "source": "static", "scaling": "standard"},
        {"names": ["organic_carbon"], "source": "static", "units": "g kg-1", "scaling": "standard"},
    ]
    hashes = {"edition": edition.edition, "maps": edition.maps_sha256, "states": edition.states_sha256}
    return Sources(sections, channels, hashes, {str(lead): skill[0] for lead, skill in edition.skill.items()})


def _check_maps(report: TwinReport, expected: str) -> None:
    """Compare the hash of the maps on disk, because files may have changed since the twin was generated."""
    found = ArrayHash()
    pattern = str(report.paths["maps"])
    for year in report.options.years:
        path = Path(pattern.replace("{year}", str(year)))
        with open_geotiff(path, path) as source:
            found.update(np.asarray(source.read(1), np.uint8))
    if found.hex != expected:
        raise DataError(
            "the maps of a twin differ from those of the benchmark",
            expected=f"sha256 {expected}",
            found=f"sha256 {found.hex}",
            where=report.folder,
            remedy="delete this folder; the next call makes the twin again",
        )


def _real(benchmark: Benchmark, data: Path) -> Sources:
    _check_files(benchmark.files, data)
    maps, states, static = (
        next(name for name in benchmark.files if name.startswith(kind)) for kind in ("hilda_plus/", "luh2/", "static/")
    )
    pattern = maps.replace(str(benchmark.judge[0]), "{year}")
    sections = {
        "legend": LEGEND,
        "cover": {"name": "hilda", "options": {"path": str(data / pattern), "legend": LEGEND}},
        # the sample has the land use of one year only
        "forcing": [{"name": "luh2", "options": {"states": str(data / states)}, "constant_year": 2015}],
        "static": [{"name": "static", "options": {"path": str(data / static)}}],
    }
    channels: list[dict[str, Any]] = [
        {"names": ["primf", "primn", "secdf", "secdn", "urban", "pastr", "range", "crop"], "source": "forcing"},
        {"names": ["elevation"], "source": "static", "units": "m", "scaling": "standard"},
    ]
    return Sources(sections, channels, dict(benchmark.files))


def _check_files(files: Mapping[str, str], data: Path) -> None:
    for name, expected in files.items():
        if not (data / name).is_file():
            raise DataError(
                "a file of the benchmark is missing",
                expected=name,
                where=data,
                remedy="give the folder of the sample data with --data, or in AI4LAND_SAMPLE_DATA",
            )
        found = digest(data / name).sha256
        if found != expected:
            raise DataError(
                "a file differs from that of the benchmark",
                expected=f"sha256 {expected}",
                found=f"sha256 {found}",
                where=data / name,
                remedy="copy the file again from where it comes from",
            )

"""Twin Earth: synthetic land whose rules are known, on the real land mask and climate zones.

It writes files in the formats of HILDA+, LUH2, its scenarios and static fields. They can be used to run, train and
evaluate everything without the original data.
"""

from ai4land_coupler.experiments.twin.benchmark import BenchmarkEdition, benchmark_edition, benchmark_names
from ai4land_coupler.experiments.twin.cmip7 import write_cmip7, write_cmip7_of
from ai4land_coupler.experiments.twin.generate import generate
from ai4land_coupler.experiments.twin.landscape import Landscape, make_landscape
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.oracle import Skill, oracle
from ai4land_coupler.experiments.twin.report import TwinReport

__all__ = [
    "BenchmarkEdition",
    "Landscape",
    "Skill",
    "TwinOptions",
    "TwinReport",
    "benchmark_edition",
    "benchmark_names",
    "generate",
    "make_landscape",
    "oracle",
    "write_cmip7",
    "write_cmip7_of",
]

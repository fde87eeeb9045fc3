"""Scores of the leaf area index of the Piave: every block of 9 x 9 cells is predicted by a model that never saw it.

    python benchmarks/lai.py ../shared/data/lai/monthly_lai_Piave_derived.nc --steps 2000

All rows have the same cells and the same five folds of blocks. Intervals (95 %) are of 1,000 draws of blocks with
replacement. The climatology is the mean of a class in a month; boosting is scikit-learn's HistGradientBoostingRegressor
with its defaults, on class, elevation, slope, soil and month.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from piave import Piave
from sklearn.ensemble import HistGradientBoostingRegressor

from ai4land_coupler.api import OUTSIDE, TrainingRun
from ai4land_lai.features import Features
from ai4land_lai.options import LaiTrainerOptions
from ai4land_lai.samples import Samples, collect, inputs_of, ranges_of, vegetation_of
from ai4land_lai.training import climatology, fit

FOLDS, DRAWS = 5, 1000


def table_of(samples: Samples, features: Features) -> NDArray[np.float32]:
    """Class, month, elevation, slope and soil: what untuned boosting gets."""
    first = samples.table.shape[1] - len(features.inputs)
    plain = [i for i, item in enumerate(features.inputs) if item.name in ("elevation", "slope") or "soil" in item.name]
    return np.column_stack([samples.classes, samples.table[:, :2], samples.table[:, [first + i for i in plain]]])


def predictions(data: Piave, options: LaiTrainerOptions) -> tuple[NDArray[np.float32], dict[str, NDArray[np.floating]]]:
    """Observed leaves of the held-out cells, and those of each method, with the standard deviation of ``lai``."""
    features = Features(len(data.legend.view), options.radii, inputs_of(data))
    rng = np.random.default_rng(options.seed)
    training, held_out = (
        collect(data, features, block=options.block, groups=options.members, most=10**9, rng=rng, held_out=held)
        for held in (False, True)
    )
    networks = fit(
        training, ranges_of(training, vegetation_of(data.legend, options.vegetation)), options, TrainingRun()
    )
    boosting = HistGradientBoostingRegressor(random_state=0).fit(table_of(training, features), training.leaves)
    mean, variance = networks.class_leaves(held_out.table, held_out.classes)
    usual = climatology(training, len(data.legend.view))[held_out.classes, held_out.season]
    noise = networks.noise[held_out.classes, held_out.season]
    return held_out.leaves, {
        "climatology": usual,
        "boosting": boosting.predict(table_of(held_out, features)),
        "lai": mean,
        "sd": np.sqrt(variance + noise**2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of the training")
    given = parser.parse_args()
    piave = Piave.read(given.path)
    land = piave.cover != OUTSIDE
    blocks = np.random.default_rng(given.seed).permutation(np.unique(piave.block[land]))
    options = LaiTrainerOptions(name="Piave", steps=given.steps, seed=given.seed)
    parts, block = [], []
    for fold in range(FOLDS):
        data = replace(piave, held=tuple(blocks[fold::FOLDS].tolist()))
        parts.append(predictions(data, options))
        block.append(np.tile(piave.block[land & np.isin(piave.block, data.held)], 12))
    observed = np.concatenate([part[0] for part in parts]).astype(float)
    found = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    report(observed, found, np.searchsorted(np.sort(blocks), np.concatenate(block)), given.seed)


def report(
    observed: NDArray[np.float64], found: dict[str, NDArray[np.floating]], block: NDArray[np.int64], seed: int
) -> None:
    """Print RMSE, bias, R2 and R2 of the departures from the climatology, with intervals by block bootstrap."""
    count = int(block.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS)
    draws = np.vstack([np.ones(count, int), draws])  # the first row is the whole sample

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(draws @ np.bincount(block, values, count))

    n = total(np.ones(observed.size))
    spread = total(observed**2) - total(observed) ** 2 / n
    usual = total((observed - found["climatology"]) ** 2)
    print(f"{observed.size} samples in {count} blocks; 95 % intervals of {DRAWS} draws of blocks")
    for name in ("climatology", "boosting", "lai"):
        squares = total((found[name] - observed) ** 2)
        for label, values in (("R2", 1 - squares / spread), ("departures", 1 - squares / usual)):
            low, high = np.quantile(values[1:], [0.025, 0.975])
            print(f"{name:12} {label:10} {values[0]:.3f} [{low:.3f}, {high:.3f}]")
        error = found[name] - observed
        print(f"{name:12} RMSE {np.sqrt((error**2).mean()):.3f}, bias {error.mean():+.3f} m2 m-2")
    error = found["lai"] - observed
    ratio = np.sqrt((found["sd"] ** 2).mean() / (error**2).mean())
    print(f"standard deviation / RMSE of lai {ratio:.2f}; within one {np.mean(np.abs(error) < found['sd']):.2f}")


if __name__ == "__main__":
    main()

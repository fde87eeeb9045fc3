"""Options of the trained baselines and of their trainers. Needs no scikit-learn."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from ai4land_coupler.api import LegendName, Options


class BundleOptions(Options):
    """Options of ``markov`` and ``boosting``.

    Parameters
    ----------
    bundle:
        Folder of a bundle that ``ai4land train`` wrote.
    legend:
        Legend of the run. A bundle with another legend is refused. Default: the legend of the bundle.
    """

    bundle: Path
    legend: LegendName | None = None


class CardOptions(Options):
    """What a trainer writes to the card of its bundle."""

    name: str
    description: str = ""
    licence: str = "unspecified"


class MarkovTrainerOptions(CardOptions):
    """Options of the trainer ``markov``.

    Parameters
    ----------
    region:
        Side of the regions in degrees, counted from 0 N, 0 E. Each has a matrix of its own. Default: one matrix.
    strength:
        Number of cells of a class for which the matrix of a region and that of all land have equal weights.
    """

    region: float | None = Field(None, gt=0, le=180)
    strength: float = Field(1000.0, gt=0)


class TreeOptions(Options):
    """How the trees of one question are grown (names of scikit-learn in brackets).

    Parameters
    ----------
    rounds:
        Number of trees, for each class if there are several (``max_iter``).
    learning_rate, leaves, least_leaf, l2:
        ``learning_rate``, ``max_leaf_nodes``, ``min_samples_leaf``, ``l2_regularization``.
    features:
        Share of the features that each split may use (``max_features``).
    """

    rounds: int = Field(ge=1)
    learning_rate: float = Field(0.05, gt=0)
    leaves: int = Field(ge=2)
    least_leaf: int = Field(20, ge=1)
    l2: float = Field(0.0, ge=0)
    features: float = Field(1.0, gt=0, le=1)


class BoostingTrainerOptions(CardOptions):
    """Options of the trainer ``boosting``.

    Parameters
    ----------
    radii:
        Windows in which the shares of the classes are features: 2 * radius + 1 cells on each side.
    distance:
        Largest distance to the nearest cell of each class that is a feature (cells); 0: no such feature.
    change, target:
        The trees of the two questions: whether a cell changes, and to which class.
    suitability:
        Trees that find the class of a cell from static fields and the shares around it, without the cell itself. What
        they find becomes features of the other trees. Default: no such trees.
    cells:
        Largest number of cells to train with. Half of them may be cells that change. Cells have weights, so that the
        probabilities stay those of all cells.
    seed:
        Seed of the choice of cells and of features.
    """

    radii: tuple[int, ...] = Field((1, 2, 4, 8, 16, 32), min_length=1)
    distance: int = Field(32, ge=0)
    change: TreeOptions = TreeOptions(rounds=400, learning_rate=0.03, leaves=31, least_leaf=100, l2=5.0, features=0.3)
    target: TreeOptions = TreeOptions(rounds=150, learning_rate=0.03, leaves=15, least_leaf=50, l2=5.0, features=0.3)
    suitability: TreeOptions | None = None
    cells: int = Field(1_000_000, ge=100)
    seed: int = Field(0, ge=0)

    @field_validator("radii")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] < 1 or list(value) != sorted(set(value)):
            raise ValueError("radii are rising whole numbers above 0")
        return value

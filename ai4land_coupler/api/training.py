"""The contract with trainers: what a plugin gets in order to train a predictor, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ai4land_coupler.api.contract import Predictor
from ai4land_coupler.core.fields import Batch, PredictorSpec
from ai4land_coupler.core.legend import Legend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingChannel:
    """One input of the training of a predictor.

    Parameters
    ----------
    name, units, source, offset:
        As in :class:`FieldSpec`, for one of its offsets.
    scaling:
        The scaling for a network: ``standard`` is (x - mean) / scale; ``log1p`` is the same for log(1 + x); ``cos`` is
        the cosine of an angle in degrees; or ``none``.
    mean, scale:
        Of the training cells, after log1p.
    fill:
        The value of missing cells, in the units of the field.
    missing:
        As in :class:`FieldSpec`.
    directional:
        Whether the values change their meaning if the map is rotated or mirrored (aspect).
    minus:
        If the channel is a change: the offset whose value is subtracted before the scaling.
    """

    name: str
    units: str
    source: Literal["cover", "forcing", "static", "import"]
    offset: int
    scaling: Literal["none", "standard", "log1p", "cos"] = "none"
    mean: float = 0.0
    scale: float = 1.0
    fill: float = 0.0
    missing: Literal["error", "fill"] = "error"
    directional: bool = False
    minus: int | None = None


class TrainingData(Protocol):
    """Pairs of maps, one step apart, with the inputs of a prediction from the first map to the second.

    A cell of a pair is used for the training, or it is held out for scores, or (in the buffer around held-out cells,
    and in pairs of years that belong to neither) it is not used. All functions give the target -1 in cells that they
    do not use.

    ``record`` is the source of the data (files with sha256, pairs of years, region). ``gross_rates`` is the share of
    the land of each view class that leaves the class in one step, over the training cells. ``has_held_out``: whether
    any cell is held out. ``in_memory``: whether the maps are arrays in memory. If not, windows are read from a store
    when they are asked for; the object can then be sent to other processes, which read ahead.
    """

    @property
    def legend(self) -> Legend: ...

    @property
    def step(self) -> str: ...

    @property
    def direction(self) -> Literal[1, -1]: ...

    @property
    def channels(self) -> tuple[TrainingChannel, ...]: ...

    @property
    def record(self) -> Mapping[str, Any]: ...

    @property
    def gross_rates(self) -> Mapping[str, float]: ...

    @property
    def has_held_out(self) -> bool: ...

    @property
    def in_memory(self) -> bool: ...

    def sample(self, rng: np.random.Generator, count: int, window: int) -> tuple[Batch, NDArray[np.int8]]:
        """Draw random windows around training cells.

        Returns
        -------
        The batch, as in ``Predictor.predict``, with all fields on the land grid, and the map to predict (B, Y, X):
        classes of the view, and -1 for cells that are not land or are not used for training.
        """
        ...

    def window(
        self, number: int, side: int, *, seed: int = 0, held_out: bool = False, spec: PredictorSpec | None = None
    ) -> tuple[Batch, NDArray[np.int8]]:
        """One random window. It depends only on the arguments, so any process can make it, in any order.

        Parameters
        ----------
        number:
            The number of the window in the sequence of a seed.
        side:
            Rows and columns of the window.
        held_out:
            Draw a window around held-out cells, whose targets are the held-out cells. Default: training cells.
        spec:
            The fields to assemble. Default: all channels, on the land grid.

        Returns
        -------
        A batch of one tile, and the map to predict (Y, X), as :meth:`sample`.
        """
        ...

    def each_window(
        self, side: int, *, held_out: bool = False, spec: PredictorSpec | None = None
    ) -> Iterator[tuple[Batch, NDArray[np.int8]]]:
        """All training cells (or all held-out cells) of all their pairs, each cell of a pair in exactly one tile.

        The cores of the tiles are ``side`` x ``side`` cells (fewer at the last row and column of the map) and lie next
        to each other. The window of a tile has the halo and the alignment of the spec, as in a run. Tiles without such
        cells are left out.

        Yields
        ------
        A batch of one tile over its window, and the map to predict over its core (Y, X), as :meth:`sample`.
        """
        ...

    def evaluate(self, predictor: Predictor) -> dict[str, Any]:
        """Scores on the cells that are held out. Returns {} if there are none."""
        ...


class FieldTrainingData(Protocol):
    """Months of a continuous field that was observed, with the inputs of its prediction.

    ``record`` and ``has_held_out`` are as in :class:`TrainingData`. ``channels`` are the inputs besides the map of the
    same year, with offsets in months.
    """

    @property
    def legend(self) -> Legend: ...

    @property
    def channels(self) -> tuple[TrainingChannel, ...]: ...

    @property
    def record(self) -> Mapping[str, Any]: ...

    @property
    def has_held_out(self) -> bool: ...

    def each_window(
        self, side: int, *, held_out: bool = False, spec: PredictorSpec
    ) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """All cells of the training (or all held-out cells) in all their months; see :meth:`TrainingData.each_window`.

        Yields
        ------
        A batch of one tile over its window in one month, and the observed field over its core (Y, X) in the units of
        the predictor's output; NaN in cells that are not used.
        """
        ...


class TrainingRun:
    """One run of a trainer: progress, curves and checkpoints. Base class: it does nothing and can be used in tests.

    Call it with the share of the training that is done and a short message.

    Attributes
    ----------
    work:
        Folder for checkpoints; ``None``: keep none.
    resume:
        Whether to continue from the checkpoint in ``work``, if there is one.
    every:
        Seconds between two checkpoints.
    workers:
        Number of processes that read ahead.
    waits:
        Whether Ctrl-C and SIGTERM wait for the trainer, which looks at ``stopped``. Set it while you do. Default: they
        end the training at once.
    stopped:
        Whether the user or the scheduler asked to end. Look at it after each step: write a checkpoint, and raise
        ``RunError``.
    """

    def __init__(
        self, work: Path | None = None, *, resume: bool = False, every: float = 600.0, workers: int = 0
    ) -> None:
        self.work, self.resume, self.every, self.workers = work, resume, every, workers
        self.waits = self.stopped = False

    def __call__(self, done: float, note: str) -> None:
        """Report progress: the share of the training that is done, and a short message."""

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curves, such as ``{"loss": 0.1}`` after a step. Steps ascend."""

    def continue_from(self, step: int) -> None:
        """Drop the points of the curves after this step: the training continues from there."""


@dataclass(frozen=True)
class TrainResult:
    """The result of a training: a bundle, which the predictor of the same plugin loads.

    ``digest`` is the sha256 of the weights. ``metrics`` are the scores on the cells held out for validation.
    """

    bundle: Path
    digest: str
    steps: int
    seconds: float
    metrics: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The lines that ``ai4land train`` prints."""
        scores = [f"{name.replace('_', ' ')}: {_text(value)}" for name, value in self.metrics.items() if value != {}]
        return [f"{self.steps} steps in {self.seconds:.0f} s; weights sha256 {self.digest}", *scores]


def _text(value: Any) -> str:
    """A score, or scores by name, in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    return "undefined" if value is None else str(value)


class Trainer(ABC):
    """Trains a predictor and writes it as a bundle. Base class of all trainers."""

    #: Whether ``train`` can share its work with the processes that ``torchrun`` started.
    distributed = False

    #: The continuous field that it trains; ``train`` then gets :class:`FieldTrainingData`. ``None``: land cover.
    target: str | None = None

    @abstractmethod
    def train(self, data: TrainingData, folder: Path, progress: TrainingRun) -> TrainResult:
        """Train a predictor, compute its scores and write its bundle.

        Write the bundle last and at once (``new_paths``), so that a training that fails leaves an older bundle as it
        was.

        Parameters
        ----------
        data:
            The training data.
        folder:
            The folder of the bundle; created if it does not exist.
        progress:
            Call it from time to time, with the share of the training that is done and a short message.
        """

"""What plugins implement and are given: predictors, adapters, trainers and regridders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from ai4land_coupler.core.fields import Batch, FieldInfo, PredictorSpec
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.grids.mesh import Mesh

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray


class Options(BaseModel):
    """Base of a plugin's options: a pydantic model that refuses unknown keys.

    Fields annotated as ``Path`` may be relative to the configuration file: they arrive absolute.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _absolute_paths(self, info: ValidationInfo) -> Self:
        base = (info.context or {}).get("base")
        for name in type(self).model_fields:
            value = getattr(self, name)
            if base is not None and isinstance(value, Path) and not value.is_absolute():
                object.__setattr__(self, name, Path(base) / value)
        return self


#: The output that the allocation turns into a map: one value for each class of the legend's view, float32.
LOGITS = "land_cover_logits"


class Predictor(ABC):
    """Predicts one step for one batch of windows. Base class of all predictors.

    It is called from one thread, any number of times, in any order of tiles: the answer for a core may depend on its
    window, the time and the keyed random numbers only.

    Attributes
    ----------
    spec:
        What it reads and makes.
    gross:
        How much land changes beyond the net change of the scenario; ``None`` where it cannot tell.
    identity:
        A text that names the weights: a restart is refused under another. Empty where there are none.
    """

    spec: PredictorSpec
    gross: GrossChangeModel | None = None
    identity: str = ""

    def load(self) -> None:  # noqa: B027 - most predictors have nothing to load
        """Get ready to predict; called once, on the ranks that predict.

        Import heavy packages here: every rank makes the object, to read its ``spec``.
        """

    @abstractmethod
    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        """Predict the windows of a batch.

        Returns
        -------
        Output name to array over the **window**. ``land_cover_logits``: float32 (B, class, Y, X).
        Others: float32 (B, T, Y, X). A name of ``spec.memory``: (B, Y, X), carried to the next step.
        """


class GrossChangeModel(Protocol):
    """How much land changes beyond the net change of the scenario; a predictor may offer one as ``gross``."""

    def rates(self) -> Mapping[str, float]:
        """Share of each view class's land that leaves the class in one step of the predictor."""
        ...


@dataclass(frozen=True)
class Request:
    """What an adapter is asked for: variables on exactly this grid, for these years (none for static ones)."""

    variables: tuple[str, ...]
    grid: LatLonGrid
    years: tuple[int, ...] = ()


class DataAdapter(ABC):
    """Reads one data set, lazily and by window. Base class of all adapters.

    Attributes
    ----------
    prepared:
        Whether its data were checked when they were stored (``ai4land prepare``), so that masks are not compared again.
    """

    prepared: bool = False

    @abstractmethod
    def fields(self) -> Mapping[str, FieldInfo]:
        """The variables it can deliver, by name."""

    @abstractmethod
    def grid(self) -> LatLonGrid | None:
        """The grid of the data, or ``None`` where the adapter interpolates to whatever grid it is asked for."""

    def describe(self) -> str:
        """Text for a person: files, variables with units, years, grid, what is masked and mended. Empty: no text."""
        return ""

    def files(self, years: Sequence[int] = ()) -> Mapping[str, Path]:
        """The files that it reads for these years, and those without years; for the provenance.

        Returns
        -------
        The name that a person knows (a path or URL) to the file on this machine. Empty: the files that the options
        name are taken.
        """
        return {}

    @abstractmethod
    def read(self, request: Request) -> xr.Dataset:
        """Deliver variables.

        Returns
        -------
        Variables over (year, lat, lon), or (lat, lon) where ``request.years`` is empty, on the cell centres of
        ``request.grid`` in its order. float32 with NaN where data are missing; land cover is uint8 in native
        codes with the attribute ``legend``. ``attrs["quality"]`` maps what was mended to a count.

        Raises
        ------
        DataError, FieldError, GridError, TimeError
            Naming file, variable and year.
        """


@dataclass(frozen=True)
class TrainingChannel:
    """One input that a predictor is trained on.

    Parameters
    ----------
    name, units, source, offset:
        As in :class:`FieldSpec`, for one of its offsets.
    scaling:
        How a network should see it: ``standard`` (x - mean) / scale; ``log1p`` the same of log(1 + x); ``cos`` the
        cosine of an angle in degrees; ``none``.
    mean, scale:
        Of the training cells, after log1p.
    fill:
        Delivered where the value is missing, in the field's units.
    missing:
        As in :class:`FieldSpec`.
    directional:
        Whether it means something else when the map is turned or mirrored (aspect).
    minus:
        Offset whose value is subtracted before the scaling, where the channel stands for a change.
    """

    name: str
    units: str
    source: Literal["cover", "forcing", "static"]
    offset: int
    scaling: Literal["none", "standard", "log1p", "cos"] = "none"
    mean: float = 0.0
    scale: float = 1.0
    fill: float = 0.0
    missing: Literal["error", "fill"] = "error"
    directional: bool = False
    minus: int | None = None


class TrainingData(Protocol):
    """Pairs of maps, one step apart, with the inputs that a prediction from the first to the second would have.

    ``record`` tells where the data come from (files with sha256, pairs of years, region). ``gross_rates`` is the
    share of each view class's land that leaves the class in one step.
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

    def sample(self, rng: np.random.Generator, count: int, window: int) -> tuple[Batch, NDArray[np.int8]]:
        """Draw windows at random around training cells.

        Returns
        -------
        The batch as a predictor gets it, and the map to be predicted (B, Y, X): classes of the view, -1 where there
        is no land or the cell is held out for validation.
        """
        ...

    def evaluate(self, predictor: Predictor) -> dict[str, Any]:
        """Scores on the cells that are held out; empty where none are."""
        ...


@dataclass(frozen=True)
class TrainResult:
    """What a training made: a bundle that the predictor of the same plugin loads.

    ``digest`` is the sha256 of the weights, ``metrics`` the scores on the cells held out.
    """

    bundle: Path
    digest: str
    steps: int
    seconds: float
    metrics: Mapping[str, Any]

    def lines(self) -> list[str]:
        """What a person wants to know, a line each."""
        scores = [f"{name.replace('_', ' ')}: {value}" for name, value in self.metrics.items() if value != {}]
        return [f"{self.steps} steps in {self.seconds:.0f} s; weights sha256 {self.digest}", *scores]


class Trainer(ABC):
    """Trains a predictor and writes it as a bundle. Base class of all trainers."""

    @abstractmethod
    def train(self, data: TrainingData, folder: Path, progress: Callable[[float, str], None]) -> TrainResult:
        """Train, score and write.

        Parameters
        ----------
        data:
            What to learn from.
        folder:
            Where the bundle goes; made if it does not exist.
        progress:
            Called now and then with the share that is done and a word on how it goes.
        """


#: How values at cells are made from values at other cells. ``conservative`` is first order.
Method = Literal["conservative", "conservative2nd", "bilinear", "nearest"]
#: What a conservative weight is a share of: the whole destination cell, or the part of it that source cells cover.
Norm = Literal["destination", "fraction"]


@dataclass(frozen=True)
class LocalWeights:
    """Regrid weights of the destination cells that this rank owns, as CSR over global source ids.

    Parameters
    ----------
    indptr, source_ids, values:
        CSR: row i is the i-th owned destination cell; ``source_ids`` are int64, 0-based and global, ascending in a
        row. Conservative values are overlap area / destination area with the norm ``destination``, and add up to 1
        in each row that has any with the norm ``fraction``. Those of the other methods add up to 1.
    destination_fraction:
        Share of each owned destination cell that source cells cover; 1 or 0 where the method has no areas.
    source_area, destination_area:
        The areas that the weights used, of the owned cells of either side (m2).
    provenance:
        Backend, version, method, norm.
    """

    indptr: Any
    source_ids: Any
    values: Any
    destination_fraction: Any
    source_area: Any
    destination_area: Any
    provenance: Mapping[str, str]


class Regridder(ABC):
    """Makes regrid weights between two distributed meshes. Base class of all regridding backends.

    Attributes
    ----------
    methods:
        What it can make; anything else is a :class:`ConfigError` on every rank.
    version:
        Version of the library behind it; empty where there is none.
    single_rank:
        Whether a rank of many may also call ``build`` by itself, with ``comm=None``.
    reads_weights:
        Whether weights are read, not made from the cells: it is then asked for whole grids only.
    """

    methods: frozenset[Method]
    single_rank: bool = False
    reads_weights: bool = False

    @property
    def version(self) -> str:
        return ""

    @abstractmethod
    def build(self, source: Mesh, destination: Mesh, method: Method, norm: Norm, comm: Any) -> LocalWeights:
        """Make the weights of the destination cells that this rank owns. Collective over ``comm``."""

"""The base classes of predictors, adapters, trainers and regridding backends, and their arguments and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, model_validator

from ai4land_coupler.config.legends import find_legend
from ai4land_coupler.core.fields import Batch, FieldInfo, PredictorSpec
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.grids.mesh import Mesh

if TYPE_CHECKING:
    import xarray as xr


class Options(BaseModel):
    """Base class of a plugin's options: a pydantic model that refuses unknown keys.

    A value of type ``Path`` may be relative to the configuration file; the component makes it absolute.
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


def _known_legend(given: str, info: ValidationInfo) -> str:
    return find_legend(given, Path((info.context or {}).get("base") or ".")).name


#: Type of an option that names a legend, or a legend file (.yaml), which may be relative to the configuration file.
#: Its value is the name of the legend.
LegendName = Annotated[str, AfterValidator(_known_legend)]

#: Name of the output that the allocation turns into a map: float32, one channel for each class of the legend's view.
LOGITS = "land_cover_logits"


class Predictor(ABC):
    """Predicts one step for one batch of windows. Base class of all predictors.

    The component calls ``predict`` from one thread, any number of times, with the tiles in any order. The prediction
    for a core must depend on its window, the time and the keyed random numbers only. Meanwhile other threads read
    static fields and allocate. So a predictor that reads netCDF files does it in ``load``: that library allows one
    thread only.

    Attributes
    ----------
    spec:
        Its inputs, its outputs, its step and the size of its windows.
    gross:
        The gross change, beyond the net change of the scenario; ``None`` if the predictor does not know it. A predictor
        of land cover should: else ``allocate`` makes the net change only, and the run warns.
    identity:
        A text that identifies the weights; empty if there are none. A restart with another identity is refused.
    bytes_per_cell:
        Memory that ``predict`` needs for each cell of a window, in bytes. The component sizes windows with it. 0 if the
        predictor does not know it.
    advice:
        Sentences for the user, which ``load`` may set: what is slow or large on this machine, and what to do. Runs,
        ``ai4land check`` and ``ai4land plan`` print them as warnings.
    """

    spec: PredictorSpec
    gross: GrossChangeModel | None = None
    identity: str = ""
    bytes_per_cell: float = 0.0
    advice: tuple[str, ...] = ()

    def load(self) -> None:  # noqa: B027 - most predictors have nothing to load
        """Prepare for predictions. Called once, on the ranks that predict.

        Import heavy packages and read weights here, not in ``__init__``: all ranks create the object to read ``spec``.
        """

    def check_years(self, years: Sequence[int]) -> None:  # noqa: B027 - most predictors know every year
        """Check that it can predict these years, before the run starts. Called on all ranks; reads no large data.

        Raises
        ------
        TimeError
            It cannot predict a year, for example because no map of it is stored.
        """

    @abstractmethod
    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        """Predict the windows of a batch.

        Returns
        -------
        Name of each output to its array over the **window**; for a batch of one tile it may also cover the tile's core
        only, which saves the copy of the halo. :data:`LOGITS`: float32 (B, class, Y, X). Fields in
        ``spec.memory``: (B, Y, X), an input of the next step. Others: float32 (B, T, Y, X).
        """


class GrossChangeModel(Protocol):
    """The gross change, beyond the net change of the scenario; see ``Predictor.gross``."""

    def rates(self) -> Mapping[str, float]:
        """Share of the land of each view class that leaves the class in one step of the predictor."""
        ...


@dataclass(frozen=True)
class Request:
    """A request to an adapter: variables on exactly this grid, for these years (no years for static variables).

    ``months``: the months of each year, 1 to 12, if the variables are monthly (``FieldInfo.monthly``).
    """

    variables: tuple[str, ...]
    grid: LatLonGrid
    years: tuple[int, ...] = ()
    months: tuple[int, ...] = ()


class DataAdapter(ABC):
    """Reads one data set, only the requested cells and years. Base class of all adapters.

    Attributes
    ----------
    prepared:
        Whether ``ai4land prepare`` checked the data when it stored them. Their masks are then not compared again.
    """

    prepared: bool = False

    @abstractmethod
    def fields(self) -> Mapping[str, FieldInfo]:
        """The variables that it can deliver, by name."""

    @abstractmethod
    def grid(self) -> LatLonGrid | None:
        """The grid of the data, or ``None`` if the adapter can deliver on any grid."""

    def describe(self) -> str:
        """A text for users: files, variables with units, years, grid, what is masked and mended. May be empty."""
        return ""

    def files(self, years: Sequence[int] = ()) -> Mapping[str, Path]:
        """The files that it reads for these years, and its files without years; for the provenance.

        Returns
        -------
        Name of each file (a path or URL) to the path on this machine. If empty, the component takes the files that
        the options name.
        """
        return {}

    @abstractmethod
    def read(self, request: Request) -> xr.Dataset:
        """Read variables.

        Returns
        -------
        Variables over (year, lat, lon), or over (lat, lon) if ``request.years`` is empty, or over (year, month, lat,
        lon) if there are ``request.months``, on the cell centres of ``request.grid`` in its order. float32 with NaN
        where data are missing. Land cover is uint8 in native codes, with the attribute ``legend``.
        ``attrs["quality"]`` counts the mended values by fault.

        Raises
        ------
        DataError, FieldError, GridError, TimeError
            The error names the file, the variable and the year.
        """


#: Regridding methods. ``conservative`` is first order.
Method = Literal["conservative", "conservative2nd", "bilinear", "nearest"]
#: Normalisation of conservative weights: by the area of the destination cell, or of its part that source cells cover.
Norm = Literal["destination", "fraction"]


@dataclass(frozen=True)
class LocalWeights:
    """Regrid weights of the destination cells that this rank owns, as CSR over global source ids.

    Parameters
    ----------
    indptr, source_ids, values:
        CSR: row i is the i-th owned destination cell. ``source_ids`` are int64, 0-based and global, and ascend in a
        row. Conservative values with the norm ``destination`` are overlap area / destination area. With the norm
        ``fraction``, and for the other methods, they sum to 1 in each row that has any.
    destination_fraction:
        Share of each owned destination cell that source cells cover; 1 or 0 if the method has no areas.
    source_area, destination_area:
        The areas that the weights used, of the owned source and destination cells (m2).
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
    """Computes regrid weights between two distributed meshes. Base class of all regridding backends.

    Attributes
    ----------
    methods:
        The methods that it supports; another one is a :class:`ConfigError` on every rank.
    version:
        Version of the library that computes the weights; empty if there is none.
    single_rank:
        Whether one rank of many may call ``build`` alone, with ``comm=None``.
    reads_weights:
        Whether it reads weights from a file instead of computing them. It then gets requests for whole grids only.
    """

    methods: frozenset[Method]
    single_rank: bool = False
    reads_weights: bool = False

    @property
    def version(self) -> str:
        return ""

    @abstractmethod
    def build(self, source: Mesh, destination: Mesh, method: Method, norm: Norm, comm: Any) -> LocalWeights:
        """Compute the weights of the destination cells that this rank owns. Collective over ``comm``."""

"""Options of the adapters ``climate`` and ``series``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai4land_coupler.api import Location, Options


class ClimateVariable(BaseModel):
    """A variable of the files.

    Parameters
    ----------
    name:
        Its name in the files.
    file_units:
        Units of the values in the files, if their attribute ``units`` is missing or wrong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    file_units: str | None = None


Accumulated = Literal["hour", "day", "month"]


class DeltaOptions(Options):
    """Observed climate, to which the monthly means of the data are corrected.

    Parameters
    ----------
    path, accumulated:
        The observed data, as in :class:`ClimateOptions`.
    years:
        The first and the last year of the means, which both data sets must have.
    """

    path: Location
    years: tuple[int, int]
    accumulated: Accumulated = "day"

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.years[1] < self.years[0]:
            raise ValueError("the last of `years` must not be before the first")
        return self


class ClimateOptions(Options):
    """Options of ``climate``.

    Parameters
    ----------
    path:
        A netCDF file or Zarr folder, a name with wildcards for several of them, or a URL of fsspec.
    variables:
        Name of each field with its variable in the files. Default: temperature, precipitation, radiation and soil water
        by the names that they have in CMIP and ERA5. A field with an unknown name is delivered in the units of the
        files.
    accumulated:
        The time over which amounts were added up (m or kg m-2 of precipitation, J m-2 of radiation). In the monthly
        means of ERA5 and ERA5-Land it is a day, whatever their units say.
    delta:
        Correct the mean climate of each month to observed climate. Default: no correction.
    """

    path: Location
    variables: dict[str, str | ClimateVariable] | None = Field(default=None, min_length=1)
    accumulated: Accumulated = "day"
    delta: DeltaOptions | None = None


class SeriesOptions(Options):
    """Options of ``series``: either ``values`` or ``path``.

    Parameters
    ----------
    name:
        Name of the field.
    units:
        Units of the numbers. Default: those of a netCDF file.
    values:
        The number of each year.
    path:
        A text file with a line for each year: the year, and numbers after commas (lines with # are left out; a first
        line may name the columns). Or a netCDF file with one or twelve steps a year, which are averaged.
    column:
        Column or variable of the file. Default: the second column, or the variable with the name of the field.
    select:
        For each further dimension of a netCDF variable the value of its coordinate, its name, or its position.
    """

    name: str
    units: str | None = None
    values: dict[int, float] | None = Field(default=None, min_length=1)
    path: Location | None = None
    column: str | None = None
    select: dict[str, int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.values is None) == (self.path is None):
            raise ValueError("give either `values` or `path`")
        if self.values is not None and (self.column is not None or self.select):
            raise ValueError("`column` and `select` belong to `path`")
        if self.values is not None and self.units is None:
            raise ValueError("`values` need `units`")
        return self

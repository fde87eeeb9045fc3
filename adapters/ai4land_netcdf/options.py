"""Options of the adapter ``netcdf``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai4land_coupler.api import Location, Options

Kind = Literal["fraction", "area", "density", "category"]


class NetcdfVariable(BaseModel):
    """A variable of the file, and how it is delivered.

    Parameters
    ----------
    name:
        Its name in the file.
    kind:
        ``fraction``: a share of the cell, delivered from 0 to 1. ``area``: an area in the cell, delivered as a share of
        the cell's area on the sphere. ``density``: a quantity per area, or another one that may be averaged.
        ``category``: whole numbers.
    units:
        Units in which a density is delivered; default: those of the file.
    file_units:
        Units of the values in the file, if its attribute ``units`` is missing or wrong.
    factor:
        Values are multiplied by it before units are converted: for a scale that the file does not declare.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind
    units: str | None = None
    file_units: str | None = None
    factor: float = Field(default=1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        if self.units is not None and self.kind != "density":
            raise ValueError(f"`units` belongs to kind density; a {self.kind} is delivered in units of 1")
        if self.kind == "category" and (self.factor != 1.0 or self.file_units is not None):
            raise ValueError("a category has neither `factor` nor `file_units`")
        if self.factor == 0:
            raise ValueError("`factor` must not be 0")
        return self


class NetcdfOptions(Options):
    """Options of ``netcdf``.

    Parameters
    ----------
    path:
        A netCDF file, a name with wildcards for several files with the same grid and variables, or a URL of fsspec.
    variables:
        Name of each delivered variable with its variable in the file.
    reduce:
        Several steps in a year: ``mean`` averages them with equal weights. Default: they are refused.
    check_bounds:
        Refuse a file whose coordinates are not in the middle of their bounds.
    """

    path: Location
    variables: dict[str, NetcdfVariable] = Field(min_length=1)
    reduce: Literal["mean"] | None = None
    check_bounds: bool = True

"""Options of the adapter ``netcdf``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai4land_coupler.api import Location, Options

#: A value along a dimension.
Choice = int | float | str
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
    select:
        For each further dimension (plant type, land use, month, level) the value of its coordinate, its name (a
        coordinate of texts, or a flag), or without a coordinate the position from 0. A list of values adds fractions
        and areas.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind
    units: str | None = None
    file_units: str | None = None
    factor: float = Field(default=1.0, allow_inf_nan=False)
    select: dict[str, Choice | tuple[Choice, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        if self.units is not None and self.kind != "density":
            raise ValueError(f"`units` belongs to kind density; a {self.kind} is delivered in units of 1")
        if self.kind == "category" and (self.factor != 1.0 or self.file_units is not None):
            raise ValueError("a category has neither `factor` nor `file_units`")
        several = [dim for dim, wanted in self.select.items() if isinstance(wanted, tuple)]
        if several and self.kind not in ("fraction", "area"):
            raise ValueError(f"`select` of several values of {several[0]} adds them: a {self.kind} has no sum")
        if any(
            isinstance(wanted, tuple) and len(set(wanted)) != max(len(wanted), 1) for wanted in self.select.values()
        ):
            raise ValueError("`select` needs at least one value, and none twice")
        if self.factor == 0:
            raise ValueError("`factor` must not be 0")
        return self

    def selected(self, dim: str) -> tuple[Choice, ...]:
        """The values that are chosen along a dimension."""
        wanted = self.select[dim]
        return wanted if isinstance(wanted, tuple) else (wanted,)


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

"""Options of the adapter ``static``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai4land_coupler.api import Location, Options

#: Mean of all biomes: 30, 50 and 75 % of the roots are in the upper 10, 20 and 40 cm. Jackson et al. 1996,
#: Oecologia 108, 389-411, https://doi.org/10.1007/BF00333714
GLOBAL_BETA = 0.966


class StaticVariable(BaseModel):
    """A variable of the file.

    Parameters
    ----------
    name:
        Its name in the file.
    kind:
        ``continuous``: may be interpolated and averaged. ``category``: taken from the nearest cell. ``count``: a
        number in each cell of the file (people), delivered as a density in m-2.
    file_units:
        Units of the values in the file, if its attribute ``units`` is missing or wrong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["continuous", "category", "count"] = "continuous"
    file_units: str | None = None


class SoilLayers(BaseModel):
    """Soil layers that are averaged over depth.

    Parameters
    ----------
    variables:
        Name of each field with the names of its layers in the file, from the top.
    depths:
        Interfaces of the layers (cm), from the top: one more than the number of layers.
    weights:
        ``rootzone``: the share of the roots in a layer, beta^top - beta^bottom (the root profile Y = 1 - beta^d of
        Gale and Grigal 1987, d in cm). ``thickness``: the thickness of the layer. Or a number for each layer. The
        weights are scaled to a sum of 1.
    beta:
        Parameter of the root profile. Default: the mean of all biomes of Jackson et al. 1996,
        https://doi.org/10.1007/BF00333714. Their values are 0.913 (tundra) to 0.976 (temperate coniferous forest).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    variables: dict[str, tuple[str, ...]] = Field(min_length=1)
    depths: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(min_length=2)
    weights: Literal["rootzone", "thickness"] | tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = (
        "rootzone"
    )
    beta: float = Field(default=GLOBAL_BETA, gt=0, lt=1)

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        count = len(self.depths) - 1
        if any(bottom <= top for top, bottom in zip(self.depths, self.depths[1:], strict=False)):
            raise ValueError("`depths` must rise from the top")
        for name, layers in self.variables.items():
            if len(layers) != count:
                raise ValueError(f"{name!r} has {len(layers)} layers, `depths` bound {count}")
        if not isinstance(self.weights, str) and (len(self.weights) != count or sum(self.weights) <= 0):
            raise ValueError(f"`weights` must be {count} numbers, not all of them 0")
        return self

    @property
    def normalised(self) -> tuple[float, ...]:
        """The weight of each layer; they sum to 1."""
        layers = list(zip(self.depths, self.depths[1:], strict=False))
        if self.weights == "rootzone":
            raw = [self.beta**top - self.beta**bottom for top, bottom in layers]
        elif self.weights == "thickness":
            raw = [bottom - top for top, bottom in layers]
        else:
            raw = [float(w) for w in self.weights]
        return tuple(w / sum(raw) for w in raw)


class StaticOptions(Options):
    """Options of ``static``.

    Parameters
    ----------
    path:
        A netCDF file or Zarr folder with a latitude-longitude grid or a rotated pole, or a GeoTIFF in degrees, whose
        bands are the variables ``band_1``, ``band_2`` ...; or its URL (fsspec).
    variables:
        Name of each field with its name in the file, or with a :class:`StaticVariable`. Default: the known fields,
        found by name or CF standard name. A field with an unknown name is delivered in the units of the file.
    layers:
        Soil layers to average over depth. They need not be in ``variables``.
    half_cell:
        What happens to data whose cells have the size of the land cells but are shifted by half a cell. ``refuse``: the
        coordinates are probably corners instead of centres. ``interpolate``: the coordinates are correct.
    """

    path: Location
    variables: dict[str, str | StaticVariable] | None = None
    layers: SoilLayers | None = None
    half_cell: Literal["refuse", "interpolate"] = "refuse"

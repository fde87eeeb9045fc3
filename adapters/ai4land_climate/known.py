"""The names of climate variables in files.

CMIP: the tables Amon and Lmon of CMIP6. ERA5: the short names of the netCDF files of the Climate Data Store, and the
long names of its catalogue, which Zarr stores use. Standard names are not used: maximum and minimum temperature have
that of the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Density of water (kg m-3).
WATER = 1000.0
#: Thickness (m) of the four soil layers of ERA5 and ERA5-Land.
LAYERS = (0.07, 0.21, 0.72, 1.89)


@dataclass(frozen=True)
class Known:
    """A field of hosts.

    Parameters
    ----------
    units:
        The delivered units.
    long_name:
        A description.
    names:
        The variables of files that are this field.
    layers:
        Groups of variables, from the top of the soil: volumetric water of the layers of :data:`LAYERS`, of which the
        field is the mass.
    """

    units: str
    long_name: str
    names: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...] = ()


KNOWN = {
    "air_temperature": Known("K", "air temperature near the surface", ("tas", "t2m", "2m_temperature")),
    "precipitation_flux": Known(
        "kg m-2 s-1",
        "precipitation, rain and snow",
        ("pr", "tp", "total_precipitation", "mtpr", "avg_tprate", "mean_total_precipitation_rate"),
    ),
    "surface_downwelling_shortwave_flux_in_air": Known(
        "W m-2",
        "downwelling shortwave radiation at the surface",
        (
            "rsds",
            "ssrd",
            "surface_solar_radiation_downwards",
            "msdwswrf",
            "avg_sdswrf",
            "mean_surface_downward_short_wave_radiation_flux",
        ),
    ),
    "mass_content_of_water_in_soil": Known(
        "kg m-2",
        "water in the soil, all layers together",
        ("mrso",),
        tuple(tuple(f"{stem}{i}" for i in range(1, 5)) for stem in ("swvl", "volumetric_soil_water_layer_")),
    ),
}

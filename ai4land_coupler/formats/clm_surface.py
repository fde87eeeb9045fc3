"""Reads CLM's surface data set (fsurdat), from which a land-use time series starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.host.profiles import HostProfile

#: Largest difference of the sum of a cell's land units from 1 (CLM has the same check).
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ClmSurface:
    """A surface data set on a regular grid.

    Parameters
    ----------
    lon, lat:
        Centres (degrees), (lsmlon,) and (lsmlat,).
    lon_edges, lat_edges:
        In the middle between centres. The first and last latitude are limited to the poles.
    cover:
        Share of the cell's land by type of the profile ``clm``, (type, lat, lon).
    copied:
        Variables that are copied to the time series, by name: dimensions, attributes and values.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    lon_edges: NDArray[np.float64]
    lat_edges: NDArray[np.float64]
    cover: NDArray[np.float64]
    copied: dict[str, tuple[tuple[str, ...], dict[str, Any], NDArray[Any]]]


#: Variables of land units (per cent of the cell), and their types in the profile.
_UNITS = {"PCT_LAKE": "lake", "PCT_GLACIER": "glacier", "PCT_WETLAND": "wetland"}
_COPIED = ("natpft", "cft", "LANDFRAC_PFT", "LONGXY", "LATIXY", "AREA", "PFTDATA_MASK")


def read_surface(path: Path, profile: HostProfile) -> ClmSurface:
    """Read a surface data set of CTSM with the two generic crops.

    Raises
    ------
    DataError
        If a variable is missing, the grid is not regular, the numbers of plant or crop types differ, values are
        missing, or land units do not sum to 100.
    """
    import netCDF4

    if not path.is_file():
        raise DataError("the surface data set of CLM is missing", where=path)
    try:
        dataset = netCDF4.Dataset(path)
    except OSError as error:
        raise DataError("the surface data set of CLM cannot be read as netCDF", found=error, where=path) from error
    with dataset:
        dataset.set_auto_mask(False)
        lon, lat = _axis(dataset, "LONGXY", path), _axis(dataset, "LATIXY", path)
        natural, crops = profile.members("natural"), profile.members("crop")
        order = list(profile.types)
        cover = np.zeros((len(order), lat.size, lon.size))
        cover[natural] = _values(dataset, "PCT_NAT_PFT", (natural.size, lat.size, lon.size), path) / 100
        cover[natural] *= _values(dataset, "PCT_NATVEG", cover.shape[1:], path) / 100
        cover[crops] = _values(dataset, "PCT_CFT", (crops.size, lat.size, lon.size), path) / 100
        cover[crops] *= _values(dataset, "PCT_CROP", cover.shape[1:], path) / 100
        urban = profile.members("urban")
        cover[urban] = _values(dataset, "PCT_URBAN", (urban.size, lat.size, lon.size), path) / 100
        for name, kind in _UNITS.items():
            cover[order.index(kind)] = _values(dataset, name, cover.shape[1:], path) / 100
        copied = {
            name: (dataset[name].dimensions, dict(dataset[name].__dict__), dataset[name][:])
            for name in _COPIED
            if name in dataset.variables
        }
    total = cover.sum(axis=0)
    off = (np.abs(total - 1) > _TOLERANCE) & (total > 0)
    if off.any():
        row, col = np.argwhere(off)[0]
        raise DataError(
            "the land units of a cell do not sum to 100 per cent",
            expected=f"100 within {100 * _TOLERANCE:g}: natural vegetation, crop, urban, lake, glacier and wetland",
            found=f"{100 * total[row, col]:.6g} in {int(off.sum())} cells",
            where=f"{path}, lsmlat {row}, lsmlon {col}",
        )
    return ClmSurface(lon, lat, _edges(lon), np.clip(_edges(lat), -90.0, 90.0), cover, copied)


def _values(dataset: Any, name: str, shape: tuple[int, ...], path: Path) -> NDArray[np.float64]:
    if name not in dataset.variables:
        raise DataError(
            f"the surface data set of CLM has no {name}", found=" ".join(sorted(dataset.variables)), where=path
        )
    values = np.asarray(dataset[name][:], np.float64)
    if values.shape != shape:
        raise DataError(
            f"{name} has another shape than is supported",
            expected=f"{shape}: 15 natural types, 2 generic crops, 3 urban densities, a regular grid",
            found=values.shape,
            where=path,
            remedy="make the surface data set with the generic crops (mksurfdata without the crop model)",
        )
    if not (np.isfinite(values).all() and values.min() >= -_TOLERANCE and values.max() <= 100 + 100 * _TOLERANCE):
        raise DataError(
            f"{name} holds values that are no per cent",
            expected="0 to 100 in every cell",
            found=f"{values.min():g} to {values.max():g}",
            where=path,
        )
    return values


def _axis(dataset: Any, name: str, path: Path) -> NDArray[np.float64]:
    """One axis of a regular grid, from a variable with two dimensions."""
    values = np.asarray(dataset[name][:], np.float64) if name in dataset.variables else np.zeros(0)
    if values.ndim != 2:
        raise DataError(
            f"the surface data set of CLM has no {name} on a regular grid",
            expected="two dimensions, lsmlat and lsmlon",
            found=f"shape {values.shape}",
            where=path,
        )
    axis, across = (values[0], values) if name == "LONGXY" else (values[:, 0], values.T)
    if axis.size < 2 or np.abs(across - axis).max() > 1e-6 or not (np.diff(axis) > 0).all():
        raise DataError(
            f"{name} is not the axis of a regular grid", expected="rising, the same in all rows", where=path
        )
    return np.asarray(axis)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])

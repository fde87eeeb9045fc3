"""Chooses positions along the further dimensions of a variable (option ``select``)."""

from __future__ import annotations

from itertools import product
from typing import Any

from ai4land_coupler.api import DataError, InputFile, find_positions
from ai4land_netcdf.options import NetcdfVariable


def pick(dataset: Any, variable: NetcdfVariable, axes: tuple[str | None, ...], file: InputFile) -> list[dict[str, int]]:
    """The positions along further dimensions whose values are added: by dimension, at least one.

    Parameters
    ----------
    axes:
        The dimensions of time, latitude and longitude.

    Raises
    ------
    DataError
        A dimension of more than one position is not in ``select``, or ``select`` does not fit the file.
    """
    source = dataset[variable.name]
    sizes = dict(zip(source.dimensions, source.shape, strict=True))
    others = [d for d, size in sizes.items() if d not in (*axes, *variable.select) and size > 1]
    if others:
        raise DataError(
            f"variable {variable.name!r} has a dimension too many",
            expected="time, latitude and longitude",
            found=", ".join(source.dimensions),
            where=file.name,
            remedy=f"choose one with `select: {{{others[0]}: VALUE}}`, or write a file for each {others[0]!r}, "
            "or their sum or mean",
        )
    for dim in variable.select:
        if dim in axes:
            raise DataError(
                f"`select` chooses along {dim!r}, which is time, latitude or longitude of {variable.name!r}",
                where=file.name,
                remedy="leave it out: years and cells are those of the run",
            )
    chosen = {
        dim: find_positions(dataset, variable.name, dim, variable.selected(dim), file.name) for dim in variable.select
    }
    return [dict(zip(chosen, place, strict=True)) for place in product(*chosen.values())]

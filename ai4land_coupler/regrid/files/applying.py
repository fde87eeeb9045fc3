"""Regrid the variables of a file with the weights of a weight file, slice by slice."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ai4land_coupler.errors import ConfigError, DataError, FieldError
from ai4land_coupler.files.raw import open_raw
from ai4land_coupler.regrid.files.averaging import Averaging, Missing, Rule
from ai4land_coupler.regrid.files.fields import Field, find_fields
from ai4land_coupler.regrid.files.grid_output import OutputGrid, output_grid, without_clashes
from ai4land_coupler.regrid.files.output import Output, open_output
from ai4land_coupler.regrid.files.types import fill_of, is_category, kept_attributes, output_type
from ai4land_coupler.regrid.weight_files.linked_cells import side_mesh, wrong_links
from ai4land_coupler.regrid.weight_files.read import WeightFile, read_weights
from ai4land_coupler.version import __version__

#: Bytes of one slice of input and output in float64. A few arrays of this size are in memory at a time.
_SLICE = 32 * 2**20


def regrid_file(
    weights: Path,
    source: Path,
    output: Path,
    *,
    variables: Sequence[str] = (),
    rule: Rule | None = None,
    missing: Missing = "renormalise",
    min_share: float = 0.0,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    note: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Regrid variables of a netCDF file or Zarr store.

    Time, levels and all other dimensions stay, with their coordinates and attributes. Values are read, regridded and
    written in slices, so memory does not grow with the number of fields.

    Parameters
    ----------
    weights:
        Weight file (:mod:`ai4land_coupler.regrid.weight_files.read`).
    source, output:
        netCDF, or Zarr if the name ends in ``.zarr``.
    variables:
        Names. Default: all data variables on the source grid are regridded, and variables on no grid are copied.
    rule:
        ``mean``: weighted mean. ``largest-share``: the category that covers the largest share of the cell; the smallest
        code if shares are equal. Default: the mean, but categories (``flag_values``, ``flag_meanings``) are refused.
    missing:
        See :class:`ai4land_coupler.regrid.files.averaging.Averaging`.
    min_share:
        A value is missing if source values cover less than this share of its cell.
    progress:
        Called with the number of parts that are done, the number of all parts, and the name of the next part.
    note:
        Called with what the user should know, such as positions that could not be checked.

    Returns
    -------
    Names of the variables that were regridded.

    Raises
    ------
    DataError, GridError, FieldError, ConfigError, RunError
    """
    if output.exists() and not overwrite:
        raise ConfigError("the output exists", found=output, remedy="give --overwrite, or another name")
    if output.suffix not in (".nc", ".zarr"):
        raise ConfigError("the output has an unknown ending", expected=".nc or .zarr", found=output.name)
    if not 0 <= min_share <= 1:
        raise ConfigError("a share is out of range", expected="0 to 1", found=min_share, where="--min-share")
    file = read_weights(weights)
    if rule == "largest-share" and file.method not in ("conservative", None):
        raise FieldError(
            "the largest share needs the areas of overlaps", expected="method conservative", found=file.method,
            where=weights,
        )  # fmt: skip
    _refuse_links_apart(file, weights)
    with open_raw(source) as dataset:
        fields, notes = find_fields(dataset, file.source, variables, source)
        for text in notes:
            note(text)
        if rule is None and file.method != "nearest":
            _refuse_categories(fields, source)
        rule = rule or "mean"
        n_source = int(np.prod([dataset.sizes[dim] for dim in fields[0].grid_dims]))
        averaging = Averaging(file, n_source, rule, missing, min_share)
        names = [field.name for field in fields]
        gone = {dim for field in fields for dim in field.grid_dims}
        kept = {str(dim): length for dim, length in dataset.sizes.items() if dim not in gone}
        others = {dim for field in fields for dim in field.others}
        grid = without_clashes(output_grid(file.destination, averaging.n_destination), names, others, kept)
        parts = [(field, index) for field in fields for index in _slices(field, n_source + averaging.n_destination)]
        with open_output(output) as out:
            out.attributes(_global(dataset, weights, source))
            _copy(out, dataset, fields, grid, bool(variables))
            for field in fields:
                _create(out, dataset, field, grid, file, rule)
            for done, (field, index) in enumerate(parts):
                progress(done, len(parts), field.name)
                _write(out, field, index, averaging, grid, source)
            progress(len(parts), len(parts), "done")
    return names


def _refuse_categories(fields: Sequence[Field], where: Path) -> None:
    for field in fields:
        if is_category(field.array.attrs):
            raise FieldError(
                "a mean of categories has no meaning",
                expected="numbers without flag_values and flag_meanings",
                found=f"the categories of {field.name!r}",
                where=where,
                remedy=f"give --method largest-share -v {field.name} for the category that covers most of each cell, "
                "and -v for the other variables in a call of their own; --method mean takes the mean of the codes",
            )


def _refuse_links_apart(file: WeightFile, where: Path) -> None:
    """Refuse weights between cells that lie apart, if the file tells its method and where its cells are."""
    source, destination = (side_mesh(side) for side in (file.source, file.destination))
    if source is None or destination is None or file.method is None or not file.row.size:
        return
    overlap, area = None, file.destination.area
    if file.norm == "none":
        overlap = file.values
    elif file.norm == "destination" and area is not None:
        overlap = file.values * area[file.row]
    links = (file.row, file.col, file.values)
    error = wrong_links(links, overlap, file.method, source, destination, where, None)
    if error is not None:
        raise error


def _slices(field: Field, cells: int) -> Iterator[tuple[slice, ...]]:
    """Parts of the other dimensions to regrid at once: single steps, and several steps along the last dimension."""
    lengths = [field.array.sizes[dim] for dim in field.others]
    if not lengths:
        yield ()
        return
    step = max(1, _SLICE // (8 * cells))
    for first in itertools.product(*(range(length) for length in lengths[:-1])):
        for start in range(0, lengths[-1], step):
            last = slice(start, min(start + step, lengths[-1]))
            yield (*(slice(place, place + 1) for place in first), last)


def _global(dataset: xr.Dataset, weights: Path, source: Path) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} ai4land regrid {weights.name} {source.name}, ai4land_coupler {__version__}"
    before = str(dataset.attrs.get("history", ""))
    return {"Conventions": "CF-1.11", **dataset.attrs, "history": f"{line}\n{before}" if before else line}


def _copy(out: Output, dataset: xr.Dataset, fields: list[Field], grid: OutputGrid, chosen: bool) -> None:
    """Write the destination's coordinates, and copy the input variables that are not on the source grid."""
    gone = {dim for field in fields for dim in field.grid_dims}
    kept = {dim for field in fields for dim in field.others}
    for field in fields:
        kept.update(str(field.array.attrs.get("coordinates", "")).split())
    for name in list(kept):
        if name in dataset.variables:
            attrs = dataset[name].attrs
            kept.update(str(attrs[key]) for key in ("bounds", "climatology") if key in attrs)
    written = {column.name for column in grid.columns}
    for column in grid.columns:
        out.create(column.name, column.values.dtype, column.dims, column.values.shape, column.attrs, None)
        out.write(column.name, (), column.values)
    mapping = {str(array.attrs.get("grid_mapping", "")) for array in dataset.variables.values()}
    for name in map(str, dataset.variables):
        array = dataset.variables[name]
        on_grid = gone & {str(dim) for dim in array.dims}
        if on_grid or name in written or name in mapping or (chosen and name not in kept):
            continue
        dims, attrs = tuple(str(dim) for dim in array.dims), dict(array.attrs)
        fill = attrs.pop("_FillValue", None)
        out.create(name, array.dtype, dims, array.shape, attrs, fill)
        out.write(name, (), np.asarray(array.values))


def _create(out: Output, dataset: xr.Dataset, field: Field, grid: OutputGrid, file: WeightFile, rule: Rule) -> None:
    attrs = kept_attributes(field, rule == "mean" and file.method != "nearest")
    other = [name for name in str(field.array.attrs.get("coordinates", "")).split() if name not in ("lat", "lon")]
    known = [n for n in other if n in dataset.variables and not set(dataset[n].dims) & set(field.grid_dims)]
    coordinates = " ".join([*known, grid.coordinates]).strip()
    method = "area: mode" if rule == "largest-share" else "area: mean" if file.method == "conservative" else ""
    attrs |= {"coordinates": coordinates} if coordinates else {}
    attrs |= {"cell_methods": f"{attrs.get('cell_methods', '')} {method}".strip()} if method else {}
    dims = (*field.others[: field.place], *grid.dims, *field.others[field.place :])
    sizes = {dim: field.array.sizes[dim] for dim in field.others} | dict(zip(grid.dims, grid.shape, strict=True))
    dtype = output_type(field, rule)
    out.create(
        field.name, dtype, dims, tuple(sizes[dim] for dim in dims), {**attrs, **grid.attributes}, fill_of(field, dtype)
    )


def _write(
    out: Output, field: Field, index: tuple[slice, ...], averaging: Averaging, grid: OutputGrid, where: Path
) -> None:
    try:
        stored = field.read(index)
    except (OSError, RuntimeError, ValueError) as error:
        remedy = "the file is damaged; get it again"
        raise DataError(
            "the input cannot be read", found=error, where=f"{where}, {field.name}", remedy=remedy
        ) from error
    place = f"{where}, variable {field.name!r}"
    values = averaging.apply(field.decode(stored, place), place)
    dtype = output_type(field, averaging.rule)
    absent = np.isnan(values)
    made = np.where(absent, 0.0, values).astype(dtype)
    native_nan = out.missing_is_nan and dtype.kind == "f"
    if dtype.kind in "iu" and (made == fill_of(field, dtype))[~absent].any():
        raise DataError(
            "a category equals the value that means a missing value",
            expected=f"categories other than {fill_of(field, dtype)}",
            found="the variable has no attribute _FillValue, so the default of netCDF was taken",
            where=place,
            remedy="add an attribute _FillValue that is no category",
        )
    made[absent] = np.nan if native_nan else fill_of(field, dtype)
    lengths = tuple(part.stop - part.start for part in index)
    shaped = made.reshape(*lengths, *grid.shape)
    rank = len(grid.shape)
    shaped = np.moveaxis(shaped, range(-rank, 0), range(field.place, field.place + rank))
    whole = tuple(slice(0, length) for length in grid.shape)
    out.write(field.name, (*index[: field.place], *whole, *index[field.place :]), shaped)

"""Write files of regrid weights in the layouts of :mod:`ai4land_coupler.regrid.weight_files.read`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import ConfigError, GridError
from ai4land_coupler.files.durable import new_path
from ai4land_coupler.regrid.weight_files.read import QUANTITIES, GridSide, Layout, Side, WeightFile, variable

_UNITS = {"mask": "unitless", "fraction": "unitless", "area": "square radians"}
_ESMF_METHODS = {
    "conservative": ("Conservative remapping", "First-order Conservative"),
    "conservative2nd": ("Conservative remapping", "Second-order Conservative"),
    "bilinear": ("Bilinear remapping", "Bilinear"),
    "nearest": ("Nearest neighbor", "Nearest source to destination"),
    None: ("", ""),
}
_NORMS = {"destination": "destarea", "fraction": "fracarea", "none": "none", None: ""}
#: Larger arrays (bytes) do not fit the 64-bit offset format, and netCDF-4 is written.
_LARGEST = 2**32 - 4


class _Array(NamedTuple):
    values: NDArray[Any]
    dims: tuple[str, ...]
    units: str | None = None


def write_weights(path: str | Path, weights: WeightFile, layout: Layout = "esmf") -> Path:
    """Write weights as netCDF, or as a Zarr group where the name ends in ``.zarr``; the file appears only when it is
    complete.

    Raises
    ------
    GridError, ConfigError
        The weights lack data that the layout needs (the size of both grids), or ids do not fit into 32 bits.
    RunError
        The disk is full or cannot be written.
    """
    path = Path(path)
    if layout == "yac" and path.suffix == ".zarr":
        raise ConfigError("YAC reads netCDF only", expected="a name that ends in .nc", found=path.name)
    _check(weights, layout)
    arrays, attributes = _links(weights, layout), _attributes(weights, layout)
    if layout in ("esmf", "scrip"):
        for side in get_args(Side):
            arrays |= _grid(getattr(weights, side), side, layout)
    with new_path(path, "regrid weights cannot be written") as temporary:
        if path.suffix == ".zarr":
            _write_zarr(temporary, arrays, attributes)
        else:
            _write_netcdf(temporary, arrays, attributes)
    return path


def _check(weights: WeightFile, layout: Layout) -> None:
    for name in get_args(Side):
        side: GridSide = getattr(weights, name)
        if layout in ("esmf", "scrip") and side.size is None:
            raise GridError(
                f"the layout {layout} needs the size of the {name} grid, which these weights do not tell",
                remedy="choose the layout basic or yac, or give the grids",
            )
        if (side.size or 0) > 2**31 - 1:
            raise GridError("ids of a weight file have 32 bits", expected="at most 2147483647 cells", found=side.size)


def _links(weights: WeightFile, layout: Layout) -> dict[str, _Array]:
    row, col = ((ids + 1).astype(np.int32) for ids in (weights.row, weights.col))
    if layout in ("esmf", "basic"):
        return {
            "col": _Array(col, ("n_s",)),
            "row": _Array(row, ("n_s",)),
            "S": _Array(weights.values, ("n_s",)),
        }
    arrays = {
        "src_address": _Array(col, ("num_links",)),
        "dst_address": _Array(row, ("num_links",)),
        "remap_matrix": _Array(weights.values[:, None], ("num_links", "num_wgts")),
    }
    if layout == "yac":
        location = np.array(list("CELL".ljust(30, "\0")), "S1")
        arrays |= {
            "num_links_per_src_field": _Array(np.array([row.size], np.int32), ("num_src_fields",)),
            "src_locations": _Array(location[None], ("num_src_fields", "max_loc_str_len")),
            "dst_location": _Array(location, ("max_loc_str_len",)),
        }
    return arrays


def _grid(grid: GridSide, side: Side, layout: Layout) -> dict[str, _Array]:
    esmf = layout == "esmf"
    here, letter = ("src", "a") if side == "source" else ("dst", "b")
    cells = f"n_{letter}" if esmf else f"{here}_grid_size"
    corners = f"nv_{letter}" if esmf else f"{here}_grid_corners"
    dims = np.array(grid.dims or (grid.size,), np.int32)
    arrays = {f"{here}_grid_dims": _Array(dims, (f"{here}_grid_rank",))}
    filled = {"mask": np.ones(grid.size or 0, np.int32), "fraction": np.ones(grid.size or 0)}
    for quantity in QUANTITIES:
        values = getattr(grid, quantity)
        if values is None:
            values = filled.get(quantity)
        if values is None:
            continue
        units = _UNITS.get(quantity, "degrees")
        axes = (cells, corners) if values.ndim == 2 else (cells,)
        arrays[variable(layout, side, quantity)] = _Array(values, axes, units)
    return arrays


def _attributes(weights: WeightFile, layout: Layout) -> dict[str, Any]:
    source, destination = weights.source.name, weights.destination.name
    if layout == "yac":
        return {
            "version": "yac weight file 1.0",
            "src_grid_name": source,
            "dst_grid_name": destination,
            "contains_links": "TRUE" if weights.row.size else "FALSE",
            "contains_fixed_dst": "FALSE",
        }
    map_method, esmf_method = _ESMF_METHODS[weights.method]
    if not map_method:
        map_method = str(weights.attributes.get("map_method", ""))
        esmf_method = str(weights.attributes.get("ESMF_regrid_method", ""))
    norm = _NORMS[weights.norm]
    if weights.method in ("bilinear", "nearest"):
        norm = "none" if layout == "scrip" else "N/A"
    facts = {
        "title": "regrid weights",
        "normalization": norm,
        "map_method": map_method,
        "ESMF_regrid_method": esmf_method,
        "conventions": "SCRIP" if layout == "scrip" else "NCAR-CSM",
        **({"source_grid": source, "dest_grid": destination} if layout == "scrip" else {}),
        **({"domain_a": source, "domain_b": destination} if layout != "scrip" else {}),
    }
    own = ("provenance", "history", "Conventions", "ESMF_version")
    facts |= {key: weights.attributes[key] for key in own if key in weights.attributes}
    if layout == "scrip":  # CDO cannot write a grid whose kind is unknown
        kinds = {"source_grid": weights.source, "dest_grid": weights.destination}
        facts |= {key: _cdo_kind(grid) for key, grid in kinds.items()}
    return {key: value for key, value in facts.items() if value != ""}


def _cdo_kind(grid: GridSide) -> str:
    return "lonlat" if len(grid.dims or ()) == 2 else "unstructured"


def _dimensions(arrays: Mapping[str, _Array]) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for array in arrays.values():
        for name, length in zip(array.dims, array.values.shape, strict=True):
            if name not in seen:
                seen.add(name)
                yield name, length


def _write_netcdf(path: Path, arrays: Mapping[str, _Array], attributes: Mapping[str, Any]) -> None:
    if any(array.values.nbytes > _LARGEST or not array.values.size for array in arrays.values()):
        _write_netcdf4(path, arrays, attributes)
        return
    from scipy.io import netcdf_file

    # not with the netCDF library, because it ends the process if it cannot close a classic file on a full disk
    with path.open("wb") as raw:
        file = netcdf_file(raw, "w", version=2)
        for name, value in attributes.items():
            setattr(file, name, _ascii(value))
        for name, length in _dimensions(arrays):
            file.createDimension(name, length)
        for name, array in arrays.items():
            made = file.createVariable(name, array.values.dtype, array.dims)
            made[:] = array.values
            if array.units is not None:
                made.units = array.units
        file.flush()


def _ascii(value: Any) -> Any:
    return value.encode("ascii", "backslashreplace") if isinstance(value, str) else value


def _write_netcdf4(path: Path, arrays: Mapping[str, _Array], attributes: Mapping[str, Any]) -> None:
    """For arrays above 4 GiB, and for empty arrays, which classic files treat as unlimited."""
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.set_fill_off()
        file.setncatts(dict(attributes))
        for name, length in _dimensions(arrays):
            file.createDimension(name, length)
        for name, array in arrays.items():
            made = file.createVariable(name, array.values.dtype, array.dims)
            if array.units is not None:
                made.units = array.units
            made[:] = array.values


def _write_zarr(path: Path, arrays: Mapping[str, _Array], attributes: Mapping[str, Any]) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    group = zarr.create_group(path, attributes={key: _plain(value) for key, value in attributes.items()})
    for name, array in arrays.items():
        values = array.values
        made = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=tuple(max(1, min(length, 2**20)) for length in values.shape),
            compressors=ZstdCodec(checksum=True),
            dimension_names=array.dims,
            attributes={} if array.units is None else {"units": array.units},
        )
        made[...] = values


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

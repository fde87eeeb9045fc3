"""Make a file of regrid weights between two grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.api import Mesh, Method, Norm
from ai4land_coupler.errors import Ai4LandError, ConfigError, GridError
from ai4land_coupler.files.arrays import is_data
from ai4land_coupler.files.cf_coordinates import coordinate_kind
from ai4land_coupler.files.netcdf import attributes_of, open_netcdf
from ai4land_coupler.grids import partition
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.parallel.collective import agree
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.regrid.auto import resolve
from ai4land_coupler.regrid.files.inputs import (
    GridInput,
    check_memory,
    huge_pair,
    huge_raster,
    mesh_notes,
    product_notes,
)
from ai4land_coupler.regrid.land.raster import RasterWeights
from ai4land_coupler.regrid.methods.built_in import RegridOptions
from ai4land_coupler.regrid.methods.closed_form import value_places
from ai4land_coupler.regrid.methods.products import ProductWeights
from ai4land_coupler.regrid.weight_files.gather import gather_weights
from ai4land_coupler.regrid.weight_files.read import Layout, read_weights
from ai4land_coupler.regrid.weight_files.write import write_weights
from ai4land_coupler.regrid.weight_files.write_slices import write_product_weights
from ai4land_coupler.version import __version__

#: Called at each step with (steps done, number of steps, name of the next step).
Progress = Callable[[int, int, str], None]
#: Called with a line for the user.
Report = Callable[[str], None]


def make_weights(
    source: str,
    destination: str,
    output: Path,
    *,
    method: Method = "conservative",
    norm: Norm = "destination",
    backend: str = "yac",
    options: Mapping[str, Any] | None = None,
    layout: Layout = "esmf",
    overwrite: bool = False,
    comm: Any = None,
    progress: Progress = lambda done, total, what: None,
    variables: tuple[str | None, str | None] = (None, None),
    masks: tuple[str | None, str | None] = (None, None),
    report: Report = lambda text: None,
) -> int:
    """Make regrid weights and write them. Collective over ``comm``.

    Parameters
    ----------
    source, destination:
        Grid files, data files with latitudes and longitudes, or names of grids (:func:`host_grids.read_mesh`).
    output:
        netCDF file; a Zarr group if its name ends in ``.zarr``.
    backend, options:
        Regridding backend by its registered name, or ``auto``.
    layout:
        Layout of the file (:mod:`ai4land_coupler.regrid.weight_files.read`).
    variables, masks:
        For the source and the destination: data variable whose grid is read, and mask
        (:func:`ai4land_coupler.grids.read_mesh`).
    report:
        Called on rank 0 with each change that was made to a grid, and with the number of cells that take no part.

    Returns
    -------
    The number of weights.

    Raises
    ------
    Ai4LandError
        On every rank: grids that cannot be read or regridded, grids that need more memory than there is, a file that
        exists, a full disk.

    Conservative weights of huge rasters (:data:`inputs.LISTED`) are made without a list of their cells, by rank 0 alone
    (:mod:`ai4land_coupler.regrid.methods.products`, :mod:`ai4land_coupler.regrid.land.raster`).
    """
    ranks = Communicator(comm)
    history = {"history": f"ai4land weights {source} {destination}, ai4land_coupler {__version__}"}
    try:
        with ranks.guard():
            _check_output(output, overwrite)
            named = resolve(backend, ranks.size)
            regridder = load_plugins().create("regridder", named, dict(options or {}), "--backend")
            inputs = (
                GridInput("source", source, variables[0], masks[0]),
                GridInput("destination", destination, variables[1], masks[1]),
            )
            make = None
            if ranks.rank == 0 and method == "conservative":
                make = _huge_weights(inputs, norm, regridder, ranks.size)
            if make is None:
                check_memory(*inputs, method, ranks.size)
        if ranks.bcast(make is not None):
            with ranks.guard():
                count = 0 if make is None else _write_huge(make, inputs, output, layout, history, progress, report)
            return int(ranks.bcast(count))
        with ranks.guard():
            progress(0, 4, f"reading {source}")
            whole, dims = [inputs[0].read()], []
            dims.append(grid_dims(whole[0], source))
            progress(1, 4, f"reading {destination}")
            whole.append(inputs[1].read())
            dims.append(grid_dims(whole[1], destination))
        here, there = (partition(mesh, ranks.rank, ranks.size) for mesh in whole)
        progress(2, 4, "making weights")
        weights = regridder.build(here, there, method, norm, ranks.mpi)
        progress(3, 4, f"writing {output.name}")
        gathered = gather_weights(weights, here, there, ranks.mpi, (dims[0], dims[1]))
        count, error = 0, None
        try:
            if gathered is not None:
                write_weights(output, replace(gathered, attributes={**gathered.attributes, **history}), layout)
                count = gathered.row.size
                for text in mesh_notes(gathered, whole, inputs):
                    report(text)
        except Ai4LandError as caught:
            error = caught
        agree(error, ranks.mpi)
        progress(4, 4, "done")
        return int(ranks.bcast(count))
    finally:
        ranks.free()


def _huge_weights(
    inputs: tuple[GridInput, GridInput], norm: Norm, regridder: Any, ranks: int
) -> Callable[[], ProductWeights | RasterWeights] | None:
    """How one rank makes the weights of a huge raster; ``None`` if both grids are small or have other cells."""
    options = getattr(regridder, "options", None)
    if isinstance(options, RegridOptions) and options.closed_form:
        pair = huge_pair(*inputs)
        if pair is not None:
            return lambda: ProductWeights.between(*pair, norm)
    raster = huge_raster(*inputs)
    if raster is None or regridder.reads_weights or not (regridder.single_rank or ranks == 1):
        return None

    def of_raster() -> RasterWeights:
        mesh = inputs[1].read()
        return RasterWeights.between(*raster, mesh, grid_dims(mesh, inputs[1].name), norm, regridder)

    return of_raster


def _write_huge(
    make: Callable[[], ProductWeights | RasterWeights],
    inputs: tuple[GridInput, GridInput],
    output: Path,
    layout: Layout,
    history: dict[str, Any],
    progress: Progress,
    report: Report,
) -> int:
    """Make and write the weights of a huge raster, on one rank. Returns their number."""
    progress(0, 1, "making weights")
    weights = make()
    for text in product_notes(weights, inputs):
        report(text)

    def step(done: int, total: int) -> None:
        progress(done, total, f"writing {output.name}")

    return write_product_weights(output, weights, layout, history, step)


def convert_weights(path: Path, output: Path, layout: Layout = "esmf", overwrite: bool = False) -> int:
    """Write the weights of a file in another layout, or as Zarr. Returns their number.

    Raises
    ------
    DataError, GridError, ConfigError, RunError
    """
    _check_output(output, overwrite)
    weights = read_weights(path)
    write_weights(output, weights, layout)
    return int(weights.row.size)


def _check_output(output: Path, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise ConfigError("the output exists", found=output, remedy="give --overwrite, or another name")
    if output.suffix not in (".nc", ".zarr"):
        raise ConfigError("the output has an unknown ending", expected=".nc or .zarr", found=output.name)


def grid_dims(mesh: Mesh, source: str) -> tuple[int, ...]:
    """Lengths of a grid's dimensions, fastest first, from its file or else from its cells; one for a list of cells."""
    if is_data(Path(source)):
        found = _dims_of_file(Path(source), mesh.global_size)
        if found is not None:
            return found
    lon, lat = value_places(mesh)
    for slow, fast in ((lat, lon), (lon, lat)):
        run = int(np.argmax(np.abs(slow - slow[0]) > 1e-6)) or mesh.size
        if 1 < run < mesh.size and mesh.size % run == 0:
            rows, columns = slow.reshape(-1, run), fast.reshape(-1, run)
            turned = columns - columns[0]
            turned -= 360.0 * np.round(turned / 360.0)
            if np.ptp(rows, axis=1).max() < 1e-6 and np.abs(turned).max() < 1e-6:
                return run, mesh.size // run
    return (mesh.global_size,)


def _dims_of_file(path: Path, size: int) -> tuple[int, ...] | None:
    with open_netcdf(path) as file:
        if "grid_dims" in file.variables:
            dims = tuple(int(length) for length in file["grid_dims"][:])
            return dims if int(np.prod(dims)) == size and len(dims) <= 2 else None
        for name, variable in file.variables.items():
            try:
                latitude = coordinate_kind(name, attributes_of(variable)) == "latitude"
            except GridError:  # attributes that contradict each other: not a coordinate of this grid
                continue
            shape = variable.shape[-2:]  # without the time of XLAT (Time, y, x) in files of WRF
            if latitude and len(shape) == 2 and int(np.prod(shape)) == size:
                return tuple(int(length) for length in reversed(shape))
        # A file with a rotated pole need not have two-dimensional latitudes.
        sizes = {getattr(v, "standard_name", ""): v.size for v in file.variables.values() if v.ndim == 1}
        rows, columns = (int(sizes.get(name, 0)) for name in ("grid_latitude", "grid_longitude"))
        return (columns, rows) if rows * columns == size else None

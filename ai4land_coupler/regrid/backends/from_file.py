"""Regrid weights of other programs, read from a file (:mod:`ai4land_coupler.regrid.weight_files.read`).

Every rank reads an equal slice of the file and sends each link to the rank that owns its destination cell. Data of the
grids in the file are sent to the owners of the cells in the same way. So the file is read only once on any number of
ranks, and no rank holds all of it. A file that was made for other grids is refused.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    EARTH_RADIUS,
    Ai4LandError,
    ConfigError,
    DataError,
    GridError,
    LocalWeights,
    Mesh,
    Method,
    Norm,
    Options,
    Registry,
    Regridder,
    hookimpl,
)
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.parallel.collective import agree, rank_and_size
from ai4land_coupler.regrid.weight_files.link_sums import LinkSums, sources_suffice
from ai4land_coupler.regrid.weight_files.linked_cells import wrong_links
from ai4land_coupler.regrid.weight_files.part import FilePart, deliver, fetch, has_source, read_part
from ai4land_coupler.regrid.weight_files.read import Side, drop_empty_rows
from ai4land_coupler.regrid.weight_files.same_grid import wrong_area, wrong_grid


class FileOptions(Options):
    """Options of the backend ``file``.

    Parameters
    ----------
    path:
        A weight file (netCDF or Zarr), or a folder of such files; the file made for the two grids is used.
    norm:
        Norm of the weights, if the file does not name it.
    """

    path: Path
    norm: Norm | None = None


class FileRegridder(Regridder):
    """Weights from a file of ESMF, SCRIP, CDO or YAC."""

    methods: frozenset[Method] = frozenset(get_args(Method))
    reads_weights = True

    def __init__(self, options: FileOptions) -> None:
        self._path, self._norm = options.path, options.norm

    def build(
        self,
        source: Mesh,
        destination: Mesh,
        method: Method = "conservative",
        norm: Norm = "destination",
        comm: Any = None,
    ) -> LocalWeights:
        """Read the weights of the destination cells that this rank owns. Collective over ``comm``.

        Raises
        ------
        DataError, GridError, ConfigError
            On every rank: the file is missing or damaged; its ids, values, areas or sums of weights are out of range;
            it was made for other grids, for another method, or with a norm that cannot be converted.
        """
        validate(source, comm)
        validate(destination, comm)
        refusals = []
        files = self._files(comm)
        for path in files:
            try:
                return _read(path, source, destination, method, norm, self._norm, comm)
            except Ai4LandError as error:  # the same kind on every rank
                if len(files) == 1:
                    raise
                refusals.append(f"{path.name}: {error.what}")
        raise GridError(
            "no weight file of the folder was made for these grids",
            expected=f"{source.global_size} to {destination.global_size} cells, method {method}",
            found="\n    ".join(["", *refusals]) if refusals else "no netCDF file and no Zarr group",
            where=self._path,
        )

    def _files(self, comm: Any) -> list[Path]:
        """The files to try; rank 0 lists the folder."""
        found = [self._path]
        if self._path.is_dir() and self._path.suffix != ".zarr":
            found = sorted(path for path in self._path.iterdir() if path.suffix in (".nc", ".zarr"))
        return found if comm is None else list(comm.bcast(found))


def _read(
    path: Path, source: Mesh, destination: Mesh, method: Method, norm: Norm, option_norm: Norm | None, comm: Any
) -> LocalWeights:
    meshes: dict[Side, Mesh] = {"source": source, "destination": destination}
    error: Exception | None = None
    try:
        part = read_part(path, meshes, method, *rank_and_size(comm))
    except Exception as caught:
        error = caught
    agree(error, comm)
    none = _all_nan(part.links[2], path, comm)  # before any rank has an error of its own, because it is collective
    (row, col, values), error = drop_empty_rows(deliver(part.links, destination, comm), path)
    error = error or none
    area, fraction = {}, None
    for side, mesh in meshes.items():
        in_file = {name: fetch(mesh.cell_ids, read, mesh.global_size, comm) for name, read in part.grids[side].items()}
        own, found = cell_area(mesh), in_file.get("area")
        # areas are 0 in files of methods without areas, and in CDO files for cells without overlap
        area[side] = own if found is None else np.where(found > 0, found * EARTH_RADIUS**2, own)
        error = error or wrong_grid(mesh, in_file, path) or wrong_area(mesh, area[side], own, path)
        fraction = in_file.get("fraction")  # of the destination, which comes last
    agree(error, comm)
    if part.norm == "fraction" and not _tells_fractions(part, comm):
        fraction = None

    links = LinkSums(row, values, destination.size)
    steradians = area["destination"] / EARTH_RADIUS**2
    overlap = None
    if method in ("conservative", "conservative2nd"):
        norm_of_file = part.norm or option_norm
        if norm_of_file is None:
            whole = values * area["destination"][row]
            suffices = partial(sources_suffice, source, area["source"], col, whole, comm)
            norm_of_file = links.likely_norm(norm, suffices, comm)
            if norm_of_file is None and fraction is None:
                agree(wrong_links((row, col, values), None, method, source, destination, path, comm), comm)
                raise _unknown_norm(path)
            norm_of_file = norm_of_file or "fraction"
        agree(links.wrong_sums(norm_of_file, fraction, method, path), comm)
        if (norm_of_file, norm) == ("fraction", "destination") and fraction is None:
            raise ConfigError(
                "the weights of a file are shares of what source cells cover, but it does not tell how much that is",
                expected="norm fraction",
                found="norm destination",
                where=path,
                remedy="make it with normalisation destarea (CDO: export CDO_REMAP_NORM=destarea)",
            )
        values, covered = links.converted(norm_of_file, norm, fraction, steradians)
        if norm_of_file != "fraction" or fraction is not None:
            overlap = values * (steradians if norm == "destination" else steradians * covered)[row]
    else:
        agree(links.wrong_sums("fraction", None, method, path), comm)
        covered = (links.sums != 0).astype(np.float64)
    agree(wrong_links((row, col, values), overlap, method, source, destination, path, comm), comm)

    usable = has_source(col, source, comm)
    agree(None if usable.all() else _wrong_sources(usable, method, norm, path), comm)
    keep = usable & destination.mask[row]
    row, col, values = row[keep], col[keep], values[keep]
    sums = np.bincount(row, weights=values, minlength=destination.size).astype(np.float64)
    if (method, norm) == ("conservative", "destination"):
        covered = sums
    return LocalWeights(
        indptr=np.searchsorted(row, np.arange(destination.size + 1)),
        source_ids=col,
        values=values,
        destination_fraction=np.where(destination.mask, covered, 0.0),
        source_area=area["source"],
        destination_area=area["destination"],
        provenance={
            "backend": "file",
            "version": f"layout {part.layout}",
            "method": method,
            "norm": norm,
            "path": str(path),
            "made_by": part.made_by,
        },
    )


def _all_nan(values: NDArray[np.float64], path: Path, comm: Any) -> DataError | None:
    """An error on every rank if a file has links, and all of them are NaN. Collective."""
    counts = [(int(np.isfinite(values).sum()), values.size)]
    good, total = np.sum(counts if comm is None else comm.allgather(counts[0]), axis=0)
    if good or not total:
        return None
    return DataError("weights are not numbers", found=f"all {total} are NaN", where=path)


def _wrong_sources(usable: NDArray[np.bool_], method: Method, norm: Norm, path: Path) -> GridError | None:
    if (method, norm) == ("conservative", "destination"):
        return None
    return GridError(
        "weights of a file use source cells that are masked or belong to no rank",
        found=f"{int((~usable).sum())} links",
        where=path,
        remedy="make the file with this mask, or use method conservative with norm destination",
    )


def _unknown_norm(path: Path) -> ConfigError:
    return ConfigError(
        "a weight file does not tell its norm",
        expected="the norm destination or fraction",
        found="weights that add up to 1, although source cells do not cover all these destination cells",
        where=path,
        remedy="the norm is probably fraction: ask for weights of the norm fraction, or give the option norm of the "
        "backend file (ai4land weights: --norm fraction, or --option norm=destination)",
    )


def _tells_fractions(part: FilePart, comm: Any) -> bool:
    """Whether the fractions of the destination in the file are the shares that source cells cover.

    With its normalisation ``fracarea``, CDO writes 1 for every cell with an overlap. This is right only if the source
    covers the globe. Collective.
    """
    if "CDO" not in part.made_by:
        return True
    covers = sum([part.covers] if comm is None else comm.allgather(part.covers))
    return bool(abs(covers / (4 * np.pi) - 1) < 1e-6)


def _create(options: FileOptions) -> FileRegridder:
    """Weights from a file that ESMF, SCRIP, CDO or YAC wrote, checked against the grids."""
    return FileRegridder(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.regridder("file", _create, FileOptions)

"""Output formats: converts a store for other programs (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.files.durable import new_paths
from ai4land_coupler.formats import clm, cmip, geotiff, luh2, netcdf
from ai4land_coupler.formats.files import check_targets
from ai4land_coupler.formats.store_reader import StoreReader

Format = Literal["netcdf", "geotiff", "luh2", "cmip", "clm"]

#: Default cell size of the grid of ``cmip`` (degrees).
DEFAULT_RESOLUTION = 0.5

__all__ = ["Format", "export"]


def _nothing(done: int, total: int) -> None:
    """Default of ``progress``: does nothing."""


def export(
    store: Path | str,
    kind: Format,
    path: Path | str,
    *,
    years: str | None = None,
    host: str | None = None,
    resolution: float | None = None,
    surface: Path | str | None = None,
    attrs: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = _nothing,
) -> list[Path]:
    """Convert committed years of an output store to another format.

    Parameters
    ----------
    path:
        ``netcdf``: a file; with ``{year}`` in its name one file per year. ``luh2``, ``clm``: a file. ``geotiff``,
        ``cmip``: a folder.
    years:
        ``A:B`` (both included) or one year. Default: all committed years.
    host:
        Name of a host grid, for ``netcdf`` and ``cmip``. Default: the land grid.
    resolution:
        Cell size of the grid of ``cmip`` in degrees, without a host. Default: 0.5.
    surface:
        CLM's surface data set (fsurdat), for ``clm``. The first year equals it.
    attrs:
        Additional global attributes of netCDF files, such as ``license``, ``creator_name``, ``institution``.
    overwrite:
        Replace existing files.
    progress:
        Called with the number of windows done and their total number.

    Returns
    -------
    The written files.

    Raises
    ------
    ConfigError, TimeError, DataError
        If the request does not fit the store, or files exist; see :class:`StoreReader` and :func:`files.check_targets`.
    RunError
        If writing to disk fails.
    """
    path = Path(path)
    if kind not in get_args(Format):
        raise ConfigError("unknown export format", found=kind, remedy=nearest(kind, get_args(Format)))
    _check(kind, host, resolution, surface, attrs)
    reader = StoreReader.open(store, years, host)
    extra = dict(attrs or {})
    done, total = 0, len(reader.years) * sum(1 for _ in reader.windows())

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    if kind == "netcdf":
        targets = netcdf.files(reader, path)
    elif kind == "geotiff":
        targets = geotiff.files(reader, path)
    elif kind in ("luh2", "clm"):
        targets = [path]
    else:
        targets = cmip.files(reader, path)
    check_targets(targets, reader.path, overwrite)
    with new_paths(targets, "an export could not be written") as temporary:
        if kind == "netcdf":
            netcdf.write(reader, temporary, extra, tick)
        elif kind == "geotiff":
            geotiff.write(reader, temporary, tick)
        elif kind == "luh2":
            luh2.write(reader, temporary[0], extra, tick)
        elif surface is not None:
            clm.write(reader, temporary[0], Path(surface), extra, tick)
        else:
            cmip.write(reader, temporary, resolution or DEFAULT_RESOLUTION, extra, tick)
    progress(total, total)
    return targets


def _check(
    kind: Format,
    host: str | None,
    resolution: float | None,
    surface: Path | str | None,
    attrs: Mapping[str, Any] | None,
) -> None:
    """Refuse options that the format would ignore, and missing options that it needs."""
    if (surface is not None) != (kind == "clm"):
        raise ConfigError(
            "a surface data set belongs to clm exports, and they need one",
            found=f"{kind} {'with' if surface is not None else 'without'} a surface data set",
            remedy="name CLM's fsurdat file (--surface) for clm, and for nothing else",
        )
    if host is not None and kind in ("geotiff", "luh2", "clm"):
        raise ConfigError(
            f"{kind} exports are maps on a latitude-longitude grid",
            found=f"host {host}",
            remedy="leave the host out, or export netcdf or cmip",
        )
    if resolution is not None and (kind != "cmip" or host is not None):
        raise ConfigError(
            "a resolution belongs to the latitude-longitude grid of cmip exports",
            found=f"{resolution} degrees for {kind}" + ("" if host is None else f" on host {host}"),
            remedy="leave the resolution out",
        )
    if resolution is not None and not (resolution > 0 and abs(180 / resolution - round(180 / resolution)) < 1e-9):
        raise ConfigError(
            "the resolution of a cmip export does not divide the globe",
            expected="degrees that fit 180 a whole number of times, such as 0.25, 0.5 or 1",
            found=resolution,
        )
    if attrs and kind == "geotiff":
        raise ConfigError(
            "global attributes belong to netCDF files", found=", ".join(attrs), remedy="leave them out for geotiff"
        )

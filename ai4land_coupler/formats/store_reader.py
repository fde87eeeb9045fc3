"""Reads the selected years of an output store, window by window."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import Legend, get_legend
from ai4land_coupler.errors import ConfigError, DataError, TimeError
from ai4land_coupler.store.format import read_description, short
from ai4land_coupler.store.layout import YEAR
from ai4land_coupler.store.output import inspect, open_store

if TYPE_CHECKING:
    import xarray as xr

_YEARS = re.compile(r"(?P<first>\d{1,4})?(?P<range>:)?(?P<last>\d{1,4})?")


@dataclass(frozen=True)
class StoreReader:
    """A store, one of its host grids (or ``None``), and the years to convert in rising order."""

    path: Path
    land: xr.Dataset
    host: xr.Dataset | None
    grid: LatLonGrid
    legend: Legend
    years: tuple[int, ...]

    @classmethod
    def open(cls, path: Path | str, years: str | None = None, host: str | None = None) -> StoreReader:
        """Open a store.

        Parameters
        ----------
        years:
            ``A:B`` (both included; either can be missing) or one year. Default: all committed years.

        Raises
        ------
        DataError
            If there is no store, it has no committed year, or files of committed years are missing.
        ConfigError
            If ``years`` is malformed, or the store has no such host.
        TimeError
            If the store does not have these years.
        """
        path = Path(path)
        # Check the files: Zarr would read a missing file as missing values.
        inspect(path)
        land = open_store(path)
        committed = sorted(int(year) for year in land[YEAR].values)
        if not committed:
            raise DataError(
                "an output store has no committed year to export",
                where=path,
                remedy="let the run finish a year first; `ai4land run --restart` continues it",
            )
        description = read_description(path)
        return cls(
            path,
            land,
            None if host is None else open_store(path, host),
            LatLonGrid(*description["grid"]),
            get_legend(description["legend"]),
            chosen_years(years, committed, path),
        )

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Global attributes of the store."""
        return {str(key): value for key, value in self.land.attrs.items()}

    def windows(self) -> Iterator[Box]:
        """Windows of the land grid. Each consists of whole files of the store, and is read and written at once."""
        _, rows, cols = self.land.land_cover.encoding["shards"]
        for row in range(0, self.grid.nlat, rows):
            for col in range(0, self.grid.nlon, cols):
                yield Box(row, min(row + rows, self.grid.nlat), col, min(col + cols, self.grid.nlon))

    def codes(self, year: int, box: Box) -> NDArray[np.uint8]:
        """Native codes of a window, uint8."""
        return np.asarray(self.field("land_cover", year, box), np.uint8)

    def field(self, name: str, year: int, box: Box) -> NDArray[Any]:
        """A land field of a window; with a leading axis if a year has several samples. NaN where missing."""
        rows, cols = box.slices()
        with self._readable(f"{name}, year {year}, {box}"):
            return np.asarray(self.land[name].sel({YEAR: year}).isel(lat=rows, lon=cols).values)

    def host_field(self, name: str, year: int) -> NDArray[Any]:
        """A whole field of the host grid, (cell,) or (class, cell); NaN where missing."""
        assert self.host is not None
        with self._readable(f"{name}, year {year}"):
            return np.asarray(self.host[name].sel({YEAR: year}).values)

    @contextmanager
    def _readable(self, where: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # codecs raise errors of many types
            raise DataError(
                "a file of an output store cannot be read",
                found=f"{type(error).__name__}: {error}",
                where=f"{self.path}, {where}",
                remedy="`ai4land inspect --verify` lists the broken files; put them back from a copy, or run again",
            ) from error

    def land_fields(self) -> list[str]:
        """Names of the continuous fields on the land grid."""
        return [
            str(name)
            for name, array in self.land.data_vars.items()
            if name != "land_cover" and array.dims[-2:] == ("lat", "lon")
        ]


def chosen_years(text: str | None, committed: list[int], where: Path) -> tuple[int, ...]:
    """The committed years, in rising order, within ``A:B``, ``A:``, ``:B`` or ``A``."""
    if text is None:
        return tuple(committed)
    match = _YEARS.fullmatch(text.strip())
    if match is None or (match["range"] is None and match["last"] is not None) or not text.strip():
        raise ConfigError("the years to export are malformed", expected="A:B, A:, :B or a single year", found=text)
    first = int(match["first"]) if match["first"] else committed[0]
    last = int(match["last"]) if match["last"] else committed[-1] if match["range"] else first
    years = tuple(year for year in committed if first <= year <= last)
    if first < committed[0] or last > committed[-1] or not years:
        raise TimeError(
            "the output store does not hold the years that are to be exported",
            expected=f"years from {committed[0]} to {committed[-1]}: {short(committed)}",
            found=text,
            where=where,
            remedy="choose committed years; `ai4land inspect` lists them",
        )
    return years

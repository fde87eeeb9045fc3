"""Reads windows of stored land-cover maps: one GeoTIFF per year, or one Zarr store with all years."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler import api

#: What a user can do if a year has no map.
REMEDY = "run within the years that are stored, in their step, or set the option `beyond: hold` (or cycle) of replay"


class Maps(Protocol):
    """Stored maps of a legend's native codes."""

    def read(self, year: int, placed: api.Registration) -> NDArray[np.uint8]:
        """Codes of the cells that ``placed`` selects; the no-data code where the map has no data."""
        ...

    def grid(self, year: int) -> api.LatLonGrid:
        """Grid of the map of a year."""
        ...

    def name(self, year: int) -> str:
        """File and year, for messages."""
        ...

    def years(self) -> list[int]:
        """The years that have a map, ascending."""
        ...


def open_maps(path: Path, legend: api.Legend) -> Maps:
    """Open stored maps.

    Parameters
    ----------
    path:
        A Zarr store, or the name of a GeoTIFF with ``{year}`` in it.
    """
    if "{year}" in str(path):
        return GeoTiffs(str(path), legend.ocean[-1])
    if (path / "zarr.json").is_file():
        return ZarrStore(path, legend)
    raise api.DataError(
        "replay found no stored maps",
        expected="GeoTIFFs with {year} in their name, or the folder of a Zarr store",
        found=path,
        where="predictor 'replay', option path",
        remedy="check the path; a run writes such a store",
    )


@dataclass(frozen=True)
class GeoTiffs:
    """One file per year, in degrees, north up. NaN or the file's no-data value marks cells without data."""

    template: str
    nodata: int

    def name(self, year: int) -> str:
        return self.template.replace("{year}", str(year))

    def years(self) -> list[int]:
        folder, _, file = self.template.rpartition("/")
        if "{year}" in folder:  # a folder for each year
            folder = folder[: folder.index("{year}")].rpartition("/")[0]
            file = self.template[len(folder) + 1 :]
        # the year may occur several times in the name: all must be equal
        first, *rest = (re.escape(part) for part in file.split("{year}"))
        pattern = re.compile(first + r"(?P<year>-?\d+)" + "(?P=year)".join(rest))
        place = Path(folder or "/" if self.template.startswith("/") else folder or ".")
        paths = place.glob(file.replace("[", "[[]").replace("{year}", "*"))
        found = (pattern.fullmatch(path.relative_to(place).as_posix()) for path in paths)
        return sorted({int(match["year"]) for match in found if match})

    @contextmanager
    def _open(self, year: int) -> Iterator[Any]:
        if not Path(self.name(year)).is_file():
            raise api.TimeError(
                f"there is no stored map of {year}",
                expected=f"a file {self.name(year)}",
                where="predictor 'replay', option path",
                remedy=REMEDY,
            )
        with api.open_geotiff(Path(self.name(year)), self.name(year)) as file:
            if file.count > 1 and file.colorinterp[1].name != "alpha":
                raise api.DataError(
                    "a stored map has several bands", expected="1 band", found=file.count, where=self.name(year)
                )
            yield file

    def grid(self, year: int) -> api.LatLonGrid:
        with self._open(year) as file:
            return api.read_geotiff_grid(file, self.name(year))

    def read(self, year: int, placed: api.Registration) -> NDArray[np.uint8]:
        with self._open(year) as file:

            def codes(rows: slice, cols: slice) -> NDArray[np.uint8]:
                values, missing = api.read_window(file, rows, cols)
                empty = np.isnan(values) if missing is None else missing | np.isnan(values)
                return _as_codes(np.where(empty, self.nodata, values), self.name(year))

            return placed.gather(codes, self.nodata, np.uint8)


def _as_codes(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    wrong = codes != values
    if wrong.any():
        raise api.DataError(
            "a stored map holds values that are no class codes",
            expected="whole numbers from 0 to 255",
            found=f"{values[wrong].flat[0]:g} and {int(wrong.sum()) - 1} more",
            where=where,
        )
    return codes


class ZarrStore:
    """The store of a run, or one with the arrays ``land_cover`` (year, lat, lon), ``lat``, ``lon``, ``year``."""

    def __init__(self, path: Path, legend: api.Legend) -> None:
        import zarr

        self._path, self._nodata = path, legend.ocean[-1]
        group = zarr.open_group(path, mode="r")
        lacking = [key for key in ("land_cover", "lat", "lon", "year") if key not in group]
        if lacking:
            raise api.DataError(
                "a Zarr store holds no land-cover maps",
                expected="land_cover (year, lat, lon) with year, lat and lon",
                found=f"no {', '.join(lacking)}",
                where=path,
            )
        self._cover = zarr.open_array(path, path="land_cover", mode="r")
        stored = self._cover.attrs.get("legend", legend.name)
        if stored != legend.name:
            raise api.DataError(
                "the stored maps have another legend", expected=legend.name, found=stored, where=f"{path}, land_cover"
            )
        self._years = [int(year) for year in np.asarray(group["year"])]
        # A store contains all years from the start. A fill value that is not in the legend marks unwritten years.
        fill = self._cover.fill_value
        self._unwritten = None if fill in (*legend.ocean, *legend.codes) else fill
        self._grid = api.LatLonGrid.from_centres(np.asarray(group["lon"]), np.asarray(group["lat"]), where=path)

    def name(self, year: int) -> str:
        return f"{self._path}, year {year}"

    def years(self) -> list[int]:
        """The years that the run has finished; in a store without a commit marker all years of its axis."""
        try:
            finished = json.loads((self._path / "year" / "commits.json").read_bytes())["content"]["years"]
        except (OSError, ValueError, KeyError, TypeError):
            return sorted(self._years)
        return sorted(set(self._years) & set(finished))

    def grid(self, year: int) -> api.LatLonGrid:
        return self._grid

    def read(self, year: int, placed: api.Registration) -> NDArray[np.uint8]:
        if year not in self._years:
            raise self._missing_year(year, f"one of {self._years}")
        index = self._years.index(year)

        def codes(rows: slice, cols: slice) -> NDArray[np.uint8]:
            values = np.asarray(self._cover[index, rows, cols], np.uint8)
            if self._unwritten is not None and (values == self._unwritten).any():
                raise self._missing_year(year, "a year that the run has finished")
            return values

        return placed.gather(codes, self._nodata, np.uint8)

    def _missing_year(self, year: int, expected: str) -> api.TimeError:
        return api.TimeError(
            f"there is no stored map of {year}",
            expected=expected,
            where=self._path,
            remedy=REMEDY,
        )

"""Files of regrid weights, as ESMF, SCRIP, CDO and YAC write them.

There are four layouts. In all of them ids count from 1:

* ``esmf``: ESMF_RegridWeightGen (ESMF Reference Manual, "Regrid Weight File Format"; also TempestRemap): links
  ``S``, ``col``, ``row`` over ``n_s``, and both grids as ``xc_a``, ``yc_a``, ``xv_a``, ``yv_a``, ``mask_a``,
  ``area_a``, ``frac_a``, ``src_grid_dims`` and the same with ``b`` and ``dst``.
* ``basic``: only the links of ``esmf``, as ESMF and xESMF write them.
* ``scrip``: ``remap_matrix``, ``src_address``, ``dst_address`` and grids (SCRIP User's Guide 1.4, Jones 1998); CDO's.
* ``yac``: only the links of ``scrip``, with ``version = "yac weight file 1.0"``.

A Zarr group with the arrays of ``esmf`` is also read. It is safe for hosts that link their own netCDF library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Method, Norm
from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import DataError
from ai4land_coupler.regrid.weight_files.arrays import ArrayFile, open_arrays

Layout = Literal["esmf", "basic", "scrip", "yac"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
Side = Literal["source", "destination"]
Quantity = Literal["centre_lon", "centre_lat", "corner_lon", "corner_lat", "mask", "area", "fraction"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
#: The norm of the weights of a file. ``none``: weights are areas of overlaps (SCRIP).
FileNorm = Norm | Literal["none"]

LINKS: Mapping[Layout, tuple[str, str, str]] = {
    "esmf": ("row", "col", "S"),
    "scrip": ("dst_address", "src_address", "remap_matrix"),
}
_ESMF_NAMES: dict[Quantity, str] = {
    "centre_lon": "xc", "centre_lat": "yc", "corner_lon": "xv", "corner_lat": "yv",
    "mask": "mask", "area": "area", "fraction": "frac",
}  # fmt: skip
_SCRIP_NAMES: dict[Quantity, str] = {
    "centre_lon": "grid_center_lon", "centre_lat": "grid_center_lat",
    "corner_lon": "grid_corner_lon", "corner_lat": "grid_corner_lat",
    "mask": "grid_imask", "area": "grid_area", "fraction": "grid_frac",
}  # fmt: skip

#: Longest first, because an ESMF name of a method may contain the name of another.
_METHODS: tuple[tuple[str, Method], ...] = (
    ("second-order conservative", "conservative2nd"),
    ("conservative", "conservative"),
    ("bilinear", "bilinear"),
    ("nearest", "nearest"),
)
#: Words of methods that the coupler does not have: patch and nearest destination to source of ESMF, largest area of
#: CDO.
_OTHERS = ("patch", "destination to source", "largest")
_NORMS: Mapping[str, FileNorm] = {"destarea": "destination", "fracarea": "fraction", "none": "none"}


def variable(layout: Layout, side: Side, quantity: Quantity) -> str:
    """Name of a variable that describes a grid."""
    if layout in ("esmf", "basic"):
        return f"{_ESMF_NAMES[quantity]}_{'a' if side == 'source' else 'b'}"
    return f"{'src' if side == 'source' else 'dst'}_{_SCRIP_NAMES[quantity]}"


@dataclass(frozen=True)
class GridSide:
    """One of the two grids of a weight file; values that the file lacks are ``None``.

    ``dims`` is fastest first, as in SCRIP. Centres (n,) and corners (n, k) in degrees, ``mask`` int32 (1 takes part),
    ``area`` in steradians, ``fraction`` the share of each cell that takes part in an overlap.
    """

    name: str
    size: int | None = None
    dims: tuple[int, ...] | None = None
    centre_lon: NDArray[np.float64] | None = None
    centre_lat: NDArray[np.float64] | None = None
    corner_lon: NDArray[np.float64] | None = None
    corner_lat: NDArray[np.float64] | None = None
    mask: NDArray[np.int32] | None = None
    area: NDArray[np.float64] | None = None
    fraction: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class WeightFile:
    """The whole content of a weight file.

    ``row`` and ``col`` are 0-based ids of destination and source cells, int64 (n_links,), by row and then by column;
    ``values`` float64. ``method`` and ``norm`` are ``None`` if the file does not name them, or if the coupler does not
    know the method (``attributes`` has its name).
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    values: NDArray[np.float64]
    source: GridSide
    destination: GridSide
    method: Method | None
    norm: FileNorm | None
    attributes: Mapping[str, Any]


class WeightReader:
    """Reads a weight file in slices. Made by :func:`open_weights`.

    ``layout`` is the layout of the file, ``method_text`` its name of the method (empty if it has none).
    """

    def __init__(self, arrays: ArrayFile, path: Path) -> None:
        self._arrays, self.path = arrays, path
        names = arrays.names
        self.attributes = arrays.attributes
        if set(LINKS["esmf"]) <= names:
            self.layout: Layout = "esmf"
        elif set(LINKS["scrip"]) <= names:
            self.layout = "yac" if "yac" in str(self.attributes.get("version", "")) else "scrip"
        elif "yac" in str(self.attributes.get("version", "")):  # no links at all
            self.layout = "yac"
        else:
            raise DataError(
                "a file holds no regrid weights",
                expected="S, col and row (ESMF), or remap_matrix, src_address and dst_address (SCRIP, CDO, YAC)",
                found=", ".join(sorted(names)) or "no arrays",
                where=path,
            )
        self._row, self._col, self._value = LINKS["esmf" if self.layout == "esmf" else "scrip"]
        self.n_links = arrays.shape(self._value)[0] if self._value in names else 0
        self.method_text = str(self.attributes.get("ESMF_regrid_method") or self.attributes.get("map_method") or "")
        text_of_method = self.method_text.lower()
        known = not any(word in text_of_method for word in _OTHERS)
        self.method: Method | None = next((m for text, m in _METHODS if known and text in text_of_method), None)
        self.norm = self._norm()
        self._check()

    def _norm(self) -> FileNorm | None:
        """The norm of the weights. For methods without areas they add up to 1, even if the file says ``none`` (CDO)."""
        if self.method in ("bilinear", "nearest"):
            return "fraction"
        return _NORMS.get(str(self.attributes.get("normalization", "")).strip().lower())

    def _check(self) -> None:
        arrays = self._arrays
        if self.n_links:
            shapes = [arrays.shape(name)[:1] for name in (self._row, self._col, self._value)]
            if len(set(shapes)) > 1:
                raise DataError("the links of a weight file have different lengths", found=shapes, where=self.path)
            columns = arrays.shape(self._value)[1:]
            # of the three conservative weights of SCRIP, two are for gradients, and the first one is of first order
            if columns not in ((), (1,)) and not (columns == (3,) and self.method == "conservative"):
                raise DataError(
                    "weights need more than the values of a field",
                    expected="one weight a link",
                    found=f"{columns} of method {self.method_text!r}",
                    where=self.path,
                )
        if self.layout != "yac":
            return
        fields = int(arrays.shape("num_links_per_src_field")[0]) if "num_links_per_src_field" in arrays.names else 1
        if str(self.attributes.get("contains_fixed_dst", "FALSE")).upper() == "TRUE" or fields != 1:
            raise DataError(
                "a YAC weight file holds more than weights",
                expected="one source field, no fixed values",
                found=f"{fields} source fields, contains_fixed_dst {self.attributes.get('contains_fixed_dst')}",
                where=self.path,
            )
        for name in ("src_locations", "dst_location"):
            if name in arrays.names:
                location = b"".join(np.asarray(arrays.read(name)).astype("S1").ravel().tolist()).decode().strip("\0 ")
                if location != "CELL":
                    raise DataError("YAC weights are not those of cells", found=location, where=f"{self.path}, {name}")

    def size(self, side: Side) -> int | None:
        """Number of cells of a grid; ``None`` if the file does not contain it."""
        for quantity in ("centre_lon", "mask", "area", "fraction"):
            name = variable(self.layout, side, quantity)
            if name in self._arrays.names:
                return self._arrays.shape(name)[0]
        dims = self.dims(side)
        return None if dims is None else int(np.prod(dims))

    def dims(self, side: Side) -> tuple[int, ...] | None:
        name = f"{'src' if side == 'source' else 'dst'}_grid_dims"
        if name not in self._arrays.names:
            return None
        return tuple(int(length) for length in self._arrays.read(name))

    def grid_name(self, side: Side) -> str:
        a, b, c, d = (
            ("domain_a", "source_grid", "src_grid_name", "grid_file_src")
            if side == "source"
            else ("domain_b", "dest_grid", "dst_grid_name", "grid_file_dst")
        )
        return str(next((self.attributes[key] for key in (a, b, c, d) if key in self.attributes), side))

    def has(self, side: Side, quantity: Quantity) -> bool:
        return variable(self.layout, side, quantity) in self._arrays.names

    def read(self, side: Side, quantity: Quantity, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """A quantity of some cells: degrees, steradians, or int32 for the mask."""
        name = variable(self.layout, side, quantity)
        values = self._arrays.read(name, start, stop)
        if quantity == "mask":
            return values.astype(np.int32)
        values = values.astype(np.float64)
        units = self._arrays.units(name).strip().lower()
        if quantity == "area":
            if units.startswith(("m", "km")):
                values *= (1e6 if units.startswith("k") else 1.0) / EARTH_RADIUS**2
        elif quantity != "fraction" and units.startswith("rad"):
            values = np.rad2deg(values)
        return values

    def links(self, start: int = 0, stop: int | None = None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Row, column (0-based, int64) and value (float64) of some links, in the order of the file."""
        if not self.n_links:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        row, col = (self._arrays.read(name, start, stop).astype(np.int64) - 1 for name in (self._row, self._col))
        values = self._arrays.read(self._value, start, stop).astype(np.float64)
        return row, col, values if values.ndim == 1 else values[:, 0]


@contextmanager
def open_weights(path: str | Path) -> Iterator[WeightReader]:
    """Open a weight file of any layout.

    Raises
    ------
    DataError
        It is missing, damaged, of no known layout, or holds what cannot be applied.
    """
    path = Path(path)
    with open_arrays(path) as arrays:
        yield WeightReader(arrays, path)


def read_weights(path: str | Path) -> WeightFile:
    """Read a whole weight file; links sorted, those of one pair of cells added up in ascending order of value.

    Raises
    ------
    DataError
        As :func:`open_weights`, and where ids or values are out of range.
    """
    with open_weights(path) as reader:
        row, col, values = reader.links()
        sides = {}
        for side in get_args(Side):
            found: dict[str, Any] = {name: reader.read(side, name) for name in QUANTITIES if reader.has(side, name)}
            sides[side] = GridSide(reader.grid_name(side), reader.size(side), reader.dims(side), **found)
        method, norm, attributes = reader.method, reader.norm, reader.attributes
    source, destination = sides["source"], sides["destination"]
    check_links(row, col, values, destination.size, source.size, Path(path))
    links, error = drop_empty_rows(merge_links(row, col, values), Path(path))
    if error is not None:
        raise error
    if values.size and not links[2].size:
        raise DataError("weights are not numbers", found=f"all {values.size} are NaN", where=path)
    return WeightFile(*links, source, destination, method, norm, attributes)


def check_links(
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    values: NDArray[np.float64],
    n_destination: int | None,
    n_source: int | None,
    where: Path,
) -> None:
    """Refuse ids outside of their grid, and infinite values. :func:`drop_empty_rows` is for NaN."""
    for what, ids, size in (("destination", row, n_destination), ("source", col, n_source)):
        low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, -1)
        if low < 0 or (size is not None and high >= size):
            raise DataError(
                f"ids of {what} cells lie outside of their grid",
                expected=f"1 to {'the size of the grid' if size is None else size}",
                found=f"{low + 1} to {high + 1}",
                where=where,
            )
    bad = np.isinf(values)
    if bad.any():
        raise DataError("weights are not numbers", found=f"{int(bad.sum())} of {values.size}", where=where)


Links = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def drop_empty_rows(links: Links, where: Path) -> tuple[Links, DataError | None]:
    """Drop the links of rows that have no source: xESMF writes one NaN for such a row (``add_nans_to_weights``).

    Links are sorted by row. The error is for a NaN in a row with other links.
    """
    row, col, values = links
    absent = np.isnan(values)
    if not absent.any():
        return links, None
    first = np.diff(row, prepend=-1) != 0
    alone = first & np.append(first[1:], True)
    if (absent & ~alone).any():
        return links, DataError(
            "weights are not numbers",
            expected="numbers, or a single NaN for a destination cell without a source (xESMF)",
            found=f"{int(absent.sum())} of {values.size} are NaN",
            where=where,
        )
    return (row[~absent], col[~absent], values[~absent]), None


def merge_links(
    row: NDArray[np.int64], col: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Sort links by row, then column; those of one pair are added by ascending value, whatever their order was."""
    step = np.diff(row)
    if bool(((step > 0) | ((step == 0) & (np.diff(col) > 0))).all()):
        return row, col, values
    order = np.lexsort((values, col, row))
    row, col, values = row[order], col[order], values[order]
    first = np.ones(row.size, bool)
    first[1:] = (row[1:] != row[:-1]) | (col[1:] != col[:-1])
    if first.all():
        return row, col, values
    sums = np.bincount(np.cumsum(first) - 1, weights=values).astype(np.float64)
    return row[first], col[first], sums

"""What a prepared store holds, and whether every byte of it is sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai4land_coupler.errors import DataError
from ai4land_coupler.experiments.prepare.layout import ATTRIBUTE, FORMAT, MARKER, PreparedLayout, PreparedVariable
from ai4land_coupler.files.durable import unseal
from ai4land_coupler.store.format import array_files, digests, measure_files, root_attributes, short

if TYPE_CHECKING:
    import zarr

_REMEDY = "put the files back from a copy, or remove the store and prepare it again"


def is_prepared(path: Path) -> bool:
    """Whether a folder is a prepared store."""
    return path.is_dir() and ATTRIBUTE in root_attributes(path)


def read_description(path: Path) -> dict[str, Any]:
    """Layout (:meth:`PreparedLayout.describe`), ``key`` and ``quality`` of a store.

    Raises
    ------
    DataError
        If it cannot be read, or has another version of the format.
    """
    try:
        found: dict[str, Any] = json.loads(root_attributes(path)[ATTRIBUTE])
    except (KeyError, TypeError, ValueError):
        found = {}
    if found.get("format") != FORMAT:
        raise DataError(
            "this folder is not a prepared store that this version reads",
            expected=f"a Zarr group with the attribute {ATTRIBUTE} of format {FORMAT}",
            found=found.get("format"),
            where=path,
            remedy="prepare the inputs again (ai4land prepare)",
        )
    return found


def inspect_prepared(path: Path | str, *, verify: bool = False) -> dict[str, Any]:
    """Summarise a prepared store: ``land``, ``forcing`` (grids), ``legend``, ``arrays`` (name to shape, years, units,
    source and bytes on disk), ``quality``, ``inputs``, ``bytes`` and ``files_verified``.

    Parameters
    ----------
    verify:
        Also read every file and check its checksums.

    Raises
    ------
    DataError
        With the names of missing or (with ``verify``) damaged files.
    """
    import zarr

    path = Path(path)
    description = read_description(path)
    layout = PreparedLayout.parse(description)
    try:
        marker = unseal((path / MARKER).read_bytes(), path / MARKER, _REMEDY)
    except FileNotFoundError as error:
        raise DataError("a prepared store lacks its seal", expected=MARKER, where=path, remedy=_REMEDY) from error
    found = digests(path)
    broken = [file for file, digest in marker["metadata"].items() if found.get(file) != digest]
    broken += [file for file in marker["files"] if not (path / file).is_file()]
    checked = len(marker["metadata"])
    arrays: dict[str, dict[str, Any]] = {}
    found_arrays = [] if broken else sorted(zarr.open_group(path, mode="r").members(max_depth=None))
    for name, array in found_arrays:
        if not isinstance(array, zarr.Array):
            continue
        variable = next((v for v in layout.variables if v.array == name), None)
        size, read = measure_files(path, array, _files(path, name, array, layout, variable), verify, broken)
        checked += read
        arrays[name] = {
            "shape": list(array.shape),
            "units": array.attrs.get("units"),
            "years": None if variable is None or variable.years is None else list(variable.years),
            "source": None if variable is None else variable.source,
            "bytes": size,
        }
    if broken:
        raise DataError(
            "a prepared store has missing or broken files",
            expected="every file, readable and with fitting checksums",
            found=short(broken),
            where=path,
            remedy=_REMEDY,
        )
    return {
        "path": str(path),
        "land": str(layout.land),
        "forcing": None if layout.forcing is None else str(layout.forcing),
        "legend": layout.legend,
        "arrays": arrays,
        "quality": description["quality"],
        "inputs": json.loads(root_attributes(path)["provenance"])["inputs"],
        "bytes": sum(item["bytes"] for item in arrays.values()),
        "files_verified": checked if verify else 0,
    }


def _files(
    path: Path, name: str, array: zarr.Array[Any], layout: PreparedLayout, variable: PreparedVariable | None
) -> Iterator[tuple[Path, Any]]:
    """The files that an array must have. A variable has files only for its own years."""
    if variable is None or variable.years is None:
        yield from array_files(path, name, array)
        return
    years = layout.years(variable.part)
    for year in variable.years:
        yield from array_files(path, name, array, years.index(year))

"""The format of an output store on disk: its folder, its commit marker, its arrays and their files."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai4land_coupler.core.legend import know_legend, make_legend
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.files.durable import disk_errors, seal, unseal, write_durably
from ai4land_coupler.store.layout import ATTRIBUTE, FLOAT_FILL, FORMAT, UNWRITTEN, YEAR, FixedArray, StoreLayout

if TYPE_CHECKING:
    import zarr

#: In the folder of the year coordinate, because a foreign file at the root makes every Zarr reader warn.
MARKER = f"{YEAR}/commits.json"
#: A message lists this many items; of longer lists it leaves out the middle.
LISTED = 12


def short(items: Any) -> str:
    """A list as text, without its middle if it is long."""
    if not isinstance(items, list | tuple) or len(items) <= LISTED:
        return str(items)
    head = ", ".join(str(item) for item in items[: LISTED - 1])
    return f"{head} ... {items[-1]} ({len(items)} in all)"


def write_marker(path: Path, years: Sequence[int], metadata: Mapping[str, str]) -> None:
    """Replace the commit marker. It holds the committed years in run order, and the SHA-256 of each ``zarr.json``."""
    write_durably(path / MARKER, seal({"format": FORMAT, "years": list(years), "metadata": dict(metadata)}))


def read_marker(path: Path) -> dict[str, Any]:
    """Read the commit marker.

    Raises
    ------
    DataError
        There is no store, the store is half made, or the marker is damaged.
    """
    if not path.is_dir():
        raise DataError("there is no output store", where=path, remedy="check the path")
    try:
        text = (path / MARKER).read_bytes()
    except FileNotFoundError as error:
        if not is_ours(path):
            raise DataError(
                "this folder is not an output store",
                expected=f"a Zarr group with the attribute {ATTRIBUTE}",
                where=path,
                remedy="check the path",
            ) from error
        raise DataError(
            "an output store is half made: it has no commit marker",
            expected=MARKER,
            where=path,
            remedy="its making was interrupted and it holds no year: remove the folder, or make it anew with overwrite",
        ) from error
    return unseal(text, path / MARKER, "put the file back from a copy; without it no year of the store counts")


def root_attributes(path: Path) -> dict[str, Any]:
    """Attributes of the root group; {} if they cannot be read."""
    try:
        found = json.loads((path / "zarr.json").read_bytes())["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def read_description(path: Path) -> dict[str, Any]:
    """The description (:meth:`StoreLayout.describe`) that the store was made with; {} if it cannot be read.

    A legend of the user that it holds is known by its name from then on.
    """
    try:
        found = json.loads(root_attributes(path)[ATTRIBUTE])
    except (KeyError, TypeError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    if "legend_definition" in found:
        know_legend(make_legend(found["legend_definition"]))
    return found


def flat_attribute(value: Any) -> Any:
    """A global attribute that netCDF can also hold: text, number or a list of them; anything else as JSON text."""
    items = value if isinstance(value, list | tuple) else [value]
    flat = all(isinstance(item, str) for item in items) or all(type(item) in (int, float) for item in items)
    return value if flat and items else json.dumps(value)


def is_ours(path: Path) -> bool:
    """Whether :func:`make_store` made this folder, completely or in part."""
    if ATTRIBUTE in root_attributes(path):
        return True
    # The run was killed while it wrote the first file.
    names = [item.name for item in path.iterdir()]
    return bool(names) and all(name.startswith("zarr.") and name.endswith(".partial") for name in names)


def holds_no_year(path: Path) -> bool:
    """Whether this is a store without committed years; it may be half made."""
    return path.is_dir() and is_ours(path) and not ((path / MARKER).is_file() and read_marker(path)["years"])


def make_way(path: Path, overwrite: bool) -> None:
    """Refuse a path that is in use. With ``overwrite``, remove a store there (but nothing else)."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path.is_dir() and is_ours(path)):
        raise ConfigError(
            "the path of the output store is taken by something else", where=path, remedy="choose another path"
        )
    made = (path / MARKER).is_file()
    if not overwrite:
        raise ConfigError(
            "there is an output store already" if made else "an output store is half made: its making was interrupted",
            found=f"{len(read_marker(path)['years'])} committed years" if made else "no committed year",
            where=path,
            remedy="restart the run to continue it, allow overwriting, or choose another path"
            if made
            else "remove the folder, or allow overwriting",
        )
    with disk_errors("an output store could not be removed", path):
        # zarr.json goes last, because it identifies a store: after a kill in between, the rest can still be removed.
        (path / MARKER).unlink(missing_ok=True)
        for item in path.iterdir():
            if item.is_dir():
                shutil.rmtree(item)
            elif item.name != "zarr.json":
                item.unlink()
        (path / "zarr.json").unlink(missing_ok=True)


def make_store(path: Path, layout: StoreLayout, attrs: Mapping[str, Any]) -> None:
    """Write the groups, the metadata of all arrays and the coordinates. Does not fsync and writes no marker."""
    import zarr

    conventions = {"Conventions": "CF-1.11"}
    described = {ATTRIBUTE: flat_attribute(layout.describe())}
    flat = {key: flat_attribute(value) for key, value in attrs.items()}
    group = zarr.create_group(path, zarr_format=3, attributes={**conventions, **flat, **described})
    for host in layout.hosts:
        group.create_group(f"hosts/{host}", attributes={**conventions, "host": host})
    for fixed in layout.fixed():
        make_fixed(group, fixed)
    for yearly in layout.yearly():
        floats = yearly.dtype.startswith("float")
        group.create_array(
            yearly.name,
            shape=yearly.shape,
            dtype=yearly.dtype,
            chunks=yearly.chunks or (1, *yearly.shape[1:]),
            shards=yearly.shards or None,
            compressors=_codec(),
            fill_value=FLOAT_FILL if floats else UNWRITTEN,
            dimension_names=yearly.dims,
            attributes={**yearly.attrs, "missing_value": FLOAT_FILL} if floats else yearly.attrs,
        )


def make_fixed(group: zarr.Group, fixed: FixedArray) -> None:
    """Write a coordinate."""
    text = fixed.values.dtype.kind == "U"
    array = group.create_array(
        fixed.name,
        shape=fixed.values.shape,
        dtype=str if text else fixed.values.dtype,
        chunks=fixed.values.shape,
        compressors=_codec(),
        dimension_names=fixed.dims,
        attributes=fixed.attrs,
        # Zarr does not write a chunk that contains only the fill value (0), and then the chunk looks lost.
        config={"write_empty_chunks": True},
    )
    array[...] = fixed.values.astype(object) if text else fixed.values


def _codec() -> Any:
    from zarr.codecs import ZstdCodec

    # Zstd frames have no checksum by default, and then bit flips are not noticed.
    return ZstdCodec(level=3, checksum=True)


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of each ``zarr.json`` below a store, by relative path."""
    # os.walk, because pathlib is slow on the thousands of folders of a store
    files = sorted(Path(folder, "zarr.json") for folder, _, names in os.walk(path) if "zarr.json" in names)
    return {file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def open_arrays(path: Path, mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a store by name, and its description (:meth:`StoreLayout.describe`).

    Raises
    ------
    DataError
        The metadata cannot be read, or have another version of this format.
    """
    import zarr

    description = read_description(path)
    if description.get("format") != FORMAT:
        raise DataError(
            "an output store has a format that this version does not read",
            expected=FORMAT,
            found=description.get("format"),
            where=path,
            remedy="read it with the version that wrote it (attribute ai4land_version), or make a new one",
        )
    try:
        group = zarr.open_group(path, mode=mode)  # type: ignore[arg-type]
        arrays = {name: item for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            "the metadata of an output store cannot be read",
            found=f"{type(error).__name__}: {error}",
            where=path,
            remedy="put the zarr.json files back from a copy",
        ) from error
    return arrays, description


def is_yearly(name: str, array: zarr.Array[Any]) -> bool:
    """Whether an array holds results by year (and is not a coordinate)."""
    dims = array.metadata.dimension_names or ("",)  # type: ignore[union-attr]
    return dims[0] == YEAR and name.rsplit("/", 1)[-1] not in (YEAR, "time")


def file_grid(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Shape of the part of an array that one file holds."""
    return array.shards or array.chunks


def array_file(path: Path, name: str, array: zarr.Array[Any], at: Sequence[int]) -> Path:
    """The file that holds the cell with these indices."""
    key = (index // size for index, size in zip(at, file_grid(array), strict=True))
    return path.joinpath(name, "c", *map(str, key))


def array_files(path: Path, name: str, array: zarr.Array[Any], index: int | None = None) -> Iterator[tuple[Path, Any]]:
    """All files of an array, or of one ``index`` along its first dimension, each with its region of the array."""
    ranges = [range(0, n, size) for n, size in zip(array.shape, file_grid(array), strict=True)]
    if index is not None:
        ranges[0] = range(index, index + 1)
    for at in itertools.product(*ranges):
        region = tuple(slice(i, i + size) for i, size in zip(at, file_grid(array), strict=True))
        yield array_file(path, name, array, at), region


def measure_files(
    path: Path, array: zarr.Array[Any], files: Iterable[tuple[Path, Any]], verify: bool, broken: list[str]
) -> tuple[int, int]:
    """Add up the files of an array (:func:`array_files`) of the store at ``path``.

    Parameters
    ----------
    verify:
        Read each file, which checks its checksums.
    broken:
        The names of files that are missing or cannot be read are added to it.

    Returns
    -------
    The total size in bytes, and how many files were read.
    """
    size = checked = 0
    for file, region in files:
        name = file.relative_to(path).as_posix()
        if not file.is_file():
            broken.append(name)
            continue
        size += file.stat().st_size
        if verify:
            checked += 1
            try:
                array[region]
            except Exception as error:  # each codec raises errors of its own
                broken.append(f"{name} ({type(error).__name__}: {error})")
    return size, checked

"""Joins the stores of a history and a scenario into one store with all years in rising order, without copying maps.

A store has files of its own for each year, so the joined store consists of hard links to the files of both stores. It
takes no further space, it is an ordinary Zarr store, and it stays complete if the two stores are removed. Files are
copied where the file system has no hard links. A writer never changes a file of a store in place, so a joined store
never changes.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import link
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.files.durable import new_path
from ai4land_coupler.store.format import (
    array_files,
    digests,
    flat_attribute,
    is_ours,
    is_yearly,
    make_fixed,
    open_arrays,
    read_description,
    read_marker,
    root_attributes,
    short,
    write_marker,
)
from ai4land_coupler.store.layout import ATTRIBUTE, YEAR, year_coordinates

#: Key of the description of a joined store: names of its parts, the history first.
PARTS = "parts"


@dataclass(frozen=True)
class _Part:
    """A complete store: its name, its arrays and its description."""

    name: str
    path: Path
    arrays: Mapping[str, Any]
    description: Mapping[str, Any]

    @property
    def years(self) -> list[int]:
        return list(self.description["years"])

    def files(self, name: str, year: int | None) -> Iterable[tuple[Path, Any]]:
        """The files of an array in a year, or all its files, with their regions."""
        return array_files(self.path, name, self.arrays[name], None if year is None else self.years.index(year))


def is_complete(path: Path) -> bool:
    """Whether there is a store at a path, and all its years are committed."""
    if not (path.is_dir() and is_ours(path)):
        return False
    return bool(read_marker(path)["years"] == read_description(path).get("years"))


def is_joined(path: Path) -> bool:
    """Whether there is a joined store at a path."""
    return path.is_dir() and PARTS in read_description(path)


def join_stores(
    stores: Mapping[str, Path], target: Path, *, overwrite: bool = False, files: Mapping[str, bytes] | None = None
) -> int:
    """Make the joined store of a history and a scenario. Does nothing if it exists already.

    Parameters
    ----------
    stores:
        The stores of the history and of the scenario by name, in this order. Both begin with the same map.
    overwrite:
        Replace another output store at ``target``.
    files:
        Contents of further files of the joined store, by path in it.

    Returns
    -------
    The size (bytes) of the files that had to be copied, because the file system has no hard links.

    Raises
    ------
    DataError
        A store is not complete, or the two stores do not fit together.
    ConfigError
        Something else is at ``target``.
    RunError
        The disk is full or cannot be written.
    """
    history, scenario = (_open(name, Path(path)) for name, path in stores.items())
    _refuse_misfits(history, scenario)
    years = sorted({*history.years, *scenario.years})
    provenance = _provenance(history, scenario)
    if target.exists():
        if _is_same(target, years, provenance):
            return 0
        if not overwrite or not is_ours(target):
            raise ConfigError(
                "the path of the joined store is taken",
                found="another output store" if is_ours(target) else "something else",
                where=target,
                remedy="choose another path, or set output.overwrite to replace an output store",
            )
    with new_path(target, "the joined store could not be made") as path:
        copied = _make(path, history, scenario, years, provenance)
        for name, content in (files or {}).items():
            (path / name).write_bytes(content)
        write_marker(path, years, digests(path))
    return copied


def _open(name: str, path: Path) -> _Part:
    committed = read_marker(path)["years"]
    arrays, description = open_arrays(path, "r")
    if committed != description["years"]:
        raise DataError(
            f"part {name!r} is not complete",
            expected=short(description["years"]),
            found=short(committed) if committed else "no committed year",
            where=path,
            remedy="continue the run: `ai4land run --restart`",
        )
    return _Part(name, path, arrays, description)


def _refuse_misfits(history: _Part, scenario: _Part) -> None:
    """Refuse two stores that are not one series: other grids, fields or hosts, years, or start maps."""
    refuse_other_layout({part.name: part.description for part in (history, scenario)}, scenario.path)
    start = scenario.years[0]
    common = set(history.years) & set(scenario.years)
    if history.years[0] != start or common != {start}:
        raise DataError(
            "the years of two parts do not form one series",
            expected=f"both start in the same year, {history.name!r} backward and {scenario.name!r} forward",
            found=f"{short(history.years)}; {short(scenario.years)}",
            where=scenario.path,
        )
    for name, array in scenario.arrays.items():
        if is_yearly(name, array) and _form(history.path / name) != _form(scenario.path / name):
            raise DataError(
                "an array is stored in different ways in two parts",
                expected="the same type, chunks and compression",
                found=name,
                where=scenario.path,
                remedy="run one of the parts again with the same version of zarr",
            )
    for (mine, region), (other, _) in zip(
        scenario.files("land_cover", start), history.files("land_cover", start), strict=True
    ):
        if not filecmp.cmp(mine, other, shallow=False):  # another version may compress in another way
            values, others = (np.asarray(part.arrays["land_cover"][region]) for part in (scenario, history))
            if not np.array_equal(values, others):
                raise DataError(
                    "two parts start from different maps",
                    expected=f"the same land_cover of {start}",
                    found=f"{np.count_nonzero(values != others)} cells that differ in {mine.name}",
                    where=f"{history.path}, {scenario.path}",
                    remedy="run one of the parts again from the same initial map",
                )


def refuse_other_layout(descriptions: Mapping[str, Mapping[str, Any]], where: Any) -> None:
    """Refuse parts whose stores differ in more than their years.

    Parameters
    ----------
    descriptions:
        The facts that must agree, by name of the part (:meth:`StoreLayout.describe`).
    """
    (first, one), *others = descriptions.items()
    for name, other in others:
        keys = sorted(key for key in {*one, *other} - {"years"} if one.get(key) != other.get(key))
        if keys:
            raise DataError(
                "the results of two parts do not fit together",
                expected=f"as in part {first!r}: " + "; ".join(f"{key} {short(one.get(key))}" for key in keys),
                found=f"in part {name!r}: " + "; ".join(f"{key} {short(other.get(key))}" for key in keys),
                where=where,
                remedy="give both parts predictors with the same fields, and the same crosswalk and hosts",
            )


def _form(array: Path) -> dict[str, Any]:
    """The metadata of an array that its files depend on."""
    found: dict[str, Any] = json.loads((array / "zarr.json").read_bytes())
    return {key: value for key, value in found.items() if key not in ("shape", "attributes")}


def _provenance(history: _Part, scenario: _Part) -> dict[str, Any]:
    """The provenance of the scenario with the inputs of both parts; under ``parts`` that of each part."""
    each = {part.name: _stored_provenance(part.path) for part in (history, scenario)}
    inputs = {item["name"]: item for own in each.values() for item in own.get("inputs", [])}
    return {**each[scenario.name], "inputs": list(inputs.values()), PARTS: each}


def _stored_provenance(path: Path) -> dict[str, Any]:
    found = root_attributes(path).get("provenance", "{}")
    return dict(json.loads(found) if isinstance(found, str) else found)


def _is_same(target: Path, years: Sequence[int], provenance: Mapping[str, Any]) -> bool:
    """Whether the joined store of these parts is there already."""
    if not is_joined(target) or read_marker(target)["years"] != list(years):
        return False
    return bool(_stored_provenance(target) == json.loads(json.dumps(provenance)))


def _make(path: Path, history: _Part, scenario: _Part, years: Sequence[int], provenance: Mapping[str, Any]) -> int:
    """Write metadata and coordinates, and link the files. Returns the size of the files that were copied."""
    import zarr

    description = {**scenario.description, "years": list(years), PARTS: [history.name, scenario.name]}
    attrs = root_attributes(scenario.path) | {
        ATTRIBUTE: flat_attribute(description),
        "provenance": flat_attribute(provenance),
        "comment": f"Years before {scenario.years[0]} were computed backward in time: their changes (changed_cells, "
        "transition_area and others) are those of the step from the next year to this one.",
    }
    group = zarr.create_group(path, zarr_format=3, attributes=attrs)
    for folder in sorted(item.parent for item in scenario.path.glob("hosts/**/zarr.json")):
        facts = json.loads((folder / "zarr.json").read_bytes())
        if facts["node_type"] == "group":
            group.create_group(folder.relative_to(scenario.path).as_posix(), attributes=facts["attributes"])
    copied = 0
    for name, array in scenario.arrays.items():
        at, _, own = name.rpartition("/")
        if own in (YEAR, "time"):
            made = next(item for item in year_coordinates(years, f"{at}/" if at else "") if item.name == name)
            make_fixed(group, replace(made, attrs=dict(array.attrs) | made.attrs))
            continue
        facts = json.loads((scenario.path / name / "zarr.json").read_bytes())
        if is_yearly(name, array):
            facts["shape"][0] = len(years)
        (path / name).mkdir(parents=True, exist_ok=True)
        (path / name / "zarr.json").write_text(json.dumps(facts, indent=2))
        if not is_yearly(name, array):
            copied += sum(_link(file, path / file.relative_to(scenario.path)) for file, _ in scenario.files(name, None))
            continue
        for index, year in enumerate(years):
            # The first year of both is the same map; the history keeps it, so that it is the same in all joined stores.
            part = history if year in history.years else scenario
            for file, _ in part.files(name, year):
                place = file.relative_to(part.path / name / "c").parts[1:]
                copied += _link(file, path.joinpath(name, "c", str(index), *place))
    return copied


def _link(source: Path, target: Path) -> int:
    """Make a hard link, or a copy if that is not possible. Returns the size of the copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        link(source, target)
    except FileNotFoundError as error:
        raise DataError(
            "a file of an output store is missing",
            where=source,
            remedy="put the file back from a copy, or restart the run from a year before it",
        ) from error
    except OSError:
        shutil.copyfile(source, target)
        return target.stat().st_size
    return 0

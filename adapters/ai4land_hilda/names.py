"""Finds HILDA+ files, and reads the year and the version (which gives the legend) from their names."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from ai4land_coupler.api import ConfigError, DataError, InputFile, TimeError, find_files

#: Files named ``-v1-0-f_``, ``_vGLOB-1.0-f_`` and ``_GLOB-1-0-f_`` have forest types; without ``-f`` they have one
#: forest class. ``-v2_``, ``_GLOB-2-0_``, ``_GLOB-2-0-f_`` and ``_GLOB-2-1-crop_`` have forest types and tree crops.
_VERSION = re.compile(r"(?:-v|GLOB-)(?P<major>\d)(?:[-.](?P<minor>\d))?(?P<forest>-f)?(?:-crop)?_")
_YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|2[0-4]\d\d)(?!\d)")
_TEMPLATE = "{year}"
_SUFFIXES = (".tif", ".tiff", ".nc", ".nc4")


def legend_of(name: str) -> str | None:
    """Name of the legend that follows from the name of a published file; ``None`` if the name has no version."""
    match = _VERSION.search(name)
    if match is None:
        return None
    forest = (match["forest"] or "") if match["major"] == "1" else ""
    return f"hilda-v{match['major']}.{match['minor'] or 0}{forest}"


def choose_legend(files: list[InputFile], legend: str | None) -> str:
    """The legend of all files, from their names or from the configuration.

    Raises
    ------
    DataError
        The names and the configuration contradict each other. A check of the codes cannot find this: code 44 means
        different classes in HILDA+ v1.0 and v1.0-f.
    ConfigError
        Neither the names nor the configuration give a legend.
    """
    for file in files:
        implied = legend_of(file.stem)
        legend = legend or implied
        if implied not in (None, legend):
            raise DataError(
                "the name of a file implies another legend than the configuration or another file names: "
                "44 means all forest in HILDA+ v1.0, but deciduous broadleaf forest in v1.0-f and v2, "
                "and 22 means all cropland in v1, but annual crops in v2",
                expected=f"legend {legend!r}",
                found=f"legend {implied!r}",
                where=file.name,
                remedy=f"set `legend: {implied}`, or choose the files of the legend",
            )
    if legend is None:
        raise ConfigError(
            "the names of the land-cover files do not tell their version",
            expected="a published name, such as hilda_plus_2000_states_GLOB-v1-0-f_wgs84-nn.tif",
            found=files[0].stem,
            where=files[0].name,
            remedy="set `legend` in the options of the adapter",
        )
    return legend


def year_of(name: str) -> int | None:
    """The year in the name of a file; ``None`` if the name has no year or several."""
    found = _YEAR.findall(name)
    return int(found[0]) if len(found) == 1 else None


def year_in_name(file: InputFile) -> int:
    """The year in the name of a file. Raises ``TimeError`` if the name has no year or several."""
    year = year_of(file.stem)
    if year is None:
        raise TimeError(
            "the name of a land-cover file does not tell its year",
            expected="one year in the name",
            found=file.stem,
            where=file.name,
            remedy="set `year` in the options of the adapter",
        )
    return year


def find_maps(location: Path | str) -> list[InputFile]:
    """Find the map files of a path or URL, in the order of their names.

    The path is a file, a name with ``{year}`` or with wildcards, or a folder. Only the files of states in a folder are
    used, not those of transitions or forest management, which are published with them.

    Raises
    ------
    DataError
        There are none.
    """
    if isinstance(location, str):
        return list(find_files(location.replace(_TEMPLATE, "[0-9]" * 4)))
    return [InputFile(str(path), path) for path in _find_paths(location)]


def _find_paths(path: Path) -> list[Path]:
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in _SUFFIXES]
        found = [p for p in files if "states" in p.name.lower()]
        what, names = "a folder holds no land-cover states", files
    elif _TEMPLATE in path.name:
        before, after = path.name.split(_TEMPLATE, 1)
        pattern = re.compile(re.escape(before) + r"\d{4}" + re.escape(after))
        names = sorted(path.parent.glob("*"))
        found = [p for p in names if pattern.fullmatch(p.name)]
        what = "no input file fits the name with {year}"
    elif any(sign in path.name for sign in "*?["):
        names = sorted(path.parent.glob("*"))
        found = sorted(path.parent.glob(path.name))
        what = "no input file fits the name with wildcards"
    elif path.is_file():
        return [path]
    else:
        raise DataError(
            "an input file is missing",
            expected=path,
            found="no such file",
            remedy="check the path in the configuration",
        )
    if not found:
        raise DataError(
            what,
            expected=path if not path.is_dir() else f"*states*{{{','.join(_SUFFIXES)}}} in {path}",
            found=f"none of {len(names)} files" + (f", such as {names[0].name}" if names else ""),
            remedy="check the path in the configuration",
        )
    return found


def is_many(location: Path | str) -> bool:
    """Whether a path or URL may have several files."""
    name = PurePosixPath(location).name
    folder = isinstance(location, Path) and location.is_dir()
    return folder or _TEMPLATE in name or any(sign in name for sign in "*?[")

"""What the names of HILDA+ files tell: the year and the legend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ai4land_coupler.api import ConfigError, DataError, TimeError

#: ``-v1-0-f_`` has forest types, ``-v1-0_`` one forest class, ``-v2_`` and ``-v2-0_`` tree crops as well.
_VERSION = re.compile(r"-v(?P<major>\d)(?:-(?P<minor>\d))?(?P<forest>-f)?_")
_YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|2[0-4]\d\d)(?!\d)")
_TEMPLATE = "{year}"


def legend_of(path: Path) -> str | None:
    """Name of the legend that the name of a published file implies; ``None`` where it does not tell."""
    match = _VERSION.search(path.name)
    if match is None:
        return None
    return f"hilda-v{match['major']}.{match['minor'] or 0}{match['forest'] or ''}"


def check_legend(path: Path, legend: str) -> None:
    """Refuse a file whose name implies another legend than the configuration names.

    Raises
    ------
    DataError
        Because code 44 means another class in HILDA+ v1.0 than in v1.0-f, which no check of codes can see.
    """
    implied = legend_of(path)
    if implied not in (None, legend):
        raise DataError(
            "the name of a file implies another legend than the configuration names: "
            "44 means all forest in HILDA+ v1.0, but deciduous broadleaf forest in v1.0-f",
            expected=f"legend {legend!r}",
            found=f"legend {implied!r}",
            where=path,
            remedy=f"set `legend: {implied}`, or choose the file of the legend",
        )


def year_of(path: Path) -> int | None:
    """The year in the name of a file; ``None`` where the name holds no year or several."""
    found = _YEAR.findall(path.name)
    return int(found[0]) if len(found) == 1 else None


def find_files(path: Path, year: int | None) -> Mapping[int, Path]:
    """Year to file, in order, of a single file or of a name with ``{year}`` in it.

    Parameters
    ----------
    year:
        The year of a single file; wins over the one in its name.

    Raises
    ------
    DataError
        When there is no such file.
    ConfigError
        When a year is given for a name with ``{year}``.
    TimeError
        When nothing tells the year of a single file.
    """
    if _TEMPLATE in path.name:
        before, after = path.name.split(_TEMPLATE, 1)
        pattern = re.compile(re.escape(before) + r"(\d{4})" + re.escape(after))
        matches = [(pattern.fullmatch(p.name), p) for p in sorted(path.parent.glob("*"))]
        files = {int(match[1]): p for match, p in matches if match}
        if year is not None:
            raise ConfigError("`year` belongs to a single file, not to a name with {year}", found=year, where=path)
        if not files:
            raise DataError(
                "no input file fits the name with {year}", expected=path, found=f"none of {len(matches)} files"
            )
        return files
    if not path.is_file():
        raise DataError(
            "an input file is missing",
            expected=path,
            found="no such file",
            remedy="check the path in the configuration",
        )
    found = year if year is not None else year_of(path)
    if found is None:
        raise TimeError(
            "the name of a land-cover file does not tell its year",
            expected="one year in the name",
            found=path.name,
            remedy="set `year` in the options of the adapter",
        )
    return {found: path}

"""Where the files of a data set are: local paths, globs, and URLs that fsspec knows."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from ai4land_coupler.api import DataError


def _location(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and not is_url(value) else value


def is_url(text: str) -> bool:
    """Whether a text is a URL (``https://...``, ``simplecache::s3://...``), not a local path."""
    return "://" in text


#: A path, a glob or a URL. Paths may be relative to the configuration file.
Location = Annotated[Path | str, BeforeValidator(_location)]


@dataclass(frozen=True)
class Source:
    """A file: the name that messages give it, and where its bytes are on this machine."""

    name: str
    path: Path

    @property
    def stem(self) -> str:
        """The file's own name, without folder or host."""
        return self.name.rpartition("/")[2]


def find(location: Path | str) -> tuple[Source, ...]:
    """The files that a path, a glob or a URL stands for, in the order of their names.

    A file behind a URL is copied to a local cache once in a process (fsspec's ``simplecache``; the environment
    variable ``FSSPEC_SIMPLECACHE_CACHE_STORAGE`` keeps the copies in a folder): netCDF reads local files.

    Raises
    ------
    DataError
        When nothing matches a glob, or a URL cannot be read. A plain path is returned even where there is no file:
        opening it says more.
    """
    if isinstance(location, str):
        return tuple(Source(url, _fetch(url)) for url in _expand(location))
    text = str(location)
    if location.is_file() or not glob.has_magic(text):
        return (Source(text, location),)
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not matches:
        raise DataError(
            "no input file matches a pattern",
            expected=location,
            found="no such file",
            remedy="check the pattern in the configuration, and that the files have their published names",
        )
    return tuple(Source(match, Path(match)) for match in matches)


def matching(folder: Path | str, pattern: str) -> tuple[Source, ...]:
    """The files of a folder (below it too, where it is local) that match a pattern; none where none does."""
    if isinstance(folder, str):
        return tuple(Source(url, _fetch(url)) for url in _glob(f"{folder.rstrip('/')}/{pattern}"))
    return tuple(Source(str(path), path) for path in sorted(folder.rglob(pattern)))


def _expand(url: str) -> list[str]:
    if not glob.has_magic(url.partition("://")[2].partition("?")[0]) or "::" in url:
        return [url]
    found = _glob(url)
    if not found:
        raise DataError(
            "no input file matches a pattern",
            expected=url,
            found="no such file",
            remedy="check the pattern in the configuration, and that the files have their published names",
        )
    return found


def _glob(url: str) -> list[str]:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
        return sorted(files.unstrip_protocol(match) for match in files.glob(path))
    except (OSError, ImportError, ValueError) as error:
        raise _unreadable(url, error) from error


@cache
def _fetch(url: str) -> Path:
    """A local copy of the file behind a URL; the file itself where the URL is one of this machine."""
    import fsspec

    try:
        if url.startswith(("file://", "local://")):
            return Path(fsspec.core.url_to_fs(url)[1])
        return Path(fsspec.open_local(url if "::" in url else f"simplecache::{url}"))
    except (OSError, ImportError, ValueError) as error:
        raise _unreadable(url, error) from error


def _unreadable(url: str, error: Exception) -> DataError:
    remedy = (
        "install the package that it names"
        if isinstance(error, ImportError)
        else "check the URL, the network and the access rights, or copy the file here and give its path"
    )
    return DataError(
        "an input file cannot be fetched", expected=url, found=error or type(error).__name__, remedy=remedy
    )

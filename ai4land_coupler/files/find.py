"""Finds the files of a data set by a local path, a glob or a URL that fsspec knows."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.download import download


def _location(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and not is_url(value) else value


def is_url(text: str) -> bool:
    """Whether a text is a URL (``https://...``, ``simplecache::s3://...``), not a local path."""
    return "://" in text


#: Type of an option that is a path, a glob or a URL. Paths may be relative to the configuration file.
Location = Annotated[Path | str, BeforeValidator(_location)]


@dataclass(frozen=True)
class InputFile:
    """A file: its name in messages (a path or URL), and the path of the file or of its copy on this machine."""

    name: str
    path: Path

    @property
    def stem(self) -> str:
        """The name of the file without its folder or host, and without the query of a URL."""
        path = self.name.partition("?")[0] if is_url(self.name) else self.name
        return path.rpartition("/")[2]


def find_files(location: Path | str) -> tuple[InputFile, ...]:
    """Find the files of a path, a glob or a URL, in the order of their names.

    netCDF reads local files only. A process therefore copies the file of a URL once to a local cache (fsspec's
    ``simplecache``; the environment variable ``FSSPEC_SIMPLECACHE_CACHE_STORAGE`` sets a folder that keeps the copies).

    Raises
    ------
    DataError
        Nothing matches a glob, or a URL cannot be read. A plain path is returned even if there is no such file:
        opening it raises an error that says more.
    """
    if isinstance(location, str):
        return tuple(InputFile(url, _fetch(url)) for url in _expand(location))
    text = str(location)
    if location.is_file() or not glob.has_magic(text):
        return (InputFile(text, location),)
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not matches:
        raise DataError(
            "no input file matches a pattern",
            expected=location,
            found="no such file",
            remedy="check the pattern in the configuration, and that the files have their published names",
        )
    return tuple(InputFile(match, Path(match)) for match in matches)


def find_in_folder(folder: Path | str, pattern: str) -> tuple[InputFile, ...]:
    """Find the files of a folder (if it is local, of its folders too) that match a pattern. Returns () if none does."""
    if isinstance(folder, str):
        return tuple(InputFile(url, _fetch(url)) for url in _glob(f"{folder.rstrip('/')}/{pattern}"))
    return tuple(InputFile(str(path), path) for path in sorted(folder.rglob(pattern)))


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
    """Path of a local copy of the file of a URL, or of the file itself if the URL names one on this machine."""
    import fsspec

    try:
        if url.startswith(("file://", "local://")):
            return Path(fsspec.core.url_to_fs(url)[1])
        if url.removeprefix("simplecache::").startswith(("http://", "https://")) and find_spec("aiohttp") is None:
            return download(url.removeprefix("simplecache::"))
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

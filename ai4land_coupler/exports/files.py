"""The files that an export writes: never over others unless allowed, and never seen half written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ai4land_coupler.errors import ConfigError, RunError
from ai4land_coupler.files.durable import ASIDE, disk_errors, sync_path
from ai4land_coupler.store.format import short


@contextmanager
def new_files(paths: Sequence[Path], store: Path, overwrite: bool) -> Iterator[list[Path]]:
    """Give a path beside each of ``paths`` to write to; all are renamed when the block ends without an error.

    Raises
    ------
    ConfigError
        When one of the files exists and ``overwrite`` is not set, is a folder, or would lie inside of the store.
    RunError
        When the disk or a library refuses.
    """
    _check(paths, store, overwrite)
    asides = [path.with_name(f"{path.name}.{os.getpid()}{ASIDE}") for path in paths]
    try:
        with disk_errors("an export could not be written", paths[0].parent):
            for folder in {path.parent for path in paths}:
                folder.mkdir(parents=True, exist_ok=True)
            try:
                yield asides
            except RuntimeError as error:
                # the netCDF library reports a full disk as an HDF error
                raise RunError(
                    "an export could not be written",
                    found=error,
                    where=paths[0].parent,
                    remedy="check the free space and the access rights of the folder",
                ) from error
            for aside in asides:
                sync_path(aside)
            for aside, path in zip(asides, paths, strict=True):
                aside.replace(path)
            for folder in {path.parent for path in paths}:
                sync_path(folder)
    finally:
        for aside in asides:
            # what went wrong before is what the user should hear of
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _check(paths: Sequence[Path], store: Path, overwrite: bool) -> None:
    inside = [path for path in paths if path.resolve().is_relative_to(store.resolve())]
    if inside:
        raise ConfigError(
            "an export would lie inside of the output store", found=inside[0], remedy="choose a path outside of it"
        )
    folders = [path for path in paths if path.is_dir()]
    if folders:
        raise ConfigError("the file of an export is a folder", found=folders[0], remedy="name a file in it")
    taken = [path for path in paths if path.exists()]
    if taken and not overwrite:
        raise ConfigError(
            "the file of an export exists already",
            found=short([str(path) for path in taken]),
            remedy="allow overwriting (--overwrite), or choose another path",
        )

"""A file or a Zarr store that appears when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ai4land_coupler.errors import RunError
from ai4land_coupler.files.durable import ASIDE, disk_errors, sync_path


@contextmanager
def new_path(path: Path, what: str) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it is renamed when the block ends, in the place of what is there.

    Raises
    ------
    RunError
        Saying ``what`` failed: the disk is full, or may not be written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}{ASIDE}")
    try:
        with disk_errors(what, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield aside
            except RuntimeError as error:  # the netCDF library reports a full disk as an HDF error
                remedy = "check the free space and the access rights of the folder"
                raise RunError(what, found=error, where=path, remedy=remedy) from error
            sync_path(aside)
            if path.is_dir():
                shutil.rmtree(path)
            aside.replace(path)
            sync_path(path.parent)
    finally:
        # what went wrong before is what the user should hear of
        with suppress(OSError):
            if aside.is_dir():
                shutil.rmtree(aside)
            else:
                aside.unlink(missing_ok=True)

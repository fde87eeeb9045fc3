"""Checks the paths that an export writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ai4land_coupler.errors import ConfigError
from ai4land_coupler.store.format import short


def check_targets(paths: Sequence[Path], store: Path, overwrite: bool) -> None:
    """Refuse paths that an export must not write.

    Raises
    ------
    ConfigError
        If one of the files exists and ``overwrite`` is not set, is a folder, or is inside of the store.
    """
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

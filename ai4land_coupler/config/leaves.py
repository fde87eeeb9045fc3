"""The settings of a configuration as a flat table, and the files that they name.

Runs and ranks are compared by these tables: a message can then name each key that differs. A file counts by its
content, not by its path.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ai4land_coupler.config.sections import Config


def leaves(config: Config, *, changed_only: bool = False) -> dict[str, Any]:
    """Each setting by its key, as a user writes it: ``forcing[0].options.states``. Values are plain JSON.

    ``changed_only``: without settings that have their default.
    """
    return dict(_flat(config.model_dump(mode="json", exclude_defaults=changed_only), ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple) and value:
        for number, item in enumerate(value):
            yield from _flat(item, f"{key}[{number}]")
    else:
        yield key, value


def files_of(config: Config, value: Any) -> list[Path]:
    """The files and folders that a setting names: a path, or a pattern such as ``maps_{year}.tif`` or ``*.nc``.

    Returns [] if the setting is no text, or a text that names no file on this machine.
    """
    if not isinstance(value, str) or not ("/" in value or re.search(r"\.\w{1,8}$", value)):
        return []
    try:
        path = config.resolve(Path(value))
        if path.exists():
            return [path]
        pattern = re.sub(r"\{[^{}]*\}", "*", str(path))
        return sorted(map(Path, glob.glob(pattern))) if glob.has_magic(pattern) else []  # noqa: PTH207 - absolute
    except (OSError, ValueError):  # the text is too long or has a character that paths cannot have
        return []

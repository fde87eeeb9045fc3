"""Files that survive a kill and a power cut: written aside, fsynced, renamed.

A rename within one folder is atomic (POSIX ``rename``), so a reader sees the old file or the new one, never a
part. The fsync of the file before the rename, and of the folder after it, keep that true over a loss of power.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError, RunError

#: Files still under this ending were never renamed: a kill left them behind, and nobody reads them.
ASIDE = ".aside"
#: Files that are brought to disk at once.
SYNCS = 8


def sync_path(path: Path) -> None:
    """Fsync a file or a folder, whichever process wrote it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Some file systems cannot fsync a folder, and some folders may be entered but not read.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP, errno.EACCES)):
            raise


def sync_files(paths: Iterable[Path], root: Path) -> None:
    """Fsync files, then every folder from theirs up to ``root``, deepest first."""
    folders: set[Path] = {root}
    files = list(paths)
    # Several at once: file systems bring them to disk together, and the wait is the disk's.
    with ThreadPoolExecutor(min(len(files), SYNCS) or 1) as pool:
        for _ in pool.map(sync_path, files):
            pass
    for path in files:
        folders.update(parent for parent in path.parents if parent.is_relative_to(root))
    for folder in sorted(folders, key=lambda f: -len(f.parts)):
        sync_path(folder)


def write_aside(path: Path, content: bytes) -> None:
    """Replace a file as a whole: aside, fsync, rename. Durable once its folder is fsynced too."""
    aside = path.with_name(f"{path.name}.{os.getpid()}{ASIDE}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def write_durably(path: Path, content: bytes) -> None:
    """:func:`write_aside`, then fsync of the folder."""
    write_aside(path, content)
    sync_path(path.parent)


@contextmanager
def disk_errors(what: str, where: Path) -> Iterator[None]:
    """Turn a full disk, a quota or a lack of rights into a :class:`RunError` that names the file."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise RunError(
            what,
            found=f"{type(error).__name__}: {error.strerror or error}",
            where=error.filename or where,
            remedy="free space or raise the quota, then restart" if full else "check the folder and its access rights",
        ) from error


def seal(content: Mapping[str, Any]) -> bytes:
    """JSON text of ``content`` that carries its own SHA-256."""
    body = json.dumps(content, sort_keys=True, allow_nan=False)
    return json.dumps(
        {"sha256": hashlib.sha256(body.encode()).hexdigest(), "content": json.loads(body)}, indent=1
    ).encode()


def unseal(text: bytes, where: Path, remedy: str) -> dict[str, Any]:
    """The content of a sealed text.

    Raises
    ------
    DataError
        When the text is not sealed JSON, or does not fit its digest.
    """
    try:
        outer = json.loads(text)
        content: dict[str, Any] = outer["content"]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        expected = outer["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            "a file is damaged",
            expected="JSON with the keys sha256 and content",
            found=f"{len(text)} bytes that are not ({error})",
            where=where,
            remedy=remedy,
        ) from error
    if digest != expected:
        raise DataError(
            "a file is damaged", expected=f"sha256 {expected}", found=f"sha256 {digest}", where=where, remedy=remedy
        )
    return content

"""Write files and folders atomically: as a temporary file, which is fsynced and then renamed.

A rename within one folder is atomic (POSIX ``rename``), so a reader sees the complete old file or the complete new
file. The fsync of the file before the rename, and of the folder after it, ensure this also after a loss of power. All
writers of the package use this module.

A killed writer leaves a temporary file. Each writer therefore first removes dead temporary files from the folder that
it writes to (:func:`clear_dead`). A folder that a run may only read (a cache) or may not write to again (restarts) is
cleared when the run starts. The name of a temporary file identifies its writer, so that no writer removes the file of
another one::

    <target>.<host name>.<machine, since it was started>-<process>-<its start>-<number>[.replaced].aside

The machine is a digest of the boot id of Linux and of the namespace of process numbers. A temporary file is dead

* if it was made on this machine and its process does not live (a process with the same number but another start time is
  a different process);
* if it was made on a host of the same name, and was last changed before this machine was started;
* otherwise, because nothing is known about processes of other machines, if it was last changed :data:`AGE` ago. If a
  writer was suspended for so long and then continues, its file may be gone: it then fails, and no partial file appears.

Names of earlier versions, ``<target>.<process>.aside``, contain no machine. Such a file is dead if no such process
lives here, or by its age. Files with other names are never touched.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError, RunError

#: A temporary file of another machine counts as dead after this time (s) without a change.
AGE = 24 * 3600.0
#: Files that are fsynced at the same time.
SYNCS = 8
#: Longest name (bytes) of a target that is used unchanged in a temporary name; file systems allow 255 in all.
_NAME = 150

_OURS = re.compile(
    r"(?P<target>.+)\.(?P<host>[\w-]{1,40})\.(?P<machine>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-(?P<start>[0-9]{1,20})"
    r"-[0-9]{1,20}(?P<replaced>\.replaced)?\.aside",
    re.DOTALL | re.ASCII,
)
#: Names of earlier versions: with a process number, or with a random number (the weight cache).
_EARLIER = re.compile(r"(?P<target>.+)\.(?:(?P<pid>[0-9]{1,10})|[0-9a-f]{32})\.aside", re.DOTALL | re.ASCII)

_numbers = itertools.count()
_log = logging.getLogger(__name__)


# ---- writing ------------------------------------------------------------------------------------------------------


def write_durably(path: Path, content: bytes, *, sync_folder: bool = True) -> None:
    """Replace a file atomically: write a temporary file, fsync it, rename it, fsync the folder.

    Parameters
    ----------
    sync_folder:
        False for one of many files of a folder. The caller then fsyncs the folder once (:func:`sync_path`) and removes
        its dead temporary files (:func:`clear_dead`).
    """
    if sync_folder:
        clear_dead(path.parent, [path.name])
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        raise
    if sync_folder:
        sync_path(path.parent)


@contextmanager
def new_paths(paths: Sequence[Path], what: str) -> Iterator[list[Path]]:
    """Yield a temporary path for each of ``paths``, at which the block makes a file or a folder (a Zarr store).

    If the block ends without an error, all temporary files are fsynced and renamed in their order. They replace
    existing files; a folder can only replace a folder, and a file only a file. Missing parent folders are made. After
    an error in the block the temporary files are removed, and existing files are unchanged.

    Raises
    ------
    RunError
        Its message is ``what``: the disk is full or may not be written, or the netCDF library failed to write.
    """
    folders = sorted({path.parent for path in paths})
    where = paths[0] if len(paths) == 1 else folders[0]
    temporaries = [temporary_path(path) for path in paths]
    try:
        with disk_errors(what, where):
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                clear_dead(folder, [path.name for path in paths if path.parent == folder])
            try:
                yield temporaries
            except RuntimeError as error:  # the netCDF library reports a full disk as an HDF error
                remedy = "check the free space and the access rights of the folder"
                raise RunError(what, found=error, where=where, remedy=remedy) from error
            for temporary in temporaries:
                sync_tree(temporary)
            for temporary, path in zip(temporaries, paths, strict=True):
                _put_in_place(temporary, path)
            for folder in folders:
                sync_path(folder)
    finally:
        for temporary in temporaries:
            remove(temporary)


@contextmanager
def new_path(path: Path, what: str) -> Iterator[Path]:
    """:func:`new_paths` for one path."""
    with new_paths([path], what) as (temporary,):
        yield temporary


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder in the folder of ``path``, and so on its file system; removed when the block ends.

    For writers of several files, which rename them one by one.
    """
    clear_dead(path.parent, [path.name])
    temporary = temporary_path(path)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        remove(temporary)


def _put_in_place(temporary: Path, path: Path) -> None:
    if not (_is_folder(temporary) and _is_folder(path)):
        temporary.replace(path)
        return
    # A rename cannot replace a folder that holds files, so for a moment there is no folder. After a kill at that
    # moment, clear_dead puts the old folder back.
    old = temporary_path(path)
    if old.name.startswith(f"{path.name}."):  # else the name is shortened, and does not say which folder this was
        old = old.with_name(old.name.removesuffix(".aside") + ".replaced.aside")
    path.replace(old)
    try:
        temporary.replace(path)
    except OSError:
        old.replace(path)
        raise
    remove(old)


# ---- temporary names ----------------------------------------------------------------------------------------------


def temporary_path(path: Path) -> Path:
    """A new temporary path in the folder of ``path``. Makes no file. Most writers should use :func:`new_paths`."""
    name = os.fsencode(path.name)
    if len(name) > _NAME:
        digest = hashlib.sha256(name).hexdigest()[:16]
        name = os.fsencode(path.name[: _NAME // 4 - len(digest)] + digest)
    pid = os.getpid()
    start = _start_of(pid)
    known = f"{_machine()}-{pid}-{0 if start is None else start}-{next(_numbers)}"
    return path.with_name(f"{os.fsdecode(name)}.{_host()}.{known}.aside")


def clear_dead(folder: Path, earlier: Collection[str] | None = ()) -> list[Path]:
    """Remove temporary files and folders whose writer is dead (see the docstring of this module).

    A folder whose replacement was interrupted is put back to its place instead. Files that cannot be removed stay
    without a message, because the folder may be read-only for us.

    Parameters
    ----------
    folder:
        Its subfolders are not searched. It may be absent.
    earlier:
        Targets whose temporary files with names of earlier versions are also removed. Other programs could use such
        names, so give the targets that are about to be written; or ``None`` for all, in a folder that only we use.

    Returns
    -------
    The removed paths.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".aside")]  # noqa: PTH208 - names, fast
    except OSError:
        return []
    removed = []
    for name in names:
        path = folder / name
        if _is_dead(path, earlier):
            if _put_back(path):
                continue
            remove(path)
            if not os.path.lexists(path):
                removed.append(path)
                _log.info("removed what a writer that is gone left behind: %s", path)
    return removed


def _put_back(path: Path) -> bool:
    """Put a folder that was being replaced back to its place, if nothing has taken that place."""
    match = _OURS.fullmatch(path.name)
    if match is None or match["replaced"] is None or os.path.lexists(path.with_name(match["target"])):
        return False
    try:
        path.replace(path.with_name(match["target"]))
    except OSError:
        return os.path.lexists(path)  # read-only for us: it stays
    _log.info("put back what a writer that is gone was about to replace: %s", match["target"])
    return True


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content, if it exists and as far as permissions allow."""
    if _is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder and not a link to a folder."""
    return path.is_dir() and not path.is_symlink()


def _is_dead(path: Path, earlier: Collection[str] | None) -> bool:
    """Whether a path has a temporary name and its writer is dead."""
    ours = _OURS.fullmatch(path.name)
    if ours is not None:
        if ours["host"] != _host():
            return _untouched_since(path, time.time() - AGE)
        if ours["machine"] == _machine():
            return not _lives(int(ours["pid"]), int(ours["start"]))
        return _untouched_since(path, max(time.time() - AGE, _machine_start()))
    match = _EARLIER.fullmatch(path.name)
    if match is None or (earlier is not None and match["target"] not in earlier):
        return False
    gone = match["pid"] is not None and not _lives(int(match["pid"]), 0)
    return gone or _untouched_since(path, time.time() - AGE)


def _untouched_since(path: Path, moment: float) -> bool:
    """Whether a file, or a folder with its content, was last changed before a moment (seconds since 1970)."""
    try:
        if path.lstat().st_mtime >= moment:
            return False
        inside = os.walk(path) if _is_folder(path) else ()
        files = (os.path.join(folder, name) for folder, below, names in inside for name in (*below, *names))  # noqa: PTH118
        return all(os.lstat(file).st_mtime < moment for file in files)
    except OSError:
        return False  # it is changing right now


def _lives(pid: int, start: int) -> bool:
    """Whether a process of this machine lives (in doubt: true). A ``start`` of 0 means that its start is unknown."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it belongs to another user
    found = _start_of(pid)
    return found is None or start in (0, found)


def _start_of(pid: int) -> int | None:
    """Start of a process in ticks since the start of the machine; -1 if it has ended, ``None`` if unknown (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        fields = text[text.rindex(b")") + 2 :].split()
        return -1 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


@cache
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", os.uname().nodename)[:40] or "unnamed"


@cache
def _machine() -> str:
    """Identifies the machine since its last start, and the namespaces of its process numbers and start times."""
    facts = []
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    for kind in ("pid", "time"):
        with suppress(OSError):
            facts.append(os.readlink(f"/proc/self/ns/{kind}"))  # noqa: PTH115 - not a path
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


@cache
def _machine_start() -> float:
    """Time of the last start of this machine (seconds since 1970); 0 if unknown."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/stat").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
    return 0.0


# ---- fsync --------------------------------------------------------------------------------------------------------


def sync_path(path: Path) -> None:
    """Fsync a file or a folder; any process may have written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Some file systems cannot fsync a folder, and some folders cannot be opened for reading.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP, errno.EACCES)):
            raise


def sync_files(paths: Iterable[Path], root: Path) -> None:
    """Fsync files, then all their parent folders up to ``root``, deepest first."""
    folders: set[Path] = {root}
    files = list(paths)
    # Several at the same time, because file systems write them to disk together.
    with ThreadPoolExecutor(min(len(files), SYNCS) or 1) as pool:
        for _ in pool.map(sync_path, files):
            pass
    for path in files:
        folders.update(parent for parent in path.parents if parent.is_relative_to(root))
    for folder in sorted(folders, key=lambda f: -len(f.parts)):
        sync_path(folder)


def sync_tree(path: Path) -> None:
    """Fsync a file, or a folder with all files and folders in it."""
    if path.is_dir():
        sync_files((file for file in path.rglob("*") if file.is_file()), path)
    else:
        sync_path(path)


@contextmanager
def disk_errors(what: str, where: Path) -> Iterator[None]:
    """Turn errors of the disk (full, quota, access rights) into a :class:`RunError` that names the file."""
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


# ---- sealed JSON ---------------------------------------------------------------------------------------------------


def seal(content: Mapping[str, Any]) -> bytes:
    """JSON text of ``content`` together with its SHA-256."""
    body = json.dumps(content, sort_keys=True, allow_nan=False)
    return json.dumps(
        {"sha256": hashlib.sha256(body.encode()).hexdigest(), "content": json.loads(body)}, indent=1
    ).encode()


def unseal(text: bytes, where: Path, remedy: str) -> dict[str, Any]:
    """The content of a sealed text.

    Raises
    ------
    DataError
        The text is not sealed JSON, or its digest is wrong.
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

"""Provenance of a result: software, machine type, configuration and input files.

The record contains no host name, no user name and no folder outside of the working directory.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ai4land_coupler.errors import DataError

#: Distributions whose versions are recorded if they are installed.
DISTRIBUTIONS = (
    "ai4land_coupler",
    "cftime",
    "esmpy",
    "mpi4py",
    "netCDF4",
    "numpy",
    "pluggy",
    "pydantic",
    "rasterio",
    "safetensors",
    "scipy",
    "torch",
    "xarray",
    "yac",
    "zarr",
)
#: The digest of a file above this size (bytes) covers its size and both ends only.
WHOLE = 200_000_000
#: Length of each end (bytes).
END = 16 * 2**20


class FileDigest(NamedTuple):
    """Digest of an input; ``of`` says which part of the input it covers."""

    bytes: int
    sha256: str
    of: str


def collect(config_text: str, inputs: Iterable[Path], named: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Everything recorded with a result, plain JSON.

    Parameters
    ----------
    config_text:
        The configuration as the run used it; recorded in full, with ``~`` for the home folder.
    inputs:
        Files, or folders such as Zarr stores.
    named:
        Further inputs: maps the path or URL that is recorded to the file.

    Raises
    ------
    DataError
        An input is missing or cannot be read.
    """
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *map(_shortened, sys.argv[1:])]),
        "config": config_text.replace(str(Path.home()), "~") if Path.home() != Path("/") else config_text,
        "config_sha256": hashlib.sha256(config_text.encode()).hexdigest(),
        "software": software(),
        "revision": revision(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "instruction_set": instruction_set(),
        "mpi": mpi_library(),
        "inputs": [
            {"name": _shortened(name), **digest(path)._asdict()}
            for name, path in {**{str(path): Path(path) for path in inputs}, **(named or {})}.items()
        ],
    }


def software() -> dict[str, str]:
    """Versions of the installed distributions. Does not import them."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def revision() -> str | None:
    """Commit of the checkout that this package runs from, ``-dirty`` if files differ; ``None`` if there is none."""
    folder = Path(__file__).parent
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=environment,
        )
        return done.stdout.strip()

    try:
        # An installed copy may be inside another project's checkout, where git does not track it.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def instruction_set() -> str:
    """The vector instructions in use, with torch's names (``AVX512``, ``AVX2`` ...). The last bits depend on them.

    Uses torch if it is already loaded, else the flags of the processor.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        return str(torch.backends.cpu.get_cpu_capability())
    flags = _cpu_flags()
    # The sets that torch compiles for, see aten/src/ATen/native/DispatchStub.cpp.
    for name, needed in (("AVX512", {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"}), ("AVX2", {"avx2", "fma"})):
        if needed <= flags:
            return name
    return "DEFAULT" if flags else platform.machine()


def mpi_library() -> str | None:
    """Name and version of the MPI library; ``None`` if mpi4py is not loaded yet.

    Leaves out the rest of Open MPI's version text, which names the machine and the user that built it.
    """
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None:
        return None
    return " ".join(mpi.Get_library_version().splitlines()[0].split(",")[0].split())


def digest(path: Path) -> FileDigest:
    """Digest of an input file or folder. A file is read again only if its size or modification time changes.

    The digest of a file of up to :data:`WHOLE` bytes covers its content. That of a larger file covers its size (decimal
    text), its first and its last :data:`END` bytes. That of a folder covers the relative names and sizes of its files.

    Raises
    ------
    DataError
        The input is missing or cannot be read.
    """
    try:
        if path.is_dir():
            return _folder_digest(path)
        status = path.stat()
        return _file_digest(path.absolute(), status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise DataError(
            "an input cannot be read", found=error.strerror, where=path, remedy="check the path and its access rights"
        ) from error


@cache
def _file_digest(path: Path, changed: int, size: int) -> FileDigest:
    with path.open("rb") as file:
        if size <= WHOLE:
            return FileDigest(size, hashlib.file_digest(file, "sha256").hexdigest(), "content")
        state = hashlib.sha256(str(size).encode())
        state.update(file.read(END))
        file.seek(-END, os.SEEK_END)
        state.update(file.read(END))
        return FileDigest(size, state.hexdigest(), f"size, first and last {END // 2**20} MiB")


def _folder_digest(path: Path) -> FileDigest:
    files = sorted(
        (file.relative_to(path).as_posix(), file.stat().st_size) for file in path.rglob("*") if file.is_file()
    )
    text = "".join(f"{name}\t{size}\n" for name, size in files)
    return FileDigest(
        sum(size for _, size in files), hashlib.sha256(text.encode()).hexdigest(), "names and sizes of files"
    )


def _shortened(text: str) -> str:
    """An argument (``path`` or ``key=path``) without the folders above the working directory."""
    key, equals, value = text.rpartition("=")
    path = Path(value)
    if path.is_absolute():
        value = path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name
    return f"{key}{equals}{value}"

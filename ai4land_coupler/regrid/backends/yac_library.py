"""Import the Python package ``yac`` with the MPI library that this process runs.

The extension modules of YAC request an MPI library by its name only (``libmpi.so.40``). The loader gives them

* the library of that name that is already loaded, from any folder. Therefore mpi4py is imported first: it uses the
  library of the host, or finds the Open MPI of PyPI;
* otherwise the library of the system, if there is one. This would be a second MPI next to that of mpi4py;
* otherwise none, and the import fails.

YAC calls MPI when it is imported, and the process aborts if this MPI is not the one that runs. So the library that YAC
would get is checked before.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from ai4land_coupler.api import PluginError
from ai4land_coupler.parallel.mpi_libraries import loaded_libraries

_OR_ANOTHER = "or choose another backend for regridding"


@functools.cache
def import_yac() -> ModuleType:
    """The package ``yac``, with ``yac.core``. MPI is initialised by mpi4py's import, unless the host has done so.

    Raises
    ------
    PluginError
        YAC or MPI is missing or broken, or there is more than one MPI library.
    """
    package = importlib.util.find_spec("yac")
    if package is None:
        raise PluginError(
            "the YAC library is not installed",
            remedy=f"pip install ai4land_coupler[yac], {_OR_ANOTHER}",
        )
    _import("mpi4py.MPI", f"pip install ai4land_coupler[mpi], or an MPI library that mpi4py finds; {_OR_ANOTHER}")
    running = _running()
    for folder in package.submodule_search_locations or ():
        for extension in sorted(Path(folder).glob("*.so")):
            _load(extension, running)
    remedy = f"pip install --force-reinstall yac, {_OR_ANOTHER}"
    _import("yac.core", remedy)
    return _import("yac", remedy)


def _running() -> str:
    """The MPI library of this process, which mpi4py uses."""
    found = [*loaded_libraries()]
    if len(found) > 1:
        raise PluginError(
            f"{len(found)} MPI libraries in one process: YAC cannot be used",
            expected="one, that of the host or of mpi4py",
            found=", ".join(found),
            remedy="import mpi4py.MPI before yac, and keep other MPI libraries off LD_LIBRARY_PATH and LD_PRELOAD",
        )
    return found[0] if found else "one that is linked into mpi4py"


def _load(extension: Path, running: str) -> None:
    """Load an extension module of YAC without running it, and check which MPI library it would call."""
    before = set(loaded_libraries())
    failure = None
    try:
        ctypes.CDLL(str(extension))
    except OSError as error:
        failure = error
    other = sorted(set(loaded_libraries()) - before)
    if failure or other:
        of_mpi = other or "libmpi" in str(failure)
        raise PluginError(
            "YAC was built for another MPI library than the one that runs" if of_mpi else "YAC cannot be loaded",
            expected=f"a build of YAC for {running}",
            found=failure or ", ".join(other),
            where=extension,
            remedy=f"build YAC from source with this MPI, {_OR_ANOTHER}",
        ) from failure


def _import(name: str, remedy: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken installation raises anything
        raise PluginError(
            f"YAC needs {name}, which cannot be imported",
            found=f"{type(error).__name__}: {error}",
            where=f"a process with these MPI libraries: {', '.join(loaded_libraries()) or 'none'}",
            remedy=remedy,
        ) from error

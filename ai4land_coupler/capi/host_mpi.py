"""Get the communicator of a host, after a check that host and Python use the same MPI library.

A host links an MPI library; mpi4py has or finds one as well. Two MPI libraries in one process would exchange invalid
handles and crash. So this check comes before the first MPI call of mpi4py.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ai4land_coupler.errors import MPIError, StateError
from ai4land_coupler.parallel.mpi_libraries import loaded_libraries

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

REMEDY = (
    "make mpi4py use the host's MPI: unset MPI4PY_MPIABI and MPI4PY_LIBMPI, keep other MPI libraries off "
    "LD_LIBRARY_PATH, or build mpi4py from source with the host's mpicc"
)


def host_communicator(fortran_handle: int, *, embedded: bool) -> Comm:
    """Return the communicator of a Fortran handle.

    Raises
    ------
    MPIError
        Host and Python use different MPI libraries, MPI is not initialised, or the handle is no communicator.
    StateError
        MPI_Finalize was called before.
    """
    if embedded:
        import mpi4py

        mpi4py.rc.initialize = mpi4py.rc.finalize = False  # the host starts and stops MPI
        mpi4py.rc.errors = "default"  # mpi4py would set ERRORS_RETURN on the host's COMM_WORLD
    _one_library(loaded_libraries())
    if "mpi4py.MPI" not in sys.modules:
        _load_extension()
    libraries = loaded_libraries()
    _one_library(libraries)
    if not any(_answers_yes(library, "PMPI_Initialized") for library in libraries.values()):
        raise MPIError(
            "MPI is not initialised in the library that Python uses",
            expected="a host that has called MPI_Init, in this same library",
            found=_names(libraries),
            remedy="call MPI_Init before a4l_init; if the host did this in another library, " + REMEDY,
        )
    from mpi4py import MPI

    if MPI.Is_finalized():
        raise StateError("a component cannot be created after MPI_Finalize")
    comm = _from_fortran(fortran_handle)
    if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
        raise MPIError(
            "the communicator given to a4l_init cannot be used",
            expected="MPI_Comm_c2f of an intra-communicator, or A4L_NO_COMM (-1)",
            found=fortran_handle,
        )
    return comm


def _from_fortran(handle: int) -> Comm | None:
    """The communicator of a Fortran handle; ``None`` for an invalid number."""
    from mpi4py import MPI

    # MPI reports a bad handle to these two communicators. The host's error handler for them can be to abort.
    reported_to = (MPI.COMM_WORLD, MPI.COMM_SELF)
    handlers = [comm.Get_errhandler() for comm in reported_to]
    try:
        for comm in reported_to:
            comm.Set_errhandler(MPI.ERRORS_RETURN)
        return MPI.Comm.f2py(handle)
    except MPI.Exception:
        return None
    finally:
        for comm, handler in zip(reported_to, handlers, strict=True):
            comm.Set_errhandler(handler)


def finalized() -> bool:
    """Whether MPI was used and MPI_Finalize was called."""
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi is not None and bool(mpi.Is_finalized())


def _load_extension() -> None:
    """Load mpi4py's extension and its MPI library, without calling them."""
    for path in loaded_libraries():
        # If the host itself was loaded with RTLD_LOCAL, mpi4py does not see its MPI and would load another one.
        if ".so" in Path(path).name:
            ctypes.CDLL(path, mode=os.RTLD_LAZY | os.RTLD_NOLOAD | os.RTLD_GLOBAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # "unsupported MPI ABI": reported below
            spec = importlib.util.find_spec("mpi4py.MPI")
        if spec is None or spec.origin is None:
            raise MPIError("mpi4py has no build for the host's MPI", found=_names(loaded_libraries()), remedy=REMEDY)
        ctypes.CDLL(spec.origin)
    except (OSError, RuntimeError) as error:
        raise MPIError("mpi4py cannot load its MPI library", found=error, remedy=REMEDY) from error


def _one_library(libraries: dict[str, ctypes.CDLL]) -> None:
    if len(libraries) > 1:
        raise MPIError(
            f"{len(libraries)} MPI libraries in one process",
            expected="the host's alone",
            found=_names(libraries),
            remedy=REMEDY,
        )


def _names(libraries: dict[str, ctypes.CDLL]) -> str:
    return ", ".join(
        f"{path} ({'initialised' if _answers_yes(library, 'PMPI_Initialized') else 'not initialised'})"
        for path, library in libraries.items()
    )


def _answers_yes(library: ctypes.CDLL, question: str) -> bool:
    """Call ``int question(int *flag)``; MPI allows these calls before MPI_Init."""
    flag = ctypes.c_int(0)
    getattr(library, question)(ctypes.byref(flag))
    return bool(flag.value)

"""Find and start ESMF on our ranks, or use the ESMF that a host already runs.

A process can run ESMF (https://earthsystemmodeling.org) only once, on the ranks of one communicator. esmpy can only
start it on COMM_WORLD, so this module calls the Fortran routine of ESMF, which accepts a communicator;
``esmpy.Manager`` then finds ESMF running. If a host runs ESMF, we use it and never finalise it.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any, ClassVar

from ai4land_coupler.api import PluginError
from ai4land_coupler.parallel.collective import agree

#: ESMF_LOGKIND_NONE: otherwise ESMF writes files named PET* into the working folder at any error.
_NO_LOG = 4
#: First version of an argument list of ESMF_Initialize, with: positions of ``logKindFlag`` and ``mpiCommunicator``,
#: number of arguments (``rc`` is the last), and number of text arguments, each of which adds a hidden length
#: (src/Superstructure/ESMFMod/src/ESMF_Init.F90 of each release).
_ARGUMENTS = {(8, 0): (5, 6, 11, 2), (8, 2): (8, 9, 17, 3), (8, 5): (10, 11, 19, 4), (8, 6): (11, 12, 20, 4)}
_ARGUMENTS[8, 7] = (11, 12, 21, 4)
_INSTALL = (
    "install it from conda-forge (conda install 'esmpy=*=mpi_openmpi*' for several ranks), or from the site's ESMF; "
    "or set regrid.backend to yac"
)
#: Keeps the communicator that ESMF was started on.
_started: list[Any] = []


def missing(ranks: int) -> str | None:
    """Why ESMF cannot be used on this number of ranks, as far as known without loading it; ``None`` if it can."""
    if importlib.util.find_spec("esmpy") is None:
        return "esmpy is not installed"
    places = [os.environ.get("ESMFMKFILE"), Path(sys.prefix, "lib", "esmf.mk"), Path(sys.prefix, "Library/lib/esmf.mk")]
    makefile = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if makefile is None:
        return "esmf.mk was not found (environment variable ESMFMKFILE)"
    text = makefile.read_text(errors="replace")
    if ranks > 1 and re.search(r"ESMF_COMM:\s*mpiuni", text):
        return "ESMF was built without MPI"
    if not re.search(r"ESMF_COMPILER:\s*gfortran", text):
        return "ESMF was built by another compiler than gfortran, and gives no weights to Python"
    return None


def start(comm: Any) -> Any:
    """The module ``esmpy``, with ESMF running on the ranks of ``comm``, in their order. Collective.

    Parameters
    ----------
    comm:
        mpi4py communicator; ``None`` for a single process.

    Raises
    ------
    PluginError
        On every rank: esmpy is missing or broken, or ESMF runs on other ranks.
    """
    esmpy: Any = None
    error: PluginError | None = None
    try:
        esmpy = _load(1 if comm is None else comm.size)
    except PluginError as caught:
        error = caught
    agree(error, comm)
    try:
        if esmpy.api.constants._ESMF_COMM == esmpy.api.constants._ESMF_COMM_MPIUNI:
            _adopt(esmpy)
        else:
            from mpi4py import MPI

            wanted = MPI.COMM_SELF if comm is None else comm
            if not _running(esmpy):
                _initialize(esmpy, wanted)
            _adopt(esmpy)
            error = _elsewhere(esmpy, wanted)
    except (OSError, AttributeError, ValueError, PluginError) as caught:
        error = PluginError("ESMF could not be started", found=caught, remedy=_INSTALL)
    agree(error, comm)
    return esmpy


class _Handle(ctypes.Structure):
    """An object of ESMF's C interface."""

    _fields_: ClassVar = [("ptr", ctypes.c_void_p)]


def release(esmpy: Any, *objects: Any) -> None:
    """Destroy esmpy objects, last to first. Exit handlers of esmpy would keep them until the end of the process.

    For each field on a mesh, ESMF copies the mesh object with two DistGrids (80 bytes per cell) and never destroys
    them. A field that is destroyed the usual way also leaves memory allocated. This function frees both.
    """
    library = _library(esmpy)
    no_garbage, rc = ctypes.c_int(1), ctypes.c_int(-1)
    for item in reversed(objects):
        if isinstance(item, esmpy.Field) and not item.finalized:
            grids = _dist_grids(library, item)
            destroy = library["__esmf_fieldcreatemod_MOD_esmf_fielddestroy"]
            destroy.restype = None
            destroy(ctypes.c_void_p(item.struct.ptr), None, ctypes.byref(no_garbage), ctypes.byref(rc))
            item._finalized = rc.value == 0
            for grid in grids:
                library["c_esmc_distgriddestroy_"](*map(ctypes.byref, (grid, no_garbage, rc)))
        item.destroy()
        atexit.unregister(item.__del__)


def _dist_grids(library: Any, field: Any) -> list[ctypes.c_void_p]:
    """The DistGrids of the mesh copy inside a field; [] if the field uses the mesh on which it was made."""
    get_mesh, rc = library["ESMC_FieldGetMesh"], ctypes.c_int(-1)
    get_mesh.restype, get_mesh.argtypes = _Handle, [_Handle, ctypes.c_void_p]
    mesh = get_mesh(_Handle(field.struct.ptr), ctypes.addressof(rc))
    if rc.value != 0 or not mesh.ptr or mesh.ptr == field.grid.struct.ptr:
        return []
    found = []
    for kind in ("node", "elem"):
        owner, grid = ctypes.c_void_p(mesh.ptr), ctypes.c_void_p()
        library[f"c_esmc_meshget{kind}distgrid_"](*map(ctypes.byref, (owner, grid, rc)))
        if rc.value == 0 and grid.value:
            found.append(grid)
    return found


def _load(ranks: int) -> Any:
    reason = missing(ranks)
    try:
        if reason is None:
            import netCDF4  # noqa: F401  (imported after ESMF's own netCDF, the wheel would crash)

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import esmpy
            return esmpy
    except Exception as caught:  # a broken library or esmf.mk raises anything
        reason = f"{type(caught).__name__}: {caught}"
    raise PluginError("the regridding backend esmf needs ESMF and esmpy", found=reason, remedy=_INSTALL)


def _library(esmpy: Any) -> Any:
    return esmpy.interface.loadESMF._ESMF


def _running(esmpy: Any) -> bool:
    flag, rc = ctypes.c_int(0), ctypes.c_int(-1)
    _library(esmpy)["c_esmc_isinitialized_"](ctypes.byref(flag), ctypes.byref(rc))
    return rc.value == 0 and flag.value == 1


def _initialize(esmpy: Any, comm: Any) -> None:
    """Start ESMF on a communicator. At the end of the process ESMF is finalised, but not MPI."""
    found = re.match(r"(\d+)\.(\d+)", esmpy.api.constants._ESMF_VERSION)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0)
    known = [since for since in _ARGUMENTS if since <= version]
    if not known:
        raise PluginError("this version of ESMF is not known", expected="8.0 or later", found=version)
    log, communicator, count, texts = _ARGUMENTS[max(known)]
    own = comm.Dup()
    handle, kind, rc = ctypes.c_int(own.py2f()), ctypes.c_int(_NO_LOG), ctypes.c_int(-1)
    arguments: list[Any] = [None] * count
    arguments[log], arguments[communicator], arguments[-1] = map(ctypes.byref, (kind, handle, rc))
    initialize = _library(esmpy)["__esmf_initmod_MOD_esmf_initialize"]
    initialize.restype = None
    initialize(*arguments, *[ctypes.c_size_t(0)] * texts)
    if rc.value != 0:
        raise PluginError("ESMF refused to start", found=f"code {rc.value}")
    _started.append(own)
    atexit.register(_finish, esmpy)


def _adopt(esmpy: Any) -> None:
    """Let esmpy use the running ESMF, and prevent it from finalising ESMF and MPI at exit."""
    atexit.unregister(esmpy.Manager(endFlag=esmpy.EndAction.KEEP_MPI).__del__)


def _finish(esmpy: Any) -> None:
    from mpi4py import MPI

    if not MPI.Is_finalized() and _running(esmpy):
        esmpy.interface.cbindings.ESMP_Finalize(esmpy.EndAction.KEEP_MPI)


def _elsewhere(esmpy: Any, comm: Any) -> PluginError | None:
    """An error if the current context of ESMF does not have the ranks of ``comm`` in their order, else ``None``."""
    from mpi4py import MPI

    library = _library(esmpy)
    current, get = library["ESMC_VMGetCurrent"], library["ESMC_VMGet"]
    current.restype = esmpy.interface.cbindings.ESMP_VM
    get.argtypes = [esmpy.interface.cbindings.ESMP_VM, *[ctypes.c_void_p] * 6]
    rc, pet, pets = ctypes.c_int(-1), ctypes.c_int(), ctypes.c_int()
    handle = ctypes.create_string_buffer(MPI._sizeof(MPI.Comm))
    wanted = [ctypes.addressof(pet), ctypes.addressof(pets), None, ctypes.addressof(handle), None, None]
    if get(current(ctypes.byref(rc)), *wanted) != 0:
        return PluginError("ESMF does not tell on which ranks it runs")
    theirs = MPI.Comm.fromhandle(int.from_bytes(handle.raw, sys.byteorder))
    if MPI.Comm.Compare(theirs, comm) in (MPI.IDENT, MPI.CONGRUENT):
        return None
    return PluginError(
        "ESMF runs on other ranks than the land",
        expected=f"the {comm.size} ranks of the component's communicator, in their order",
        found=f"{pets.value} ranks, of which this is number {pet.value}",
        remedy="ESMF lives once in a process: let all its users have the same ranks, or set regrid.backend to yac",
    )

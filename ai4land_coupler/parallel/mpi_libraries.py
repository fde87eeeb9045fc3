"""The MPI libraries that are loaded in this process. There should be only one."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def loaded_libraries() -> dict[str, ctypes.CDLL]:
    """The MPI libraries of this process, by path.

    A library counts if it defines ``PMPI_Initialized`` itself. Fortran bindings and profilers do not.
    """
    mappings = _mappings()
    candidates = {path for _, _, path in mappings if Path(path).name.startswith("libmpi") and ".so" in Path(path).name}
    found: dict[str, ctypes.CDLL] = {}
    for candidate in (None, *sorted(candidates)):
        try:  # None: the symbols of the executable and its libraries, including a statically linked MPI
            library = ctypes.CDLL(candidate, mode=os.RTLD_LAZY | (os.RTLD_NOLOAD if candidate else 0))
            function = library.PMPI_Initialized
        except (OSError, AttributeError):
            continue
        address = ctypes.cast(function, ctypes.c_void_p).value or 0
        library_path = next((path for start, end, path in mappings if start <= address < end), str(candidate))
        found.setdefault(library_path, library)
    return found


def _mappings() -> list[tuple[int, int, str]]:
    """Start, end and file of the mappings of this process; see proc(5). Empty if the system does not tell."""
    mappings = []
    table = Path("/proc/self/maps")
    for line in table.read_text(errors="replace").splitlines() if table.exists() else ():
        columns = line.split(None, 5)
        if len(columns) == 6 and columns[5].startswith("/"):
            start, end = (int(bound, 16) for bound in columns[0].split("-"))
            mappings.append((start, end, columns[5]))
    return mappings

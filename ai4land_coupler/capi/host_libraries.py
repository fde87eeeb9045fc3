"""Separate Python's netCDF from the netCDF library of the host.

A wheel of netCDF4 has its own libnetcdf and libhdf5, with the same symbols as the host's but of other versions. The
loader searches the libraries of the program first: Python's libnetcdf would call the host's libhdf5 and crash.
RTLD_DEEPBIND reverses the order of the search for one library and its dependencies (dlopen(3)).
"""

from __future__ import annotations

import ctypes
import os
import sys

#: If the host has one of these functions, it has these libraries.
_SIGNS = ("nc_open", "H5open")


def keep_netcdf_apart() -> None:
    """Load netCDF4 so that it uses its own libraries. Does nothing if the host has no such libraries.

    Call this before anything else imports netCDF4, in a process whose main program is not Python.
    """
    program = ctypes.CDLL(None)
    if "netCDF4" in sys.modules or not any(hasattr(program, sign) for sign in _SIGNS):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
    try:
        import netCDF4  # noqa: F401
    except ImportError:  # reported when a file is read
        pass
    finally:
        sys.setdlopenflags(flags)

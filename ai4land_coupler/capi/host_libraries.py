"""Keep Python's netCDF apart from the one that a host is linked to.

A wheel of netCDF4 brings its own libnetcdf and libhdf5, of other versions than the host's but with the same symbols.
The loader searches the program's own libraries first: Python's libnetcdf would call the host's libhdf5, and crash.
RTLD_DEEPBIND turns the search around for one library and what it depends on (dlopen(3)).
"""

from __future__ import annotations

import ctypes
import os
import sys

#: Functions by which a host shows that it has these libraries.
_SIGNS = ("nc_open", "H5open")


def keep_netcdf_apart() -> None:
    """Load netCDF4 so that it uses its own libraries; nothing where the host has none to mix them up with.

    To be called before anything else imports netCDF4, in a process whose main program is not Python.
    """
    program = ctypes.CDLL(None)
    if "netCDF4" in sys.modules or not any(hasattr(program, sign) for sign in _SIGNS):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
    try:
        import netCDF4  # noqa: F401
    except ImportError:  # said where a file is to be read
        pass
    finally:
        sys.setdlopenflags(flags)

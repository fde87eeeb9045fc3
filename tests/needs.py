"""What a test needs beyond README's `make test`: where it is missing the test skips, and the reason names it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

import pytest

#: Where programs come from.
PACKAGES = {
    "ar": "Debian: binutils",
    "c++": "Debian: g++",
    "cc": "Debian: gcc",
    "cdo": "Debian and conda-forge: cdo",
    "chromedriver": "Debian: chromium-driver",
    "chromium": "Debian: chromium",
    "ESMF_RegridWeightGen": "conda-forge: esmf",
    "gdal_translate": "Debian: gdal-bin; conda-forge: gdal",
    "gdalinfo": "Debian: gdal-bin; conda-forge: gdal",
    "gfortran": "Debian and conda-forge: gfortran",
    "git": "Debian: git",
    "ldd": "Debian: libc-bin",
    "mpicc": "pip install ai4land_coupler[mpi]",
    "mpicc.mpich": "Debian: libmpich-dev",
    "mpiexec": "pip install ai4land_coupler[mpi]",
    "mpiexec.mpich": "Debian: mpich",
    "mpifort": "Debian: libopenmpi-dev, openmpi-bin",
    "nc-config": "Debian: libnetcdf-dev",
    "ncks": "Debian and conda-forge: nco",
    "nm": "Debian: binutils",
    "pkg-config": "Debian: pkgconf",
}
HAS_YAC = find_spec("yac") is not None
YAC = "needs the package yac (pip install ai4land_coupler[yac])"


def missing(what: str, source: str) -> NoReturn:
    """Skip the test, or the whole file where it is called outside of tests."""
    __tracebackhide__ = True  # the summary then has the line of the test
    pytest.skip(f"needs {what} ({source})", allow_module_level=True)


def program(*names: str, path: str | None = None) -> str:
    """The path of the first of these programs that is there."""
    __tracebackhide__ = True
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    missing(f"the program {' or '.join(names)}", PACKAGES[names[0]])


def package(name: str, source: str) -> None:
    """A Python package; it is not imported."""
    __tracebackhide__ = True
    if find_spec(name) is None:
        missing(f"the package {name}", source)


def yac() -> ModuleType:
    """YAC, as the product imports it. One that is installed and cannot be used is no reason to skip: it fails."""
    if not HAS_YAC:
        pytest.skip(YAC, allow_module_level=True)
    from ai4land_coupler.regrid.backends.yac_library import import_yac

    return import_yac()

"""Compile the C library for this Python and the Fortran module; print the options to link them."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from ai4land_coupler.errors import ConfigError, RunError
from ai4land_coupler.files.durable import scratch_folder
from ai4land_coupler.version import __version__

SOURCES = Path(__file__).parent
MODULE = "ai4land_mod.f90"
DEBIAN = "on Debian and Ubuntu: apt-get install gcc python3-dev"


def default_prefix() -> Path:
    """The default folder of ``build`` and ``flags``, in this environment."""
    return Path(sys.prefix) / "a4l"


def build(prefix: Path, compiler: str | None = None, fortran: str | None = None) -> Path:
    """Make ``lib/liba4l.so``, ``include/a4l.h`` and ``lib/pkgconfig/a4l.pc`` under ``prefix``; return the library.

    ``src/ai4land_mod.f90`` is copied too; a host can compile it with its own sources. With a Fortran compiler,
    ``include/ai4land_mod.mod``, ``lib/liba4l_fortran.a`` and ``lib/pkgconfig/a4l_fortran.pc`` are made as well.

    Parameters
    ----------
    prefix:
        An absolute or relative folder; made if it does not exist.
    compiler:
        A C compiler, optionally with options; default: ``$CC``, the compiler of this Python, or ``cc``.
    fortran:
        The host's Fortran compiler or its MPI wrapper, optionally with options.

    Raises
    ------
    ConfigError
        A compiler, Python's headers or a shared libpython are missing.
    RunError
        A compiler or the loader failed.
    """
    if sys.platform != "linux":
        raise ConfigError("the C interface is built on Linux only", found=sys.platform)
    command = find_compiler(compiler)
    fortran_command = find_fortran(fortran) if fortran else None
    headers, libpython = python_headers(), shared_libpython()
    prefix = prefix.absolute()
    try:
        for folder in ("lib/pkgconfig", "include", "src"):
            (prefix / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCES / "a4l.h", prefix / "include")
        shutil.copy(SOURCES / MODULE, prefix / "src")
        (prefix / "lib/pkgconfig/a4l.pc").write_text(_pkg_config(prefix))
        library = prefix / "lib" / "liba4l.so"
        with scratch_folder(library) as scratch:
            fresh = scratch / library.name
            _compile(command, headers, libpython, fresh)
            _load(fresh)
            fresh.replace(library)  # running hosts keep the old file
            if fortran_command:
                _compile_fortran(fortran_command, prefix, scratch)
                (prefix / "lib/pkgconfig/a4l_fortran.pc").write_text(_pkg_config_fortran(prefix))
    except OSError as error:
        raise ConfigError(
            "the files of the C interface cannot be written", found=error, remedy="choose -o DIR"
        ) from error
    return library


def flags(prefix: Path, *, cflags: bool = True, libs: bool = True, fortran: bool = False) -> str:
    """The compiler and linker options of a host; ``fortran``: with the compiled module."""
    prefix = prefix.absolute()
    if not (prefix / "lib" / "liba4l.so").is_file():
        raise ConfigError(
            "the C interface has not been built there",
            where=prefix,
            remedy="python -m ai4land_coupler.capi build, with the same -o DIR",
        )
    if fortran and not (prefix / "lib" / "liba4l_fortran.a").is_file():
        raise ConfigError(
            "the Fortran module has not been built there",
            where=prefix,
            remedy="python -m ai4land_coupler.capi build --fc COMPILER, with the same -o DIR",
        )
    parts = [f"-I{prefix}/include"] if cflags else []
    if libs:
        parts += [f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib", *(["-la4l_fortran"] if fortran else []), "-la4l"]
    return shlex.join(parts)


def find_compiler(wanted: str | None = None) -> list[str]:
    """The C compiler's command, split into words."""
    candidates = [wanted] if wanted else [os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"]
    for candidate in candidates:
        words = shlex.split(candidate or "")
        if words and shutil.which(words[0]):
            return words
    raise ConfigError("no C compiler found", found=wanted or "none of $CC, gcc, cc", remedy=f"give --cc; {DEBIAN}")


def find_fortran(wanted: str) -> list[str]:
    """The Fortran compiler's command, split into words."""
    words = shlex.split(wanted)
    if not words or not shutil.which(words[0]):
        raise ConfigError("no such Fortran compiler", found=wanted, remedy="give the one that compiles the host")
    return words


def python_headers() -> Path:
    """The folder of ``Python.h``."""
    folder = Path(sysconfig.get_path("include"))
    if not (folder / "Python.h").is_file():
        raise ConfigError("the C headers of this Python are missing", expected=folder / "Python.h", remedy=DEBIAN)
    return folder


def shared_libpython() -> Path:
    """The shared library of this Python, which a host loads too.

    ``Py_ENABLE_SHARED`` is not reliable: Debian and conda have a static ``python`` and a shared library.
    """
    variables = sysconfig.get_config_vars()
    version = variables.get("LDVERSION") or sysconfig.get_python_version()
    names = [variables.get("INSTSONAME") or "", f"libpython{version}.so.1.0", f"libpython{version}.so"]
    base = Path(sys.base_prefix) / "lib"
    folders = [variables.get("LIBDIR"), base, base / (variables.get("MULTIARCH") or ""), variables.get("LIBPL")]
    for folder in folders:
        for name in names:
            if folder and ".so" in name and (Path(folder) / name).is_file():
                return Path(folder) / name
    raise ConfigError(
        "this Python has no shared library, so no other program can embed it",
        expected=f"{names[1]} in one of {', '.join(str(f) for f in folders if f)}",
        found=variables.get("LIBRARY") or "nothing",
        where=sys.executable,
        remedy=f"make the environment from a Python with a shared library ({DEBIAN}; conda's and uv's have one; "
        "pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install; from source: ./configure --enable-shared)",
    )


def _compile(command: list[str], headers: Path, libpython: Path, library: Path) -> None:
    arguments = [
        *command,
        *("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-pthread"),
        f'-DA4L_DEFAULT_PYTHON="{sys.executable}"',
        f"-I{headers}",
        f"-I{SOURCES}",
        str(SOURCES / "a4l_capi.c"),
        str(libpython),
        # RUNPATH, because an RPATH would also affect the libraries of Python's extension modules
        *("-Wl,--enable-new-dtags", f"-Wl,-rpath,{libpython.parent}", "-Wl,-soname,liba4l.so"),
        *("-ldl", "-lm", "-o", str(library)),
    ]
    _run(arguments, "C")


def _compile_fortran(command: list[str], prefix: Path, scratch: Path) -> None:
    """Make the .mod file and ``lib/liba4l_fortran.a``; compilers write .mod files to the current folder."""
    object_file = scratch / "ai4land_mod.o"
    _run([*command, "-O2", "-fPIC", "-c", str(SOURCES / MODULE), "-o", str(object_file)], "Fortran", scratch)
    archiver = shutil.which("ar")
    if archiver is None:
        raise ConfigError("no archiver found", expected="ar (of binutils)", remedy=DEBIAN)
    archive = scratch / "liba4l_fortran.a"
    _run([archiver, "rcs", str(archive), str(object_file)], "archiver", scratch)
    for module in scratch.glob("*.mod"):
        module.replace(prefix / "include" / module.name)
    archive.replace(prefix / "lib" / archive.name)


def _run(arguments: list[str], language: str, folder: Path | None = None) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        what = "the archiver failed" if language == "archiver" else f"the {language} compiler failed"
        raise RunError(what, where=shlex.join(arguments), found=done.stderr.strip())
    sys.stderr.write(done.stderr)


def _load(library: Path) -> None:
    """Load the new library and get its version, so that a missing symbol is found now and not in the host."""
    try:
        ctypes.CDLL(str(library)).a4l_abi_version()
    except (OSError, AttributeError) as error:
        raise RunError("the fresh library cannot be loaded", found=error, where=library) from error


def _pkg_config(prefix: Path) -> str:
    return f"""prefix={prefix}

Name: a4l
Description: AI4Land as a component of a climate model
Version: {__version__}
Cflags: -I${{prefix}}/include
Libs: -L${{prefix}}/lib -Wl,-rpath,${{prefix}}/lib -la4l
"""


def _pkg_config_fortran(prefix: Path) -> str:
    return f"""prefix={prefix}

Name: a4l_fortran
Description: AI4Land as a component of a climate model, Fortran module ai4land_mod
Version: {__version__}
Requires: a4l
Cflags: -I${{prefix}}/include
Libs: -L${{prefix}}/lib -la4l_fortran
"""

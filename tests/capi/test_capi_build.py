"""The header agrees with Python, and `build` makes the files of a host or reports what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import needs
import pytest

from ai4land_coupler import errors
from ai4land_coupler.capi import bridge, handles
from ai4land_coupler.capi import build as building
from ai4land_coupler.capi.__main__ import main
from ai4land_coupler.errors import Ai4LandError, ConfigError, RunError

HEADER = (building.SOURCES / "a4l.h").read_text()


def constants(prefix: str) -> dict[str, int]:
    """Names and values that the header defines, by #define or enum."""
    found = re.findall(rf"\b({prefix}\w*)\b(?: = | )\(?(-?\d+)\)?", HEADER)
    return {name: int(value) for name, value in found}


def test_codes_of_the_header_are_those_of_the_errors() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Ai4LandError)]
    expected = {"A4L_ERR_" + c.__name__.removesuffix("Error").upper(): c.host_code for c in classes}
    expected["A4L_ERR"] = expected.pop("A4L_ERR_AI4LAND")
    expected["A4L_ERR_PYTHON"] = handles.PYTHON_ERROR
    assert len(expected) == 12
    assert constants("A4L_ERR") == expected
    assert len(set(expected.values())) == len(expected)


def test_other_constants_of_the_header() -> None:
    assert constants("A4L_OK") == {"A4L_OK": 0}
    assert constants("A4L_NO_COMM") == {"A4L_NO_COMM": bridge.NO_COMM}
    edges = {"A4L_" + name.upper(): value for value, name in enumerate(bridge.EDGES)}
    assert constants("A4L_GREAT_CIRCLE") | constants("A4L_LATLON") == edges


def test_header_is_plain_c_and_cpp(compiler: list[str], tmp_path: Path) -> None:
    source = '#include "a4l.h"\nint main(void) { return A4L_OK; }\n'
    for name, command in (("c.c", [*compiler, "-std=c99"]), ("cpp.cpp", [needs.program("c++"), "-std=c++11"])):
        (tmp_path / name).write_text(source)
        strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{building.SOURCES}", "-c", "-o", "object.o"]
        subprocess.run([*command, *strict, name], cwd=tmp_path, check=True)


def test_library_exports_the_functions_of_the_header_only(c_interface: Path) -> None:
    command = [needs.program("nm"), "-D", "--defined-only", str(c_interface / "lib/liba4l.so")]
    shown = {line.split()[-1] for line in subprocess.check_output(command, text=True).splitlines()}
    assert shown == set(re.findall(r"^A4L_API int (a4l_\w+)\(", HEADER, re.MULTILINE))


def test_pkg_config(c_interface: Path) -> None:
    command = [needs.program("pkg-config"), "--cflags", "--libs", str(c_interface / "lib/pkgconfig/a4l.pc")]
    found = subprocess.check_output(command, text=True).split()
    assert sorted(found) == sorted(building.flags(c_interface).split())


def test_command_line(compiler: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flags", "-o", str(tmp_path)]) == 2
    assert "has not been built" in capsys.readouterr().err
    assert main(["build", "-o", str(tmp_path)]) == 0
    assert f"built {tmp_path}/lib/liba4l.so" in capsys.readouterr().out
    assert main(["build", "-o", str(tmp_path)]) == 0
    assert sorted(p.name for p in (tmp_path / "lib").iterdir()) == ["liba4l.so", "pkgconfig"]
    capsys.readouterr()
    assert main(["flags", "-o", str(tmp_path), "--libs"]) == 0
    assert capsys.readouterr().out == f"-L{tmp_path}/lib -Wl,-rpath,{tmp_path}/lib -la4l\n"


def test_no_compiler(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no C compiler found\n  found: absent-cc\n"):
        building.build(tmp_path, "absent-cc")


def test_compiler_that_fails(compiler: list[str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the C compiler failed"):
        building.build(tmp_path, f"{compiler[0]} --no-such-option")
    assert not (tmp_path / "lib/liba4l.so").exists()


def test_folder_that_cannot_be_written(compiler: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose -o DIR"):
        building.build(tmp_path / "file")


def test_python_without_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(ConfigError, match="python3-dev"):
        building.python_headers()


def test_python_without_shared_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A static build: LDLIBRARY and INSTSONAME name the archive."""
    static = sysconfig.get_config_vars() | {"INSTSONAME": "libpython3.11.a", "LIBDIR": str(tmp_path), "LIBPL": ""}
    monkeypatch.setattr(sysconfig, "get_config_vars", lambda: static)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    (tmp_path / "libpython3.11.a").write_text("")
    with pytest.raises(ConfigError, match="no shared library") as raised:
        building.shared_libpython()
    assert "--enable-shared" in str(raised.value)
    (tmp_path / f"libpython{static['LDVERSION']}.so.1.0").write_text("")  # conda and Debian: static, but with this
    assert building.shared_libpython().parent == tmp_path

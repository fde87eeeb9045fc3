"""``python -m ai4land_coupler.capi``: build the C interface, or print the flags that a host needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ai4land_coupler.capi.build import build, default_prefix, flags
from ai4land_coupler.errors import Ai4LandError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ai4land_coupler.capi", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="compile liba4l.so for this Python, with a4l.h and a4l.pc")
    building.add_argument("--cc", metavar="CC", help="C compiler; else $CC, the one Python was built with, or cc")
    building.add_argument("--fc", metavar="FC", help="the host's Fortran compiler: compile ai4land_mod as well")
    showing = commands.add_parser("flags", help="print the options with which a host compiles and links")
    choice = showing.add_mutually_exclusive_group()
    choice.add_argument("--cflags", action="store_true", help="those of the compiler only")
    choice.add_argument("--libs", action="store_true", help="those of the linker only")
    showing.add_argument("--fortran", action="store_true", help="for a host that uses the compiled ai4land_mod")
    for command in (building, showing):
        command.add_argument(
            "-o", dest="prefix", metavar="DIR", type=Path, default=default_prefix(), help="default: %(default)s"
        )
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            print(f"built {build(options.prefix, options.cc, options.fc)}")
            print(f"flags for a host: {flags(options.prefix, fortran=bool(options.fc))}")
        else:
            wanted = {"cflags": not options.libs, "libs": not options.cflags, "fortran": options.fortran}
            print(flags(options.prefix, **wanted))
    except Ai4LandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

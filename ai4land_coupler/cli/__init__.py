"""The command line: ``ai4land COMMAND``. Thin: every command calls what Python offers too."""

from __future__ import annotations

import sys
import traceback

import click

from ai4land_coupler.cli import (
    check,
    couple,
    export,
    inspect_,
    plan,
    plugins_,
    prepare,
    regrid,
    report,
    run,
    schema,
    train,
    twin,
    validate,
    weights,
)
from ai4land_coupler.cli.terminal import abort_other_ranks, report_error
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.version import __version__

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="ai4land")
def cli() -> None:
    """Land-use and land-cover prediction as a component of Earth system models.

    Exit codes: 0 done, 1 failed while running, 2 bad input.
    """


for command in (
    run.run,
    couple.couple,
    validate.validate,
    check.check,
    plan.plan,
    prepare.prepare,
    inspect_.inspect,
    report.report,
    export.export,
    weights.weights,
    regrid.regrid,
    train.train,
    twin.twin,
    plugins_.plugins,
    schema.schema,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of ``ai4land``: turns errors into messages and exit codes."""
    _add_plugin_commands()
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        report_error("interrupted; what was committed stays, and `ai4land run --restart` continues from it")
        code = 1
    except Ai4LandError as error:
        report_error(str(error))
        code = error.exit_code
    except Exception:
        # not the user's mistake: show where, and do not leave other ranks waiting for this one
        report_error("an error of the program, please report it:\n" + traceback.format_exc(), everywhere=True)
        abort_other_ranks()
        code = 1
    sys.exit(code or 0)


def _add_plugin_commands() -> None:
    """Let plugins add sub-commands; a plugin that fails is reported by the commands that need it."""
    from ai4land_coupler.registry.loading import load_plugins

    if len(sys.argv) > 1 and sys.argv[1] in cli.commands:
        return
    try:
        load_plugins().hook.ai4land_commands(cli=cli)
    except Ai4LandError as error:
        report_error(str(error))

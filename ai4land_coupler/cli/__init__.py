"""The command line: ``ai4land COMMAND``. Each command only calls functions that Python users can call too."""

from __future__ import annotations

import sys

import click

from ai4land_coupler.cli import (
    benchmark,
    check,
    couple,
    evaluate,
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
from ai4land_coupler.cli.faults import as_message
from ai4land_coupler.cli.terminal import abort_other_ranks, report_error, show_tracebacks
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.version import __version__

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="ai4land")
@click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_tracebacks,
    help="Show the traceback of every error.",
)
def cli() -> None:
    """Predict land use and land cover, alone or coupled to an Earth system model.

    `ai4land COMMAND --help` explains a command. Exit codes: 0 success, 1 failure during the run, 2 bad input.
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
    evaluate.evaluate,
    benchmark.benchmark,
    twin.twin,
    plugins_.plugins,
    schema.schema,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of ``ai4land``. Turns errors into messages and exit codes."""
    _add_plugin_commands()
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        report_error("interrupted; committed years are kept, and `ai4land run --restart` continues from them")
        code = 1
    except Ai4LandError as error:
        report_error(str(error), error)
        code = error.exit_code
    except Exception as error:
        # The memory, the disk, or a fault of the program: end the other ranks, which would wait for this one for ever.
        report_error(str(as_message(error)), error, everywhere=True)
        abort_other_ranks()
        code = 1
    sys.exit(code or 0)


def _add_plugin_commands() -> None:
    """Let plugins add commands. Not if a built-in command is called: it loads plugins itself where it needs them."""
    from ai4land_coupler.registry.loading import load_plugins

    if len(sys.argv) > 1 and sys.argv[1] in cli.commands:
        return
    try:
        load_plugins().hook.ai4land_commands(cli=cli)
    except Ai4LandError as error:
        report_error(str(error))

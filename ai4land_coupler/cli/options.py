"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_argument = click.argument("config", type=click.Path(path_type=Path))
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=VALUE",
    help="Change a value of the configuration for this call. Can be given several times.",
)

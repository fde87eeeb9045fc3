"""``ai4land schema``."""

from __future__ import annotations

import click


@click.command(short_help="Print the JSON Schema of the configuration.")
def schema() -> None:
    """Print the JSON Schema of the configuration. Editors can use it to complete and check YAML files."""
    from ai4land_coupler.config.schema import json_schema

    click.echo(json_schema(), nl=False)

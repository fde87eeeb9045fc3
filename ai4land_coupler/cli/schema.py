"""``ai4land schema``."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check YAML."""
    from ai4land_coupler.config.sections import json_schema

    click.echo(json_schema(), nl=False)

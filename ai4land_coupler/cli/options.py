"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ai4land_coupler.errors import ConfigError

if TYPE_CHECKING:
    from ai4land_coupler.config.sections import Config

config_argument = click.argument("config", type=click.Path(path_type=Path))
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=VALUE",
    help="Change a value of the configuration for this call. Can be given several times.",
)
part_option = click.option("--part", metavar="NAME", help="Only this part, if CONFIG has parts.")


def configurations(config: Path, overrides: tuple[str, ...], part: str | None) -> dict[str, Config]:
    """The configuration of each part of a file by its name; of a file without parts, one with an empty name."""
    from ai4land_coupler.config.parts import PartsConfig, load_run

    settings = load_run(config, overrides)
    if isinstance(settings, PartsConfig):
        return dict(settings.parts) if part is None else {part: settings.part(part)}
    refuse_part(part, config)
    return {"": settings}


def one_configuration(config: Path, overrides: tuple[str, ...], part: str | None) -> Config:
    """The configuration of a file without parts, or of one part."""
    from ai4land_coupler.config.sections import load_config

    return load_config(config, overrides) if part is None else configurations(config, overrides, part)[part]


def refuse_part(part: str | None, config: Path) -> None:
    """Refuse ``--part`` for a configuration without parts."""
    if part is not None:
        raise ConfigError("the run has no parts", found=f"--part {part}", where=config, remedy="leave --part out")

"""A component on the small twin, as tests of hosts want it: without torch, and without the offline loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai4land_coupler import LandComponent
from ai4land_coupler.config.sections import Config, parse_config

Raw = dict[str, Any]
PERSISTENCE = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
PHENOLOGY = {"name": "phenology", "options": {"legend": "hilda-v1.0-f", "start": 0.0}}


def config_of(raw: Raw, **parts: Any) -> Config:
    return parse_config({**raw, **parts}, Path.cwd(), "test")


def realized(raw: Raw, **parts: Any) -> LandComponent:
    """From the initial map, on the named grid ``host``."""
    component = LandComponent(config_of(raw, **parts))
    component.initialize()
    component.set_named_grid("host")
    component.realize()
    return component

"""The JSON Schema in the package is the one that the code generates."""

from importlib import resources

from ai4land_coupler.config.schema import json_schema


def test_schema_has_not_drifted() -> None:
    """Renew it with: ai4land schema > schemas/config.schema.json"""
    shipped = (resources.files("ai4land_coupler.schemas") / "config.schema.json").read_text()
    assert shipped == json_schema()

"""The JSON Schema of the configuration file, with which editors complete and check it."""

from __future__ import annotations

import json
from typing import Any

from ai4land_coupler.config.parts import PART_SECTIONS
from ai4land_coupler.config.sections import Config


def json_schema() -> str:
    """The JSON Schema of the configuration; ``schemas/config.schema.json`` holds it."""
    schema = Config.model_json_schema()
    sections = {name: schema["properties"][name] for name in PART_SECTIONS}
    part = {
        "type": "object",
        "description": "settings that this part has instead of the common ones",
        "additionalProperties": False,
        # Lists replace the common ones, so their items are complete. A mapping may be a part of a section.
        "properties": {
            name: section if section.get("type") == "array" else {"type": "object"}
            for name, section in sections.items()
        },
    }
    parts: dict[str, Any] = {
        "type": "object",
        "description": "a history backward in time and scenarios forward in time, which start from the same map",
        "additionalProperties": part,
    }
    schema["properties"]["parts"] = parts
    # With parts, each part may give its own years and predictors.
    common = [name for name in schema["required"] if name not in PART_SECTIONS]
    own = [name for name in schema["required"] if name in PART_SECTIONS]
    schema["required"] = common
    schema["anyOf"] = [{"required": own}, {"required": ["parts"]}]
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"

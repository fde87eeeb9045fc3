"""Data of the project: legends, crosswalks, the field dictionary, and the JSON Schema of the configuration."""

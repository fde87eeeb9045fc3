"""The run file: its sections, checked as a whole before anything starts."""

from ai4land_coupler.config.sections import Config, load_config

__all__ = ["Config", "load_config"]

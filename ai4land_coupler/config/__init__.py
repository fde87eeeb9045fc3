"""The configuration file of a run: its sections and its faults."""

from ai4land_coupler.config.sections import Config, load_config

__all__ = ["Config", "load_config"]

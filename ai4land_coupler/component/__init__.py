"""The land component: a host or the offline simulation initialises, runs and finalises it."""

from ai4land_coupler.component.component import LandComponent

__all__ = ["LandComponent"]

"""The component that a host or the offline simulation initialises, runs and finalises."""

from ai4land_coupler.component.component import LandComponent

__all__ = ["LandComponent"]

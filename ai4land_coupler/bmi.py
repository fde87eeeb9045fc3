"""The Basic Model Interface, under the path that BMI hosts are told: see ``ai4land_coupler.interfaces.bmi``."""

from ai4land_coupler.interfaces.bmi import LandBmi

__all__ = ["LandBmi"]

"""Gives stored maps as predictions, without torch. Useful for the first coupling tests of a host model."""

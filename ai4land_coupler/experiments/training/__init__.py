"""Trains predictors on pairs of maps."""

"""Predicts monthly leaf area index from land cover and air temperature. An example of a monthly predictor."""

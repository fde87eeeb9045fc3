"""Training of a predictor from maps."""

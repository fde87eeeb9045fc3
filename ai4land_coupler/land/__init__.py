"""One step on the land grid: inputs of tiles, predictors, allocation."""

"""One time step on the land grid: the inputs of tiles, the predictors and the allocation."""

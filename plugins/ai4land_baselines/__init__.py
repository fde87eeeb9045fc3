"""Simple predictors of land cover, with which a network must be compared: they need no GPU and train in minutes."""

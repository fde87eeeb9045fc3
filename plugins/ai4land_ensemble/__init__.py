"""The weighted mean of several predictors of land cover."""

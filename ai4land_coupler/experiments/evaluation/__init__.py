"""The evaluation of predictors and finished runs against observed maps (``ai4land evaluate``)."""

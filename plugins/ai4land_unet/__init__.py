"""The U-Net of AI4Land: predictor, training, and bundles of weights."""

"""The U-Net of AI4Land: predictor, training and the bundles of weights that it loads."""

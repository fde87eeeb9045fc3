"""An example of a distribution that adds to ai4land_coupler; it imports ``ai4land_coupler.api`` alone."""

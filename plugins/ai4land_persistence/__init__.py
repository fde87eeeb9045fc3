"""A baseline for land-cover predictions: land cover does not change."""

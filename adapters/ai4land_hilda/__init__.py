"""Observed land cover: HILDA+ maps (Winkler et al. 2021, https://doi.org/10.1038/s41467-021-22702-2)."""

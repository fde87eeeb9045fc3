"""Prepared inputs: the store that ``ai4land prepare`` makes, read with zarr only."""

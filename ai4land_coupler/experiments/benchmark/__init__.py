"""Benchmarks: any predictor on frozen data, against the same baselines (``ai4land benchmark``)."""

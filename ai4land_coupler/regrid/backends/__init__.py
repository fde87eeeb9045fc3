"""Regridding backends: ESMF, YAC, weight files. Each is a plugin."""

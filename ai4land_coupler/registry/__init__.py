"""Plugins: found through entry points, checked, and offered by name."""

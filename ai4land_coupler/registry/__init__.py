"""Finds plugins through entry points, checks them, and creates their objects by name."""

"""Reads variables by name from the adapters of a configuration, by year and window, and checks them."""

"""Variables by name from the adapters of a configuration: read by year and window, converted, checked."""

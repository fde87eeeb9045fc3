"""Static fields (elevation, slope, aspect, soil), interpolated to the grid that is asked for."""

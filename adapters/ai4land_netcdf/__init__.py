"""Any netCDF file on a regular latitude-longitude grid, its variables mapped by the configuration."""

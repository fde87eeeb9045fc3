"""Files on disk: writing that survives kills and power cuts, finding input files, and reading netCDF."""

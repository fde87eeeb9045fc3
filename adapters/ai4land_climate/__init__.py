"""Monthly climate of files as a host would send it (ERA5, CMIP), and series with one number a year (CO2)."""

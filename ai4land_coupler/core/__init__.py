"""Small basic types: years, grids, legends, fields, units, random numbers. No data files, no MPI."""

"""The words of the field as small types: years, grids, legends, fields, units, random numbers. No files, no MPI."""

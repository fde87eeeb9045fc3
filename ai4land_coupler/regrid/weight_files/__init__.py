"""Files of regrid weights (ESMF, SCRIP, CDO, YAC): read, written, checked against grids."""

"""Regrid weights that need no library: closed forms, bilinear, nearest."""

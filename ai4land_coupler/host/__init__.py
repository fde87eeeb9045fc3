"""Host grids, and the fields that hosts get and give."""

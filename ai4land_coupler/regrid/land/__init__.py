"""From the land grid to a host grid: which fine cells lie in which host cell, and sums over blocks."""

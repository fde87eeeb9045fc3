"""Runs the configurations that are given, on the ranks of mpiexec."""

import sys

from mpi4py import MPI

from ai4land_coupler import Simulation

for path in sys.argv[1:]:
    Simulation(path, MPI.COMM_WORLD).run()

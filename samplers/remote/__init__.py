"""Samplers on other machines: QPUs, coherent Ising machines, annealing clouds, and our own HTTP client and server."""

"""Ways to reach the distribution: one a file, all on top of the sweeps of `samplers.kernels`."""

"""Drug response: the comparison of the quantum head with its controls, sweeps, training runs and reports."""

"""Labels as units of the machine: p(z, y) over bits and one-hot labels, its fit, and plain classifiers to compare with."""

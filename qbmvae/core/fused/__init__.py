"""Drop-in CPU kernels for the hot parts of a step; each is tested against the plain torch reference in float64."""

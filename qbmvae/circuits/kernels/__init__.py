"""Compiled kernels of the frame engines (numba)."""

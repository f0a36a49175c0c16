"""Exact engines for gene circuits, and quantum backends: each samples bits, the exact ones also give probabilities."""

"""Experiments on perturbation response: synthetic truth, hold-outs, ablations, the phase table, reports."""

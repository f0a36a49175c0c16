"""What a model is judged by: plain functions of arrays, each tested against an independent implementation."""

from experiments.tasks.jax_cache import remember_compilations

# before any task imports scib-metrics, and JAX with it
remember_compilations()

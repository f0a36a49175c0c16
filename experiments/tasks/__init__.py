"""What a model is judged by: plain functions of arrays, each tested against an independent implementation."""

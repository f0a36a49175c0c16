"""Score an embedding, a trained run, or predictions for held-out cells."""

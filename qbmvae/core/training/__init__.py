"""The training loop: configuration, epochs, negative phase, checkpoints, several devices."""

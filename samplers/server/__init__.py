"""Serve any sampler over HTTP to other machines."""

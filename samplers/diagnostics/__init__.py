"""What samples say about themselves: temperature, mixing, verdict."""

"""Data sets by name, and a synthetic one whose truth is known."""

"""Cells on their way to the model: in memory or out of core, audited and aligned."""

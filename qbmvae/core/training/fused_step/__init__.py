"""A training step composed without the autograd engine, for CPU and float32."""

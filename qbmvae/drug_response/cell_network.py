"""The cell line's branch: 1-D convolutions over binary genomic features, or dense layers over an embedding."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

KERNEL, POOL = 8, 3
CHANNELS = (32, 64, 128)
# the narrowest input that leaves one position after three convolutions and poolings; narrower ones are zero-padded
LEAST_WIDTH = 118


def positions(n_features: int) -> int:
    """Return how many positions the three convolutions and poolings leave of an input of this width."""
    length = max(n_features, LEAST_WIDTH)
    for _ in CHANNELS:
        length = (length - KERNEL + 1) // POOL
    return length


class ConvCellEncoder(nn.Module):
    """Three convolutions of kernel 8 with max pooling of 3 and channels 32, 64, 128, then one dense layer to `n_out`.

    Those are GraphDRP's (Liu et al., 2020): 735 features leave 23 positions of 128 channels.

    Parameters
    ----------
    n_features
        Width of the binary feature vectors, any.
    n_out
        Width of the output.
    """

    def __init__(self, n_features: int, n_out: int = 128):
        super().__init__()
        self.n_features = n_features
        widths = (1, *CHANNELS)
        # as two-dimensional convolutions with the channels innermost: 1.7 times faster on a CPU than Conv1d
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, (1, KERNEL)) for a, b in pairwise(widths))
        self.dense = nn.Linear(CHANNELS[-1] * positions(n_features), n_out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `(n_lines, n_out)` for `(n_lines, n_features)` of 0 and 1."""
        padded = F.pad(features, (0, max(0, LEAST_WIDTH - self.n_features)))
        x = padded[:, None, None, :].contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            x = torch.relu(F.max_pool2d(convolution(x), (1, POOL)))
        return self.dense(x.flatten(1))


class DenseCellEncoder(nn.Module):
    """Two dense layers over real features, such as a QBM-VAE embedding of the line's expression.

    Parameters
    ----------
    n_features
        Width of the embedding.
    n_out
        Width of the output and of the hidden layer.

    Notes
    -----
    `mean` and `scale` standardise the features; `standardise` sets them from the training lines, and they are saved
    with the weights.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, n_features: int, n_out: int = 128):
        super().__init__()
        self.n_features = n_features
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.layers = nn.Sequential(nn.Linear(n_features, n_out), nn.ReLU(), nn.Linear(n_out, n_out))

    def standardise(self, features: torch.Tensor) -> None:
        """Set mean and scale from the training lines, `(n_lines, n_features)`; constant features keep scale 1."""
        self.mean.copy_(features.mean(0))
        deviation = features.std(0, correction=0)
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `(n_lines, n_out)` for `(n_lines, n_features)`."""
        return self.layers((features - self.mean) / self.scale)

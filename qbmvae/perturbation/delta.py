"""The delta predictor: a backbone's vector through a narrow quantum circuit (and a bypass) to a shift of every gene."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn

from qbmvae.circuits import BlockCircuit
from qbmvae.perturbation.options import Options


class _Bottleneck(nn.Module):
    """`width` backbone values to angles in +-pi, through the circuit (or its classical twin), (batch, n_outputs)."""

    def __init__(self, width: int, options: Options, seed: int | None = None):
        super().__init__()
        qubits = options.n_qubits * options.n_blocks
        self.project = nn.Linear(width, qubits)
        if options.bottleneck == "circuit":
            circuit = BlockCircuit(
                options.n_blocks,
                options.n_qubits,
                options.n_layers,
                seed=seed,
                angle_scale=options.angle_scale,
                readout=options.readout,
                entangle=options.entangle,
                normalise=options.normalise,
            )
            self.core: nn.Module = circuit.requires_grad_(not options.freeze_circuit)
            self.n_outputs = circuit.n_outputs
        else:
            # the same width in and out, and two trained layers between
            self.n_outputs = qubits * (3 if options.readout == "xyz" else 1)
            self.core = nn.Sequential(
                nn.Linear(qubits, self.n_outputs), nn.GELU(), nn.Linear(self.n_outputs, self.n_outputs)
            )

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Map (batch, width) to (batch, n_outputs)."""
        return self.core(math.pi * torch.tanh(self.project(h)))


def last_layer(network: nn.Sequential) -> nn.Linear:
    """Return the layer of a decoder that holds the genes' weights."""
    return cast(nn.Linear, network[-1])


def decoder(kind: str, inputs: int, n_genes: int) -> nn.Sequential:
    """Build a decoder to genes: "linear", "mlp512" (inputs-512-genes) or "deep" (inputs-512-1024-genes).

    Parameters
    ----------
    kind
        Its name.
    inputs
        Width of the input.
    n_genes
        Width of the output.
    """
    hidden: list[int] = {"linear": [], "mlp512": [512], "deep": [512, 1024]}[kind]
    layers: list[nn.Module] = []
    for a, b in zip([inputs, *hidden], hidden, strict=False):
        layers += [nn.Linear(a, b), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(([inputs, *hidden])[-1], n_genes))


class DeltaPredictor(nn.Module):
    """Predicts the shift of every gene, (batch, n_genes), from the backbone's vector, (batch, width).

    delta = scale * (bypass(h) + gate * decoder(circuit(angles(h)))); the caller adds the basal cell. With width 672,
    18,080 genes, four layers and X/Y/Z readout the circuit path has 457,480 trainable weights with a linear decoder and
    9,293,320 with "mlp512".

    Parameters
    ----------
    width, n_genes
        Sizes of input and output.
    options
        Switches; see `Options`.
    seed
        Of the circuit's initial angles.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    scale: torch.Tensor
    factor: torch.Tensor

    def __init__(self, width: int, n_genes: int, options: Options, seed: int | None = None):
        super().__init__()
        self.options, self.width, self.n_genes = options, width, n_genes
        # the scale of the inputs and of the deltas, and the cross-validated factor: set once from the training data
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("factor", torch.ones(()))
        self.bottleneck = _Bottleneck(width, options, seed) if options.bottleneck != "none" else None
        self.decoder = decoder(options.decoder, self.bottleneck.n_outputs, n_genes) if self.bottleneck else None
        self.gate = nn.Parameter(torch.zeros(())) if options.gate and self.bottleneck else None
        self.linear = nn.Linear(width, n_genes) if options.bypass != "none" else None
        self.hidden = decoder("mlp512", width, n_genes) if options.bypass == "mlp" else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
        if self.hidden is not None:
            nn.init.zeros_(last_layer(self.hidden).weight)
            nn.init.zeros_(last_layer(self.hidden).bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Return the shift in log1p expression; columns of h beyond `width` are the backbone's own shift, and added."""
        own, h = h[:, self.width :], (h[:, : self.width] - self.mean) / self.spread
        out = h.new_zeros(())
        if self.linear is not None:
            out = self.linear(h)
        if self.hidden is not None:
            out = out + self.hidden(h)
        if self.bottleneck is not None and self.decoder is not None:
            circuit = self.decoder(self.bottleneck(h))
            out = out + (circuit if self.gate is None else self.gate * circuit)
        out = out * self.scale
        return self.factor * (out + own if own.shape[1] else out)

    def copy_gene_map(self, weights: torch.Tensor) -> int:
        """Start the decoder's last layer at `weights` (n_genes, k), scaled to its own initial size; return columns copied.

        The two widths differ in general, so the leading left singular vectors of the backbone's map are taken.
        """
        if self.decoder is None or weights.shape[0] != self.n_genes:
            return 0
        last = last_layer(self.decoder).weight
        basis = torch.linalg.svd(weights.float(), full_matrices=False)[0][:, : last.shape[1]]
        with torch.no_grad():
            last[:, : basis.shape[1]] = basis * (last.std() / basis.std())
        return basis.shape[1]

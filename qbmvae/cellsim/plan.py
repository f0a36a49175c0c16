"""A simulation as a deterministic stream of blocks: the same blocks whether they stay in memory or go to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from qbmvae.cellsim import config as configuration
from qbmvae.cellsim import counts as sequencing
from qbmvae.cellsim.config import count, number, section_of
from qbmvae.cellsim.design import Condition, Design, build
from qbmvae.cellsim.reference import Reference, fit_reference
from qbmvae.cellsim.shots import Segment, segments
from samplers.errors import InputError

Progress = Callable[[int, int], None]
#: Entries (cells x genes) of one block.
BLOCK_ENTRIES = 2**23


@dataclass(frozen=True)
class Block:
    """Cells of one type and condition: counts `(n, n_genes)` CSR, columns of `.obs`, and the shots' bits."""

    counts: sp.csr_matrix
    obs: dict[str, np.ndarray]
    condition: str
    bits: np.ndarray | None


class Plan:
    """A simulation that is ready to run.

    Parameters
    ----------
    config
        Preset, YAML path or mapping (see `qbmvae.cellsim.simulate`).
    n_cells
        Cells per type and condition; replaces the configuration's.
    seed
        An integer; None takes the configuration's `seed`, or fresh entropy, which is recorded.
    reference
        What `fit_reference` returned, in place of activations and means of the configuration.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any],
        n_cells: int | None = None,
        seed: int | np.random.Generator | None = None,
        reference: Reference | None = None,
    ):
        self.settings = configuration.load(config)
        if n_cells is not None:
            n_cells = count(n_cells, "n_cells")
        self.design: Design = build(self.settings, n_cells, reference or _reference(self.settings))
        self.seed = _seed(self.settings.get("seed") if seed is None else seed)
        self._read_technical_settings()
        self.segments: dict[str, list[Segment]] = {
            c.name: segments(self.design, c, self._rng(i, 0)) for i, c in enumerate(self.design.conditions)
        }
        width = max(1, len(self.design.qubits) + self.design.n_genes)
        self.block_size = max(128, BLOCK_ENTRIES // width // 128 * 128)

    @property
    def n_rows(self) -> int:
        """Number of cells in all."""
        return sum(c.n_cells for c in self.design.conditions) * len(self.design.types)

    def _read_technical_settings(self) -> None:
        section = {k: section_of(self.settings.get(k), k) for k in configuration.KEYS if k and "." not in k}
        self.library_sigma = number(section["library"].get("sigma", 0.0), "library.sigma", 0.0)
        self.n_batches = count(section["batches"].get("n", 1), "batches.n") if section["batches"] else 0
        self.batch_sigma = number(section["batches"].get("sigma", 0.2), "batches.sigma", 0.0)
        self.ambient = number(section["ambient"].get("fraction", 0.0), "ambient.fraction", 0.0, 1.0)
        self.doublet_rate = number(section["doublets"].get("rate", 0.0), "doublets.rate", 0.0, 1.0)
        self.dropout = {k: number(v, f"dropout.{k}") for k, v in section["dropout"].items()}
        if "rate" in self.dropout:
            number(self.dropout["rate"], "dropout.rate", 0.0, 1.0)
            if len(self.dropout) > 1:
                raise InputError("dropout takes a rate, or a midpoint and a slope, not both")
        shape = (max(1, self.n_batches), self.design.n_genes)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0,)))
        self.batch_factors = sequencing.lognormal_factors(shape, self.batch_sigma if self.n_batches else 0.0, rng)

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1, *key)))

    def type_columns(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the qubits of a cell type, and the columns of their genes."""
        qubits = np.flatnonzero(self.design.qubit_type == t)
        return qubits, self.design.qubit_gene[qubits]

    def expected_profile(self, condition: Condition, t: int) -> np.ndarray:
        """Return the mean counts of a cell of a type before any gate acts, `(n_genes,)`."""
        qubits, columns = self.type_columns(t)
        profile = np.zeros(self.design.n_genes)
        profile[columns] = self.design.mean[qubits] * np.sin(np.pi * condition.activations[qubits] / 2) ** 2
        profile[len(self.design.genes) :] = condition.hk_mean
        return profile

    def blocks(self, progress: Progress | None = None) -> Iterator[Block]:
        """Yield blocks of cells: condition after condition, in each type after type, in each shot after shot.

        Parameters
        ----------
        progress
            Called after each block with (cells done, cells in all).
        """
        done = 0
        for c, condition in enumerate(self.design.conditions):
            for t in range(len(self.design.types)):
                for s, segment in enumerate(self.segments[condition.name]):
                    for b, first in enumerate(range(0, segment.n_shots, self.block_size)):
                        n = min(self.block_size, segment.n_shots - first)
                        # every type sees the same bits: they are drawn again, not stored
                        bits = segment.circuit.sample(n, self._rng(1, c, s, b))
                        shots = np.arange(first, first + n)
                        rng = self._rng(2, c, t, s, b)
                        yield self._block(condition, t, segment, shots, bits, rng)
                        done += n
                        if progress is not None:
                            progress(done, self.n_rows)

    def _block(
        self, condition: Condition, t: int, segment: Segment, shots: np.ndarray, bits: np.ndarray, rng: Any
    ) -> Block:
        n, design = len(shots), self.design
        library = self._library(t, n, rng)
        batch = rng.integers(max(1, self.n_batches), size=n)
        counts = self._counts(condition, t, bits, library, batch, rng)
        obs: dict[str, np.ndarray] = {
            "cell_type": np.full(n, t, dtype=np.int16),
            "shot": segment.start + shots,
            "library": library,
        }
        if self.n_batches:
            obs["batch"] = batch
        if self.doublet_rate:
            counts, obs["doublet_with"] = self._doublets(condition, counts, bits, library, batch, rng)
            obs["doublet"] = obs["doublet_with"] >= 0
        if self.ambient:
            soup = np.mean([self.expected_profile(condition, k) for k in range(len(design.types))], axis=0)
            counts = sequencing.add_ambient(counts, self.ambient * soup.sum() * library, soup, rng)
        if self.dropout:
            mean = self.expected_profile(condition, t)
            counts = sequencing.drop(counts, sequencing.dropout_probability(mean, self.dropout), rng)
        if segment.branch:
            obs["time"], obs["branch"] = np.full(n, segment.time), np.full(n, segment.branch, dtype=object)
        if segment.positions is not None:
            obs["x"], obs["y"] = segment.positions[t, shots].T
        counts.sort_indices()
        return Block(counts, obs, condition.name, bits if t == 0 else None)

    def _library(self, t: int, n: int, rng: np.random.Generator) -> np.ndarray:
        factors = sequencing.lognormal_factors((n,), self.library_sigma, rng)
        if self.design.reference is not None:
            factors = factors * self.design.reference.library_factors(t, n, rng)
        return factors

    def _counts(
        self, condition: Condition, t: int, bits: np.ndarray, library: np.ndarray, batch: np.ndarray, rng: Any
    ) -> sp.csr_matrix:
        qubits, columns = self.type_columns(t)
        n_regulated, scale = len(self.design.genes), library[:, None]
        factors = self.batch_factors[batch] if self.n_batches else np.ones((1, self.design.n_genes))
        own = sequencing.expressed(
            bits[:, qubits], self.design.mean[qubits], self.design.size[qubits], scale * factors[:, columns], rng
        )
        own = sp.csr_matrix((own.data, columns[own.indices], own.indptr), shape=(len(bits), n_regulated))
        n_hk = len(self.design.housekeeping)
        if not n_hk:
            return own
        mean = np.broadcast_to(condition.hk_mean * scale * factors[:, n_regulated:], (len(bits), n_hk))
        housekeeping = sequencing.negative_binomial(mean, np.array(condition.hk_size), rng).astype(np.int32)
        return sp.csr_matrix(sp.hstack([own, sp.csr_matrix(housekeeping)], format="csr"))

    def _doublets(
        self, condition: Condition, counts: sp.csr_matrix, bits: np.ndarray, library: np.ndarray, batch: Any, rng: Any
    ) -> tuple[sp.csr_matrix, np.ndarray]:
        """Add a second cell, of any type and any shot of the block, to some droplets; return its type, or -1."""
        partner = np.where(
            rng.random(len(bits)) < self.doublet_rate, rng.integers(len(self.design.types), size=len(bits)), -1
        )
        total = counts.tolil()
        for t in range(len(self.design.types)):
            rows = np.flatnonzero(partner == t)
            if len(rows):
                shots = rng.integers(len(bits), size=len(rows))
                total[rows] += self._counts(condition, t, bits[shots], library[rows], batch[rows], rng)
        return total.tocsr(), partner


def _reference(settings: dict[str, Any]) -> Reference | None:
    section = section_of(settings.get("reference"), "reference")
    if not section:
        return None
    if "path" not in section:
        raise InputError("reference needs the path of an .h5ad file")
    if settings.get("cell_types"):
        raise InputError("give cell_types or a reference, not both: a reference brings its own types, genes and counts")
    import anndata

    adata = anndata.read_h5ad(section["path"])
    return fit_reference(adata, section.get("cell_type_key", "cell_type"), section.get("genes"), section.get("layer"))


def _seed(seed: Any) -> int:
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**32))
    return count(seed, "seed", 0)

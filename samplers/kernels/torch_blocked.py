"""The same sweeps in torch, for GPUs: dense in blocks, bipartite side by side, sparse colour by colour."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from samplers.problem import Ising

BLOCK = 64


class TorchChains:
    """Chains on a torch device; the same face as `Chains`.

    Attributes
    ----------
    spins
        `(n, num)` float32 in {-1, +1}.
    generator
        The random numbers of all chains, on the device.
    own
        `(n, num)` float32, what each chain adds to the kernel's fields F = -h; None where nothing is added.
    """

    def __init__(self, spins: torch.Tensor, generator: torch.Generator):
        self.spins = spins
        self.generator = generator
        self.energies = torch.zeros(spins.shape[1], dtype=torch.float64, device=spins.device)
        self.num = spins.shape[1]
        self.phase = 0
        self.own: torch.Tensor | None = None

    def assign(self, fields: np.ndarray) -> None:
        """Give chains problems of their own: `fields`, `(k, n)`, are added to h for k equal shares of the chains."""
        each = self.num // len(fields)
        own = torch.as_tensor(np.ascontiguousarray(-fields.T, dtype=np.float32), device=self.spins.device)
        self.own = own.repeat_interleave(each, dim=1)

    @property
    def n(self) -> int:
        """Number of spins."""
        return self.spins.shape[0]

    def states(self) -> np.ndarray:
        """Return the spins as `(num, n)` int8."""
        return self.spins.T.to(torch.int8).contiguous().cpu().numpy()

    def energy(self) -> np.ndarray:
        """Return the running energies, `(num,)`."""
        return self.energies.cpu().numpy()

    def take(self, rows: np.ndarray) -> None:
        """Replace chain k by a copy of chain `rows[k]`."""
        index = torch.as_tensor(rows, device=self.spins.device)
        self.spins, self.energies = self.spins[:, index], self.energies[index]

    def state(self) -> dict[str, Any]:
        """Return everything as arrays and plain values."""
        return {
            "num": self.num,
            "phase": self.phase,
            "spins": self.spins.to(torch.int8).cpu().numpy(),
            "streams": self.generator.get_state().numpy().copy(),
            "energies": self.energy().copy(),
        }


class TorchKernel:
    """Sweeps of one problem on a torch device, the same Markov chain as `dispatch.Kernel`'s, or one of equal law.

    Parameters
    ----------
    problem
        The problem; couplings are float32.
    device
        A torch device, such as "cuda".
    """

    def __init__(self, problem: Ising, device: str):
        self.problem = problem
        self.device = torch.device(device)
        self._fields = self._tensor(-problem.h)[:, None]
        # where every site sees every other, sweeps go block by block; else all sites of a part at once
        self._couplings = self._tensor(-problem.dense) if problem.layout == "dense" else None
        self._parts = self._independent() if self._couplings is None else []

    def random(self, num: int, rng: np.random.Generator) -> TorchChains:
        """Return `num` chains of fair coins."""
        generator = self._generator(rng)
        bits = torch.randint(0, 2, (self.problem.n, num), generator=generator, device=self.device)
        return TorchChains(bits.float() * 2 - 1, generator)

    def start(self, states: np.ndarray, rng: np.random.Generator) -> TorchChains:
        """Return one chain a row of `states`, `(num, n)`."""
        return TorchChains(self._tensor(np.asarray(states).T), self._generator(rng))

    def restore(self, state: dict[str, Any]) -> TorchChains:
        """Return the chains of which `TorchChains.state` was taken."""
        chains = TorchChains(self._tensor(state["spins"]), torch.Generator(self.device))
        chains.generator.set_state(torch.as_tensor(np.asarray(state["streams"], dtype=np.uint8)))
        chains.energies = torch.as_tensor(np.array(state["energies"]), device=self.device)
        chains.phase = int(state["phase"])
        return chains

    def sweep(self, chains: TorchChains, beta: float | np.ndarray, num_sweeps: int = 1) -> None:
        """Update every spin of every chain `num_sweeps` times at `beta`, a number or `(num,)`.

        Parameters
        ----------
        chains
            The chains; written.
        beta
            Inverse temperature, a number or one a chain, `(num,)`.
        num_sweeps
            How many.
        """
        two_beta = self._tensor(np.broadcast_to(2.0 * np.asarray(beta), (chains.num,)))
        for _ in range(num_sweeps):
            update = _metropolis if chains.phase % 2 else _gibbs
            chains.phase += 1
            if self._couplings is not None:
                self._sweep_blocks(self._couplings, chains, two_beta, update)
                continue
            for sites, couplings, seen in self._parts:
                field = couplings @ chains.spins[seen] + self._fields_of(chains, sites)
                old = chains.spins[sites].clone()  # a slice would be a view
                noise = torch.rand(old.shape, generator=chains.generator, device=self.device)
                new = update(field, old, two_beta, noise)
                chains.spins[sites] = new
                chains.energies -= ((new - old) * field).sum(0)

    def _sweep_blocks(self, J: torch.Tensor, chains: TorchChains, two_beta: torch.Tensor, update: Any) -> None:
        spins = chains.spins
        for first in range(0, len(spins), BLOCK):
            last = min(first + BLOCK, len(spins))
            field = J[first:last] @ spins + self._fields_of(chains, slice(first, last))
            noise = torch.rand(field.shape, generator=chains.generator, device=self.device)
            before = spins[first:last].clone()
            for i in range(last - first):
                new = update(field[i], before[i], two_beta, noise[i])
                spins[first + i] = new
                # later sites of the block owe this one's change
                field[i + 1 :] += torch.outer(J[first + i + 1 : last, first + i], new - before[i])
            chains.energies -= ((spins[first:last] - before) * field).sum(0)

    def track(self, chains: TorchChains, beta: float = 1.0) -> np.ndarray:
        """Set the running energies in float32 and return them."""
        del beta
        if self._couplings is not None:
            pushed = self._couplings @ chains.spins
        else:
            pushed = torch.empty_like(chains.spins)
            for sites, couplings, seen in self._parts:
                pushed[sites] = couplings @ chains.spins[seen]
        fields = self._fields_of(chains, slice(None))
        energies = -(chains.spins * (0.5 * pushed + fields)).sum(0, dtype=torch.float64)
        chains.energies = energies + self.problem.offset
        return chains.energy()

    def measure(self, chains: TorchChains) -> np.ndarray:
        """Set the running energies to the problem's (float64) and return them."""
        chains.energies = torch.as_tensor(self.problem.energies(chains.states()), device=self.device)
        if chains.own is not None:
            chains.energies -= (chains.spins * chains.own).sum(0, dtype=torch.float64)
        return chains.energy()

    def _fields_of(self, chains: TorchChains, sites: Any) -> torch.Tensor:
        return self._fields[sites] if chains.own is None else self._fields[sites] + chains.own[sites]

    def _independent(self) -> list[tuple[Any, torch.Tensor, Any]]:
        """Return sets of sites without couplings among them, their couplings and the sites that these see."""
        if (nv := self.problem.n_visible) is not None:
            visible, hidden = slice(0, nv), slice(nv, None)
            block = self._tensor(-self.problem.block)
            return [(hidden, block.T.contiguous(), visible), (visible, block, hidden)]
        parts = []
        for sites in colours(self.problem):
            rows = self.problem.sparse[sites].tocsr()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # "CSR support is in beta"
                couplings = torch.sparse_csr_tensor(
                    torch.as_tensor(rows.indptr.astype(np.int64)), torch.as_tensor(rows.indices.astype(np.int64)),
                    torch.as_tensor(-rows.data.astype(np.float32)), size=rows.shape,
                )  # fmt: skip
            parts.append((torch.as_tensor(sites, device=self.device), couplings.to(self.device), slice(None)))
        return parts

    def _tensor(self, array: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(array, dtype=np.float32), device=self.device)

    def _generator(self, rng: np.random.Generator) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))


def colours(problem: Ising) -> list[np.ndarray]:
    """Return the sites in sets without couplings inside, by greedy colouring in the order of falling degree."""
    matrix = problem.sparse
    colour = np.full(problem.n, -1)
    for site in np.argsort(-np.diff(matrix.indptr), kind="stable"):
        taken = set(colour[matrix.indices[matrix.indptr[site] : matrix.indptr[site + 1]]])
        colour[site] = next(c for c in range(problem.n) if c not in taken)
    return [np.flatnonzero(colour == c) for c in range(colour.max(initial=-1) + 1)]


def _gibbs(field: torch.Tensor, old: torch.Tensor, two_beta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return (noise < torch.sigmoid(two_beta * field)).float() * 2 - 1


def _metropolis(field: torch.Tensor, old: torch.Tensor, two_beta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return torch.where(noise < torch.exp(-two_beta * old * field), -old, old)

r"""A Boltzmann machine over bits and labels.

.. math:: p(z, y) = \exp\Bigl(-E(z) + \sum_g U_{g, y_g} \cdot z + c_y\Bigr), \qquad c_y = \log \pi_y - \log Z_y

with the energy E of a prior over bits, one one-hot unit a label in each group g (a column of labels), and
:math:`Z_y = \sum_z \exp(-E(z) + \sum_g U_{g, y_g} \cdot z)`: each label has its own fields and all share the couplings. With
this c the labels have the shares :math:`\pi_y` and the machine is normalised. Given the bits, the label is a softmax.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from qbmvae.core.priors.base import DiscretePrior
from samplers.errors import InputError
from samplers.problem import Ising

#: Draws of the code from which a cell's label is predicted, in antithetic pairs.
DRAWS = 32
#: Combinations of several groups' labels, at most.
COMBINATIONS = 512
#: Log of the weight that `joint_problem` leaves to states which are not one-hot, at most, a pair of labels.
LEAK = -14.0


class LabelMachine(nn.Module):
    """Bits and labels.

    Parameters
    ----------
    prior
        Where fields and couplings of the bits start: it is copied, for given the labels the bits' couplings differ.
    groups
        Number of labels of each group.

    Attributes
    ----------
    prior
        The machine's own energy of the bits.
    U
        Couplings of labels and bits, `(sum of groups, n_latent)`.
    design
        Which labels make up each combination, `(n_combinations, sum of groups)` in {0, 1}; of one group the identity.
    log_shares
        Log shares of the combinations, `(n_combinations,)`.
    log_z, log_z_error
        log Z of the bits given each combination, and its standard error, in nats.

    Raises
    ------
    InputError
        For labels of more combinations than are coupled.
    """

    design: Tensor
    log_shares: Tensor
    log_z: Tensor
    log_z_error: Tensor

    def __init__(self, prior: DiscretePrior, groups: Sequence[int]):
        super().__init__()
        if math.prod(groups) > COMBINATIONS:
            raise InputError(
                f"{' x '.join(map(str, groups))} labels make {math.prod(groups)} combinations, at most {COMBINATIONS} are "
                "coupled: use fewer or coarser labels"
            )
        self.prior = copy.deepcopy(prior)
        self.groups = tuple(groups)
        self.U = nn.Parameter(torch.zeros(sum(groups), prior.n_latent))
        starts = np.cumsum([0, *groups[:-1]])
        chosen = [[s + i for s, i in zip(starts, each, strict=True)] for each in itertools.product(*map(range, groups))]
        design = torch.zeros(len(chosen), sum(groups))
        for row, columns in enumerate(chosen):
            design[row, columns] = 1
        self.register_buffer("design", design)
        for name in ("log_shares", "log_z", "log_z_error"):
            self.register_buffer(name, torch.zeros(len(chosen), dtype=torch.float64))

    @property
    def constants(self) -> Tensor:
        """c: log shares less log Z, `(n_combinations,)` float64."""
        return self.log_shares - self.log_z

    def fields(self) -> Tensor:
        """Return what each combination adds to the bits' fields, `(n_combinations, n_latent)`."""
        return self.design @ self.U

    def problem(self, combination: int) -> Ising:
        """Return the bits given a combination of labels, as an Ising problem; its log Z is `log_z`."""
        with torch.no_grad():
            field = self.fields()[combination].double().cpu().numpy()
        return with_bit_fields(self.prior.problem(), field)

    # -- given the bits ---------------------------------------------------------------------------------------------

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log p(y, z) + E(z) of each combination, `(..., n_combinations)`: its softmax is p(y | z)."""
        return z @ self.fields().T + self.constants.to(z)

    def probabilities(self, parameters: Tensor, draws: int = DRAWS) -> Tensor:
        """Return p(y | x) of each combination: the mean of p(y | z) over draws of the posterior.

        All cells use the same uniform numbers, in antithetic pairs: a cell's prediction does not depend on which other
        cells are predicted.

        Parameters
        ----------
        parameters
            Bit logits, `(n_cells, n_latent)`.
        draws
            Draws of the code, even.

        Returns
        -------
        `(n_cells, n_combinations)`, rows sum to 1.
        """
        return torch.stack([self.log_joint(z).softmax(-1) for z in _common_draws(parameters, draws)]).mean(0)

    def expected_energy(self, parameters: Tensor, targets: Tensor) -> Tensor:
        """Return E[-log p(z, y)] of each cell in nats, `(n_cells,)`, labels clamped (one-hot targets) or soft; exact.

        Parameters
        ----------
        parameters
            Bit logits, `(n_cells, n_latent)`.
        targets
            Probabilities of the combinations, `(n_cells, n_combinations)`.
        """
        q = torch.sigmoid(parameters)
        # a combination without a share takes no part
        pushed = (targets * torch.where(targets > 0, self.log_joint(q), torch.zeros_like(targets))).sum(-1)
        return self.prior.expected_energy(q, q) - pushed

    def free_energy(self, parameters: Tensor, draws: int = DRAWS) -> Tensor:
        """Return E_q[-log p(z)], the labels summed out, of each cell in nats, `(n_cells,)`."""
        summed, energies = [], []
        for z in _common_draws(parameters, draws):
            summed.append(self.log_joint(z).logsumexp(-1))
            if not self.prior.exact_expectation:
                energies.append(self.prior.energy(z))
        q = torch.sigmoid(parameters)
        energy = torch.stack(energies).mean(0) if energies else self.prior.expected_energy(q, q)
        return energy - torch.stack(summed).mean(0)

    def marginal(self, probabilities: Tensor, group: int) -> Tensor:
        """Return one group's probabilities, `(n_cells, groups[group])`: the other groups are summed out."""
        shaped = probabilities.reshape(-1, *self.groups)
        others = [axis + 1 for axis in range(len(self.groups)) if axis != group]
        return shaped.sum(others) if others else shaped

    # -- as one problem ---------------------------------------------------------------------------------------------

    def joint_problem(self, names: Sequence[str]) -> Ising:
        """Return bits, then hidden units, then label units as one Ising problem; labels name the label spins.

        A penalty keeps each group one-hot: states that are not weigh less than exp(-14) a pair of labels. Clamp labels
        to sample it: single spin flips hardly ever cross the penalty.

        Parameters
        ----------
        names
            Of the label spins, `(sum of groups,)`.

        Raises
        ------
        InputError
            For more than two groups, whose constants are not pairwise.
        """
        if len(self.groups) > 2:
            raise InputError("three or more groups of labels are no pairwise problem: clamp them, or use two")
        with torch.no_grad():
            U, c, log_z = (t.double().cpu().numpy() for t in (self.U, self.constants, self.log_z))
        bits, n = self.prior.problem(), self.prior.n_latent
        up, down = np.maximum(U, 0).sum(1), np.maximum(-U, 0).sum(1)
        # log Z without any label, and with one more label than allowed, are bounded by what the fields can add
        without = (log_z + self.design.double().cpu().numpy() @ down).max()
        penalty = max(without, 1.5 * (up.max() - min(log_z.min(), 0.0)), 0.0) - LEAK
        # a combination that never occurs is kept out by the penalty
        table = np.where(np.isfinite(c), c, -penalty).reshape(self.groups)
        total = len(U)
        linear, pairs = np.zeros(total), np.zeros((total, total))
        if len(self.groups) == 1:
            linear += table
        else:
            pairs[: self.groups[0], self.groups[0] :] = table
        start = 0
        for size in self.groups:
            linear[start : start + size] += penalty
            pairs[start : start + size, start : start + size] -= 2 * penalty * np.triu(np.ones((size, size)), 1)
            start += size
        pairs += pairs.T
        b = np.zeros(bits.n + total)
        b[bits.n :] = linear
        W = np.zeros((bits.n + total, bits.n + total))
        W[:n, bits.n :] = U.T
        W[bits.n :, :n] = U
        W[bits.n :, bits.n :] = pairs
        labels = Ising.from_binary(b, W)
        h = labels.h + np.concatenate([bits.h, np.zeros(total)])
        J = labels.dense.copy()
        J[: bits.n, : bits.n] += bits.dense
        offset = labels.offset + bits.offset + penalty * len(self.groups)
        couplings = J if bits.layout == "dense" else sp.csr_array(J)
        return Ising(h, couplings, offset=offset, labels=[*range(bits.n), *names])


def with_bit_fields(problem: Ising, field: np.ndarray) -> Ising:
    """Return the problem with `field` nats added to the field of each of the first bits in {0, 1}."""
    shift = np.zeros(problem.n)
    shift[: len(field)] = -field / 2
    return problem.with_fields(problem.h + shift, problem.offset - field.sum() / 2)


def _common_draws(parameters: Tensor, draws: int, seed: int = 0) -> list[Tensor]:
    """Return draws of the posterior, each `(n_cells, n_latent)` in {0, 1}, that use the same numbers for every cell."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.sigmoid(parameters)
    uniform = torch.rand(draws // 2, q.shape[-1], generator=generator).to(q.device)
    return [(u < q).to(q) for row in uniform for u in (row, 1 - row)]

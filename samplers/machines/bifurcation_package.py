"""The `simulated-bifurcation` package behind the contract."""

from __future__ import annotations

from typing import Literal

import numpy as np

from samplers.checks import integer, one_of
from samplers.errors import needs
from samplers.machines.optimiser import Optimiser
from samplers.request import Request


class SimulatedBifurcationPackage(Optimiser):
    """Simulated bifurcation by the `simulated-bifurcation` package (torch).

    The package rescales the couplings itself, so that its temperature cannot be set: its raw reads are an optimiser's.

    Parameters
    ----------
    mode
        "discrete" or "ballistic".
    heated
        Whether to heat the oscillators.
    num_steps
        Steps in a run.
    correction_sweeps
        Gibbs sweeps that finish the reads; 0 gives the package's raw reads.

    Raises
    ------
    MissingExtraError
        Where `simulated-bifurcation` is not installed.
    """

    name = "simulated-bifurcation-package"
    told = ("mode", "heated")

    def __init__(
        self,
        mode: Literal["discrete", "ballistic"] = "discrete",
        *,
        heated: bool = True,
        num_steps: int = 500,
        correction_sweeps: int = 5,
    ):
        self.mode = one_of("mode", mode, ("discrete", "ballistic"))
        self.heated = bool(heated)
        self.num_steps = integer("num_steps", num_steps)
        self.correction_sweeps = integer("correction_sweeps", correction_sweeps, 0)
        with needs("simulated-bifurcation", "machines"):
            import simulated_bifurcation  # noqa: F401

    def _raw(self, request: Request, rng: np.random.Generator) -> np.ndarray:
        import simulated_bifurcation
        import torch

        problem, num_reads, beta = request.problem, request.num_reads, request.beta
        couplings = torch.as_tensor(problem.dense * (beta / 2), dtype=torch.float32)
        fields = torch.as_tensor(problem.h * beta, dtype=torch.float32)
        # the package draws from torch's global stream
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            spins, _ = simulated_bifurcation.minimize(
                couplings, fields, domain="spin", agents=num_reads, max_steps=self.num_steps, best_only=False,
                mode=self.mode, heated=self.heated, verbose=False, early_stopping=False,
            )  # fmt: skip
        return spins.reshape(num_reads, problem.n).numpy().astype(np.int8)

"""Temperature control: the scale at which a machine must see the problem so that its reads are at the stated beta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from samplers.checks import integer, one_of, positive, share
from samplers.draws import Draws, Seed
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.quantisation import quantise_problem
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper
from samplers.wrappers.readout import Readout, fit_readout

#: an estimate this uncertain (relative standard error) counts half
DOUBTFUL = 0.2
#: a change of the gain beyond this (in its logarithm) is no noise: it is followed at once
LEAP = 0.15
#: largest factor by which one draw may change the scale
LARGEST_STEP = 4.0


class TemperatureControl(Wrapper):
    r"""A loop around a machine of unknown temperature: measure the reads' beta, correct the scale, again at each draw.

    The machine sees the problem times `scale` and samples at some gain times what it sees. The gain is fitted to the
    reads and followed by an exponential moving average of its logarithm, in which an uncertain estimate counts less
    and a leap is followed at once; the next scale is the inverse of the gain. Where the machine publishes its limits
    ("bits", "h_range", "j_range" among its properties), the fit is against the coefficients that it could take, so that
    clipping is not mistaken for heat. `info` has the "scale" that a draw used, the reads' "effective_beta" and its
    error, and the "flip_rate" of a readout fit.

    Parameters
    ----------
    sampler
        The machine, or its name.
    scale
        The scale of the first draw.
    rate
        Weight of the newest estimate in the moving average, between 0 and 1.
    fit
        "readout" fits beta and the readout flip rate jointly; "pseudo-likelihood" fits beta alone.
    """

    name = "temperature-control"

    def __init__(
        self,
        sampler: Sampler | str,
        *,
        scale: float = 1.0,
        rate: float = 0.5,
        fit: Literal["readout", "pseudo-likelihood"] = "readout",
    ):
        super().__init__(sampler)
        self.scale = positive("scale", scale)
        self.rate = share("rate", rate)
        self.fit = one_of("fit", fit, ("readout", "pseudo-likelihood"))

    def _draw(self, request: Request) -> Draws:
        problem, beta, scale = request.problem, request.beta, self.scale
        draws = self.child.ask(request.replace(problem=problem.scaled(scale)))
        info = {**draws.info, "scale": scale}
        found = self._measure(problem, draws)
        if found is not None:
            info |= {"effective_beta": found.beta, "effective_beta_error": found.beta_error, "flip_rate": found.flip}
            if beta > 0:
                self._learn(self._gain(problem.scaled(scale * beta), draws, found, scale * beta))
        return Draws(draws.states, draws.log_weights, info=info)

    def calibrate(
        self, problem: Ising, num_reads: int = 1000, beta: float = 1.0, *, rounds: int = 8, seed: Seed = None
    ) -> list[float]:
        """Run the loop on one problem before it is needed; return the scale after each round.

        Parameters
        ----------
        problem, num_reads, beta, seed
            As in `draw`.
        rounds
            How many draws to spend.
        """
        rng = np.random.default_rng(seed)
        scales = []
        for _ in range(integer("rounds", rounds)):
            self.draw(problem, num_reads, beta, seed=rng)
            scales.append(self.scale)
        return scales

    def _state(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.scale = float(state.get("scale", self.scale))

    def _measure(self, problem: Ising, draws: Draws) -> Readout | None:
        try:
            if self.fit == "readout":
                return fit_readout(problem, draws.states, draws.log_weights)
            from samplers.diagnostics.temperature import effective_beta

            return Readout(*effective_beta(problem, draws.states, weights=draws.weights), 0.0, 0.0)
        except InputError:
            # free spins tell no temperature: the scale stays
            return None

    def _gain(self, asked: Ising, draws: Draws, found: Readout, factor: float) -> Readout:
        """Return the fit of the reads against what the machine could take of the problem `asked`."""
        limits = {
            k: v for k, v in self.child.properties.items() if k in ("bits", "h_range", "j_range") and v is not None
        }
        if limits:
            taken, _ = quantise_problem(asked, **{"bits": None, **limits})
            found, factor = self._measure(taken, draws) or found, 1.0
        return Readout(found.beta / factor, found.beta_error / factor, found.flip, found.flip_error)

    def _learn(self, gain: Readout) -> None:
        if not np.isfinite(gain.beta) or gain.beta <= 0:
            # frozen reads, or reads hotter than infinite temperature: a step that tells more
            self.scale *= 1 / LARGEST_STEP if gain.beta > 0 else LARGEST_STEP
            return
        relative = gain.beta_error / gain.beta
        trust = 1.0 / (1.0 + (relative / DOUBTFUL) ** 2)
        step = np.log(gain.beta) + np.log(self.scale)
        weight = trust * (1.0 if abs(step) > LEAP else self.rate)
        bound = np.log(LARGEST_STEP)
        self.scale = float(np.exp(np.log(self.scale) - weight * np.clip(step, -bound, bound)))

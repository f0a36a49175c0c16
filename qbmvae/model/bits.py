"""What each bit of a trained model means: genes that it moves, labels that it tells, bits that it is coupled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from qbmvae.core.networks import Covariates
from qbmvae.core.priors.base import DiscretePrior
from qbmvae.core.priors.boltzmann import BernoulliPrior, BoltzmannPrior
from qbmvae.model.module import QBMVAEModule
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    import networkx as nx

#: Cells whose bits are flipped, cells decoded at once, and draws of the prior that measure the couplings' errors.
CELLS, CHUNK, DRAWS = 500, 512, 4096
#: Genes and partners named in a table.
NAMED_GENES, NAMED_PARTNERS = 8, 3


@torch.inference_mode()
def effects(module: QBMVAEModule, codes: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of expected log expression when each bit turns on, and its spread over the cells.

    For each cell and bit, the cell's code is decoded with the bit on and with the bit off, the other bits as they are and
    the covariates averaged out; natural logarithms of the expected frequencies (means, of a Gaussian likelihood).

    Parameters
    ----------
    module
        A trained model over bits.
    codes
        Bits of some cells, `(n_cells, n_latent)` in {0, 1}.

    Returns
    -------
    Mean and standard deviation over cells, each `(n_latent, n_genes)`.
    """
    vae, device = module.vae, module.device
    nowhere = Covariates((), averaged=tuple(module.averaged_categories.tolist()))

    def expression(z: Tensor) -> Tensor:
        logits = torch.cat([vae.decode_logits(part.to(device), nowhere)[0] for part in z.split(CHUNK)])
        return logits if vae.gene_likelihood == "gaussian" else torch.log_softmax(logits, -1)

    base = expression(codes)
    mean, spread = np.empty((2, module.n_latent, vae.n_input), dtype=np.float32)
    for bit in range(module.n_latent):
        flipped = codes.clone()
        flipped[:, bit] = 1 - codes[:, bit]
        change = (expression(flipped) - base) * (1 - 2 * codes[:, bit : bit + 1]).to(device)
        mean[bit] = change.mean(0).cpu()
        spread[bit] = change.std(0, unbiased=False).cpu()
    return mean, spread


def coupling_errors(prior: BoltzmannPrior, states: np.ndarray, n_cells: int) -> np.ndarray:
    r"""Return the standard error of each coupling, as the number of training cells leaves it, `(n_latent, n_latent)`.

    From the pseudo-likelihood: bit i given its neighbours is a logistic regression whose Fisher information is
    :math:`N\, E[\mu_i (1 - \mu_i)\, \tilde z \tilde z^T]` with :math:`\tilde z` the neighbours and a 1 (Besag 1975). A
    coupling has two such errors, of which the larger is returned; infinite where the reads say nothing of a pair, and
    where the mask allows no coupling.

    Parameters
    ----------
    prior
        The trained prior.
    states
        Reads of it, `(n_reads, n_latent)` in {0, 1}.
    n_cells
        Number of training cells.
    """
    b, W, mask = (t.detach().cpu().double().numpy() for t in (prior.bias, prior.W, prior.mask))
    z = states.astype(np.float64)
    mu = 1 / (1 + np.exp(-(z @ W + b)))
    design = np.concatenate([z, np.ones((len(z), 1))], axis=1)
    error = np.full(W.shape, np.inf)
    for i in range(len(W)):
        partners = np.flatnonzero(mask[i])
        x = design[:, [*partners, len(W)]]
        information = n_cells * (x * (mu[:, i] * (1 - mu[:, i]))[:, None]).T @ x / len(x)
        # a partner that never changes leaves no information: a little of the diagonal keeps the inverse finite
        values, vectors = np.linalg.eigh(information)
        weak = values <= 1e-9 * max(values.max(), 1e-300)
        inverse = (vectors**2 / np.where(weak, np.nan, values)).T
        unknown = (vectors[:, weak] ** 2).sum(1) > 1e-6
        variance = np.where(unknown, np.inf, np.nansum(inverse, axis=0))
        error[i, partners] = np.sqrt(variance[:-1])
    return np.maximum(error, error.T)


def graph(
    prior: DiscretePrior, errors: np.ndarray | None, activity: np.ndarray, threshold: float, names: Mapping[int, str]
) -> nx.Graph:
    """Return the couplings that stand out of their errors as a graph; see `QBMVAE.coupling_graph`.

    Parameters
    ----------
    prior
        The model's.
    errors
        Standard error of each coupling, `(n, n)`; None for a prior without couplings.
    activity
        Mean of each bit, `(n,)`.
    threshold
        How many standard errors a coupling must exceed.
    names
        Of programmes, by bit.
    """
    import networkx as nx

    found = nx.Graph()
    for bit in range(prior.n_latent):
        found.add_node(bit, activity=float(activity[bit]), name=names.get(bit, f"bit {bit}"))
    if isinstance(prior, BernoulliPrior):
        return found
    assert errors is not None
    W = prior.W.detach().cpu().double().numpy()  # type: ignore[union-attr, operator]
    for i, j in zip(*np.triu_indices(len(W), 1), strict=True):
        if W[i, j] != 0 and abs(W[i, j]) > threshold * errors[i, j]:
            found.add_edge(int(i), int(j), weight=float(W[i, j]), error=float(errors[i, j]))
    return found


def table(
    effect: pd.DataFrame,
    q: np.ndarray,
    found: nx.Graph | None,
    label_log_odds: pd.DataFrame | None,
    names: Mapping[int, str],
) -> pd.DataFrame:
    """Return one row a bit; see `QBMVAE.bit_table`.

    Parameters
    ----------
    effect
        Of `QBMVAE.bit_effects`, `(n_latent, n_genes)`.
    q
        Bit probabilities of cells, `(n_cells, n_latent)`.
    found
        The graph of the couplings, or None.
    label_log_odds
        Log odds of each bit in each label against the other cells, `(n_latent, n_labels)`, or None.
    names
        Of the programmes that are one bit.
    """
    values, genes = effect.to_numpy(), np.asarray(effect.columns, dtype=object)
    order = np.argsort(values, axis=1, kind="stable")
    rows: dict[str, list[Any]] = {
        "name": [names.get(bit, "") for bit in range(len(values))],
        "activity": q.mean(0).tolist(),
        "spread": q.std(0).tolist(),
        "effect": np.sqrt((values**2).mean(1)).tolist(),
        "up": [", ".join(genes[row[::-1][:NAMED_GENES]]) for row in order],
        "down": [", ".join(genes[row[:NAMED_GENES]]) for row in order],
    }
    if label_log_odds is not None:
        odds = label_log_odds.to_numpy()
        best = np.abs(odds).argmax(1)
        rows["label"] = [str(label_log_odds.columns[k]) for k in best]
        rows["label_log_odds"] = odds[np.arange(len(odds)), best].tolist()
    if found is not None:
        rows["partners"] = [", ".join(_partners(found, bit)) for bit in range(len(values))]
    return pd.DataFrame(rows, index=pd.Index(range(len(values)), name="bit"))


def _partners(found: nx.Graph, bit: int) -> list[str]:
    edges = sorted(found[bit].items(), key=lambda item: -abs(item[1]["weight"]))[:NAMED_PARTNERS]
    return [f"{other} ({edge['weight']:+.2f})" for other, edge in edges]


def log_odds(q: np.ndarray, labels: Sequence[Any]) -> pd.DataFrame:
    """Return the log odds of each bit in the cells of a label less those in the others, `(n_latent, n_labels)`.

    Parameters
    ----------
    q
        Bit probabilities, `(n_cells, n_latent)`.
    labels
        One a cell; cells where it is missing are left out.
    """
    values = pd.Series(np.asarray(labels, dtype=object))
    known = values.notna().to_numpy()
    q, values = q[known], values[known].astype(str).to_numpy()
    columns = {}
    for label in np.unique(values):
        inside = values == label
        # half a cell on each side: a bit that is on in all of them has finite odds
        on, off = ((q[part].sum(0) + 0.5) / (part.sum() + 1) for part in (inside, ~inside))
        columns[label] = np.log(on / (1 - on)) - np.log(off / (1 - off))
    return pd.DataFrame(columns, index=pd.Index(range(q.shape[1]), name="bit"))


def as_bits(clamp: Mapping[Any, int] | None, programmes: Mapping[str, Mapping[int, int]]) -> dict[int, int] | None:
    """Return a clamp of bits from one of bits and programmes; a programme set to 0 has each of its bits turned.

    Parameters
    ----------
    clamp
        Bit or name of a programme to 0 or 1.
    programmes
        Name to the values of its bits.

    Raises
    ------
    InputError
        For an unknown programme, or a bit that is set to both values.
    """
    if clamp is None:
        return None
    bits: dict[int, int] = {}
    for key, value in clamp.items():
        if not isinstance(key, str):
            wanted = {key: value}
        elif key not in programmes:
            raise InputError(
                f"there is no programme {key!r}{nearest(key, programmes)}: name one with model.name_programme(name, {{bit: 1}})"
            )
        elif value not in (0, 1):
            raise InputError(f"clamp sets programme {key!r} to {value}: 1 for on, 0 for off")
        else:
            wanted = {bit: on if value else 1 - on for bit, on in programmes[key].items()}
        for bit, own in wanted.items():
            if bits.get(bit, own) != own:
                raise InputError(f"clamp sets bit {bit} to 0 and to 1 (by {key!r}): choose one")
            bits[bit] = own
    return bits

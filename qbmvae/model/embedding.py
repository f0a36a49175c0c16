"""The code of each cell, in every representation, as a stream of parts or written to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from qbmvae.core.batch import Batch
from qbmvae.core.vae import VAE
from qbmvae.data import embedding_writer
from qbmvae.model import expression_space
from qbmvae.model.expression_space import ExpressionSpace
from qbmvae.model.module import QBMVAEModule
from samplers.errors import InputError, nearest

Representation = Literal["expression", "denoised", "probabilities", "logits", "bits", "arcsine"]
DEFAULT: Representation = "expression"
REPRESENTATIONS = get_args(Representation)
#: Those in expression space, and those that any prior has.
IN_EXPRESSION_SPACE = ("expression", "denoised")
CONTINUOUS = (*IN_EXPRESSION_SPACE, "probabilities")
#: Where minified data keep the coordinates that need counts.
EXPRESSION_KEY = "_qbmvae_expression"
#: Starts a pass over cells: parts of the posterior's parameters, with the cells (None where no counts are kept).
Parts = Callable[[], Iterator[tuple[Tensor, Batch | None]]]
#: Mean and components of the axes, see `expression_space.principal_components`.
Axes = tuple[Tensor, Tensor]


def known(vae: VAE, representation: str | None) -> str:
    """Return the representation's name, the default for None; refuse what this model does not have."""
    chosen = representation or DEFAULT
    if chosen not in REPRESENTATIONS:
        raise InputError(f"there is no representation {chosen!r}{nearest(chosen, REPRESENTATIONS)}")
    if not vae.prior.discrete and chosen not in CONTINUOUS:
        raise InputError(f"a continuous prior has no {chosen!r}: use representation=None or 'denoised'")
    return chosen


def moments(vae: VAE, parameters: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior's mean and variance, each `(n_cells, n_latent)`."""
    if vae.prior.discrete:
        q = torch.sigmoid(parameters)
        return q.numpy(), (q * (1 - q)).numpy()
    posterior = vae.normal(parameters)
    return posterior.loc.numpy(), posterior.scale.square().numpy()


def represent(vae: VAE, parameters: Tensor, representation: str) -> np.ndarray:
    """Return a representation that needs the posterior's parameters alone, `(n_cells, n_latent)`."""
    code = vae.code(parameters)
    match representation:
        case "logits":
            return parameters.numpy()
        case "bits":
            return (code > 0.5).float().numpy()
        case "arcsine":
            return (2 * torch.asin(code.clamp(0, 1).sqrt())).numpy()
    return code.numpy()


@torch.inference_mode()
def stream(
    module: QBMVAEModule,
    parts: Parts,
    representation: str,
    n_components: int | None = None,
    kept: np.ndarray | None = None,
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Yield the posterior's parameters of a part of the cells and their representation.

    Parameters
    ----------
    module
        The trained model.
    parts
        Starts a pass over the cells; called twice while training has not fixed the axes of expression space.
    representation
        See `QBMVAE.get_latent_representation`.
    n_components
        Leading components of the representations in expression space; all by default.
    kept
        The default embedding of minified data, `(n_cells, n_latent)`; such data come in one part.
    """
    if representation not in IN_EXPRESSION_SPACE:
        yield from ((parameters, represent(module.vae, parameters, representation)) for parameters, _ in parts())
    elif representation == "expression" and kept is not None:
        yield from ((parameters, kept[:, :n_components]) for parameters, _ in parts())
    else:
        space, (mean, components) = _space_and_axes(module, parts)
        for parameters, batch in parts():
            code = module.vae.code(parameters)
            near = None if representation == "denoised" else batch
            yield parameters, space.coordinates(code, near, mean, components).numpy()[:, :n_components]


def latent(
    module: QBMVAEModule,
    parts: Parts,
    representation: str,
    n_components: int | None = None,
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Return the representation of all cells, `(n_cells, n_latent)` float32; parameters as in `stream`."""
    found = [x for _, x in stream(module, parts, representation, n_components, kept)]
    if found:
        return np.concatenate(found)
    width = n_components if representation in IN_EXPRESSION_SPACE else None
    return np.zeros((0, module.n_latent), dtype=np.float32)[:, :width]


def write(
    module: QBMVAEModule, parts: Parts, representation: str, path: Path, obs: pd.DataFrame, kept: np.ndarray | None
) -> tuple[int, int]:
    """Write the representation of cells as it is computed and return its shape; see `write_latent_representation`."""
    n_bits = module.n_latent if module.vae.prior.discrete else 0
    with embedding_writer.writer(path, obs, module.n_latent, n_bits) as put:
        for parameters, x in stream(module, parts, representation, kept=kept):
            put(x, represent(module.vae, parameters, "bits") if n_bits else None)
    return len(obs), module.n_latent


def kept_expression(adata: AnnData, indices: np.ndarray | None) -> np.ndarray:
    """Return the default embedding that minified data keep, `(n_cells, n_latent)`."""
    if EXPRESSION_KEY not in adata.obsm:
        raise InputError(
            f"'expression' needs the counts, and these minified data lack obsm[{EXPRESSION_KEY!r}]: minify with "
            "model.minify_adata(), or use representation='denoised'"
        )
    kept = np.asarray(adata.obsm[EXPRESSION_KEY], dtype=np.float32)
    return kept if indices is None else kept[np.asarray(indices)]


@torch.inference_mode()
def fix_axes(module: QBMVAEModule, parts: Parts) -> None:
    """Find the axes of expression space on these (training) cells and keep them in the module."""
    space, (mean, components) = _find_axes(module, parts)
    module.expression_mean.copy_(mean)
    module.expression_components.copy_(components)
    module.expression_library.fill_(space.library)


def _space(module: QBMVAEModule, library: float) -> ExpressionSpace:
    return ExpressionSpace(module.vae, module.averaged_categories.tolist(), library, module.device)


def _space_and_axes(module: QBMVAEModule, parts: Parts) -> tuple[ExpressionSpace, Axes]:
    """Return what training has fixed; while it goes on, what these very cells give."""
    if not module.has_expression_axes:
        return _find_axes(module, parts)
    axes = module.expression_mean, module.expression_components
    return _space(module, float(module.expression_library)), axes


def _find_axes(module: QBMVAEModule, parts: Parts) -> tuple[ExpressionSpace, Axes]:
    codes, libraries = [], []
    for parameters, batch in parts():
        codes.append(module.vae.code(parameters))
        if batch is not None:
            libraries.append(batch.library.cpu())
    space = _space(module, float(torch.cat(libraries).median()) if libraries else 1e4)
    return space, expression_space.principal_components(space.decoded(torch.cat(codes)), module.n_latent)

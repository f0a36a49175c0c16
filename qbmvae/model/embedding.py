"""The code of each cell, in every representation, as a stream of parts or written to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from qbmvae.core.batch import Batch
from qbmvae.core.vae import VAE
from qbmvae.data import embedding_writer
from qbmvae.model import expression_space
from qbmvae.model.aligned_space import AlignedSpace, log_expression
from qbmvae.model.expression_space import ExpressionSpace
from qbmvae.model.module import QBMVAEModule
from samplers.errors import InputError, require

Representation = Literal["aligned", "expression", "denoised", "probabilities", "logits", "bits", "arcsine"]
DEFAULT: Representation = "aligned"
REPRESENTATIONS = get_args(Representation)
#: Those in expression space, those that have leading components, and those that any prior has.
IN_EXPRESSION_SPACE = ("expression", "denoised")
CONTINUOUS = ("aligned", *IN_EXPRESSION_SPACE, "probabilities")
#: Where minified data keep the coordinates that need counts or batches.
KEPT_KEYS: dict[Representation, str] = {"aligned": "_qbmvae_aligned", "expression": "_qbmvae_expression"}
#: Starts a pass over cells: parts of the posterior's parameters, with the cells (None where no counts are kept), or what
#: `then=` makes of them, see `cells.posteriors`.
Parts = Callable[..., Iterator[Any]]
#: Mean and components of the axes, see `expression_space.principal_components`.
Axes = tuple[Tensor, Tensor]


def known(module: QBMVAEModule, representation: str | None) -> Representation:
    """Return the representation's name, the default for None; refuse what this model does not have.

    Raises
    ------
    InputError
        For a representation that the model does not have.
    """
    # a model of version 0.1 has axes of expression space alone
    earlier = module.has_expression_axes and not module.aligned.fitted
    chosen = representation or ("expression" if earlier else DEFAULT)
    if chosen == "aligned" and earlier:
        raise InputError(
            "this model was trained by an earlier version: use representation='expression', or train it again"
        )
    require(chosen, REPRESENTATIONS, "there is no representation")
    if not module.vae.prior.discrete and chosen not in CONTINUOUS:
        raise InputError(f"a continuous prior has no {chosen!r}: use representation=None or 'denoised'")
    return cast(Representation, chosen)


def moments(vae: VAE, parameters: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior's mean and variance, each `(n_cells, n_latent)`."""
    if vae.prior.discrete:
        q = torch.sigmoid(parameters)
        return q.numpy(), (q * (1 - q)).numpy()
    posterior = vae.normal(parameters)
    return posterior.loc.numpy(), posterior.scale.square().numpy()


def _represent(vae: VAE, parameters: Tensor, representation: str) -> np.ndarray:
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


@dataclass(frozen=True)
class Wanted:
    """Which code of the cells is asked for.

    Attributes
    ----------
    representation
        See `QBMVAE.get_latent_representation`.
    n_components
        Leading components of the representations in expression space; all by default.
    align
        Whether "aligned" moves the batches onto each other.
    kept
        What minified data keep of this representation, `(n_cells, n_latent)`; such data come in one part.
    """

    representation: str
    n_components: int | None = None
    align: bool = True
    kept: np.ndarray | None = None

    @property
    def width(self) -> int | None:
        """Columns to cut the representation to; None for all."""
        return self.n_components if self.representation in IN_EXPRESSION_SPACE else None


@torch.inference_mode()
def stream(module: QBMVAEModule, parts: Parts, wanted: Wanted) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Yield the posterior's parameters of a part of the cells and their representation.

    Parameters
    ----------
    module
        The trained model.
    parts
        Starts a pass over the cells; called more than once while training has not fixed the axes of expression space.
    wanted
        Which representation.
    """
    chosen = wanted.representation
    if wanted.kept is not None:
        yield from ((parameters, wanted.kept[:, : wanted.width]) for parameters, _ in parts())
    elif chosen == "aligned":
        aligned = module.aligned if module.aligned.fitted else fitted_space(module, parts, align=wanted.align)

        def placed(code: Tensor, batch: Batch | None, x: Tensor) -> Tensor:
            moved = None if batch is None or not wanted.align else batch.covariates.categories[0]
            return aligned.place(aligned.blocks(code, x), moved)

        found = _coordinates(module, parts, "expression", aligned.counts_weight, aligned.n_axes, placed)
        yield from ((p, x.numpy()) for p, _, _, x in found)
    elif chosen in IN_EXPRESSION_SPACE:
        yield from ((p, x.numpy()[:, : wanted.width]) for p, _, _, x in _coordinates(module, parts, chosen))
    else:
        yield from ((parameters, _represent(module.vae, parameters, chosen)) for parameters, _ in parts())


def latent(module: QBMVAEModule, parts: Parts, wanted: Wanted) -> np.ndarray:
    """Return the representation of all cells, `(n_cells, n_latent)` float32; parameters as in `stream`.

    Parameters
    ----------
    module, parts, wanted
        As in `stream`.
    """
    found = [x for _, x in stream(module, parts, wanted)]
    return np.concatenate(found) if found else np.zeros((0, module.n_latent), dtype=np.float32)[:, : wanted.width]


def write(module: QBMVAEModule, parts: Parts, wanted: Wanted, path: Path, obs: pd.DataFrame) -> tuple[int, int]:
    """Write the representation of cells as it is computed and return its shape; see `write_latent_representation`.

    Parameters
    ----------
    module, parts, wanted
        As in `stream`.
    path
        Of the file.
    obs
        Table of the cells.
    """
    n_bits = module.n_latent if module.vae.prior.discrete else 0
    with embedding_writer.writer(path, obs, module.n_latent, n_bits) as put:
        for parameters, x in stream(module, parts, wanted):
            put(x, _represent(module.vae, parameters, "bits") if n_bits else None)
    return len(obs), module.n_latent


def kept(adata: AnnData, representation: Representation, indices: np.ndarray | None) -> np.ndarray:
    """Return what minified data keep of a representation, `(n_cells, n_latent)`.

    Parameters
    ----------
    adata
        Minified data.
    representation
        Its name.
    indices
        Which cells; all by default.

    Raises
    ------
    InputError
        Where these data lack it.
    """
    key = KEPT_KEYS[representation]
    if key not in adata.obsm:
        raise InputError(
            f"{representation!r} needs the counts, and these minified data lack obsm[{key!r}]: minify with "
            "model.minify_adata(), or use representation='denoised'"
        )
    found = np.asarray(adata.obsm[key], dtype=np.float32)
    return found if indices is None else found[np.asarray(indices)]


@torch.inference_mode()
def fix_axes(module: QBMVAEModule, parts: Parts) -> None:
    """Find the axes of expression space on these (training) cells and keep them in the module."""
    space, (mean, components) = _find_axes(module, parts)
    module.expression_mean.copy_(mean)
    module.expression_components.copy_(components)
    module.expression_library.fill_(space.library)


def fitted_space(
    module: QBMVAEModule, parts: Parts, n_batches: int | None = None, align: bool = True, seed: int = 0
) -> AlignedSpace:
    """Return the default embedding's maps found on these (training) cells.

    Parameters
    ----------
    module
        The model.
    parts
        Starts a pass over the cells.
    n_batches
        Number of batches; those of the model by default.
    align
        Whether to find clusters and offsets too.
    seed
        Of the clusters' starts.
    """
    aligned = AlignedSpace(module.n_latent)
    found = [
        (code, x, batch)
        for _, code, batch, x in _coordinates(module, parts, "expression", aligned.counts_weight, aligned.n_axes)
    ]
    code, coordinates = torch.cat([c for c, _, _ in found]), torch.cat([x for _, x, _ in found])
    aligned.fit_blocks(code, coordinates)
    n_batches = n_batches or module.n_batch
    cells = [batch for _, _, batch in found if batch is not None]
    if not cells:
        return aligned
    codes, blocks = torch.cat([b.covariates.categories[0].cpu() for b in cells]), aligned.blocks(code, coordinates)
    if align and n_batches > 1:
        aligned.fit_alignment(blocks, codes, n_batches, seed)
    rows, expression = log_expression([b.x for b in cells], module.vae.gene_likelihood, seed)
    aligned.fit_geometry(blocks[rows], expression, codes[rows], seed)
    return aligned


@torch.inference_mode()
def fix_space(module: QBMVAEModule, parts: Parts, align: bool, seed: int) -> None:
    """Find the default embedding's maps on these (training) cells and keep them in the module.

    Parameters
    ----------
    module
        The trained module; written to.
    parts
        Posterior's parameters of the cells, in parts.
    align
        Whether to align batches.
    seed
        Of components and clusters.
    """
    module.aligned = fitted_space(module, parts, align=align, seed=seed).to(module.device)


@torch.inference_mode()
def fix_new_batches(module: QBMVAEModule, parts: Parts) -> None:
    """Find where the batches that the reference has not seen lie, on these cells; everything else stays."""
    aligned = module.aligned
    found = [
        (aligned.blocks(code, x), batch.covariates.categories[0].cpu())
        for _, code, batch, x in _coordinates(module, parts, "expression", aligned.counts_weight, aligned.n_axes)
        if batch is not None
    ]
    blocks, batch = (torch.cat(part) for part in zip(*found, strict=True))
    aligned.extend_alignment(blocks, batch, module.n_batch)


def _coordinates(
    module: QBMVAEModule,
    parts: Parts,
    representation: str,
    counts_weight: float = 1.0,
    n_axes: int | None = None,
    finish: Callable[[Tensor, Batch | None, Tensor], Tensor] | None = None,
) -> Iterator[tuple[Tensor, Tensor, Batch | None, Tensor]]:
    """Yield parameters and codes of a part of the cells, the part, and its coordinates, or what `finish` makes of them."""
    space, (mean, components) = _space_and_axes(module, parts)
    components = components[:n_axes]

    def placed(part: tuple[Tensor, Batch | None]) -> tuple[Tensor, Tensor, Batch | None, Tensor]:
        parameters, batch = part
        code = module.vae.code(parameters)
        near = None if representation == "denoised" else batch
        x = space.coordinates(code, near, mean, components, counts_weight)
        return parameters, code, batch, x if finish is None else finish(code, batch, x)

    yield from parts(then=placed)


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

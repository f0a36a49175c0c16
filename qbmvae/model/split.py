"""Which cells train, and how many steps they make."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qbmvae.core.training.config import TrainingConfig
from samplers.errors import InputError

#: Share of the cells that train by default.
TRAIN_SIZE = 0.9


def steps(n_cells: int, config: TrainingConfig, train_size: float | None) -> int:
    """Return about how many steps a training takes.

    Parameters
    ----------
    n_cells
        All cells.
    config
        How to train.
    train_size
        Share of the cells that train.
    """
    share = TRAIN_SIZE if train_size is None else train_size
    return config.max_epochs * max(1, -(-int(share * n_cells) // config.batch_size))


def split_cells(
    n: int,
    train_size: float | None,
    validation_size: float | None,
    shuffle: bool,
    seed: int,
    external: Sequence[np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training, validation and test indices.

    Parameters
    ----------
    n
        All cells.
    train_size, validation_size
        Shares of the cells.
    shuffle
        Whether to draw them at random.
    seed
        Of the draw.
    external
        Sets of indices to use instead.

    Raises
    ------
    InputError
        For shares out of range, or sets that overlap or name no cell.
    """
    if external is not None:
        if not 1 <= len(external) <= 3:
            raise InputError(f"external_indexing takes one to three sets of cells, not {len(external)}")
        parts = [np.asarray(p, dtype=np.int64) for p in external]
        parts += [np.array([], dtype=np.int64)] * (3 - len(parts))
        merged = np.concatenate(parts)
        if len(merged) and (merged.min() < 0 or merged.max() >= n):
            raise InputError(f"external_indexing names cell {merged.max()}, but there are {n} cells")
        if len(np.unique(merged)) != len(merged):
            raise InputError("external_indexing puts a cell in two sets: the sets must not overlap")
        return parts[0], parts[1], parts[2]
    train_size = TRAIN_SIZE if train_size is None else train_size
    if not 0 < train_size <= 1:
        raise InputError(f"train_size must be in (0, 1], not {train_size}")
    if validation_size is not None and not 0 <= validation_size < 1:
        raise InputError(f"validation_size must be in [0, 1), not {validation_size}")
    n_train = int(np.ceil(train_size * n))
    n_validation = n - n_train if validation_size is None else int(np.floor(validation_size * n))
    if n_train + n_validation > n:
        raise InputError(f"train_size {train_size} and validation_size {validation_size} add up to more than 1")
    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    return order[:n_train], order[n_train : n_train + n_validation], order[n_train + n_validation :]

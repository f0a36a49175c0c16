"""Write an AnnData file a block at a time: `.h5ad` (HDF5) or `.zarr`, in AnnData's own on-disk format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from samplers.errors import InputError
from samplers.files import replacing


class _Writer:
    """Grows `X` (CSR) and the joint bits in an open group; `finish` writes everything else."""

    def __init__(self, group: Any):
        self.group = group
        self.n_rows, self.n_entries = 0, 0
        self.arrays: dict[str, Any] = {}

    def counts(self, block: sp.csr_matrix) -> None:
        """Append rows of counts."""
        if not self.n_rows:
            self._append("X/indptr", np.zeros(1, dtype=np.int64))
        self._append("X/data", block.data.astype(np.float32))
        self._append("X/indices", block.indices.astype(np.int32))
        self._append("X/indptr", block.indptr[1:].astype(np.int64) + self.n_entries)
        self.n_rows += block.shape[0]
        self.n_entries += block.nnz

    def bits(self, condition: str, block: np.ndarray) -> None:
        """Append joint outcomes of a condition."""
        self._append(f"uns/truth/joint_bits/{condition}", block)

    def finish(self, obs: pd.DataFrame, var: pd.DataFrame, truth: dict[str, Any], obsm: dict[str, np.ndarray]) -> None:
        """Write the tables and the encoding of every group."""
        import warnings

        from anndata.io import write_elem

        # one warning an array, about a default of a later release
        warnings.filterwarnings("ignore", message=".*autosharding.*")
        _encode(self.group, "anndata", "0.1.0")
        _encode(self.group["X"], "csr_matrix", "0.1.0")
        self.group["X"].attrs["shape"] = [self.n_rows, len(var)]
        for array in self.arrays.values():
            _encode(array, "array", "0.2.0")
        for name in ("uns", "uns/truth", "uns/truth/joint_bits"):
            _encode(self.group[name], "dict", "0.1.0")
        write_elem(self.group, "obs", obs)
        write_elem(self.group, "var", var)
        write_elem(self.group, "obsm", obsm)
        for key in ("varm", "layers", "obsp", "varp"):
            write_elem(self.group, key, {})
        for key, value in truth.items():
            write_elem(self.group["uns/truth"], key, value)

    def _append(self, name: str, block: np.ndarray) -> None:
        if name not in self.arrays:
            self.arrays[name] = self._create(name, block)
        array = self.arrays[name]
        old = array.shape[0]
        array.resize((old + len(block), *block.shape[1:]))
        array[old:] = block

    def _create(self, name: str, block: np.ndarray) -> Any:
        shape = (0, *block.shape[1:])
        if hasattr(self.group, "create_dataset") and type(self.group).__module__.startswith("h5py"):
            # lzf costs little and packs bits and small counts several times
            chunks = (max(1, 2**20 // max(1, block[:1].nbytes)), *block.shape[1:])
            return self.group.create_dataset(
                name,
                shape=shape,
                maxshape=(None, *block.shape[1:]),
                dtype=block.dtype,
                chunks=chunks,
                compression="lzf",
            )
        parent, _, leaf = name.rpartition("/")
        chunks = (max(1, 2**22 // max(1, block[:1].nbytes)), *block.shape[1:])
        return self.group.require_group(parent).create_array(leaf, shape=shape, chunks=chunks, dtype=block.dtype)


def _encode(element: Any, kind: str, version: str) -> None:
    element.attrs["encoding-type"] = kind
    element.attrs["encoding-version"] = version


@contextmanager
def writer(path: Path) -> Iterator[_Writer]:
    """Yield a writer to a temporary neighbour of `path`, which takes its name when the block ends well.

    Raises
    ------
    InputError
        For another ending, or a folder that does not exist.
    """
    if path.suffix not in (".h5ad", ".zarr"):
        raise InputError(f"{path} has no known ending: write to .h5ad or .zarr")
    if not path.parent.is_dir():
        raise InputError(f"the folder {str(path.parent)!r} does not exist: make it first")
    if path.suffix == ".zarr":
        yield from _zarr(path)
    else:
        yield from _hdf5(path)


def _hdf5(path: Path) -> Iterator[_Writer]:
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield _Writer(file)


def _zarr(path: Path) -> Iterator[_Writer]:
    import zarr

    with replacing(path, folder=True) as temporary:
        yield _Writer(zarr.open_group(str(temporary), mode="w"))

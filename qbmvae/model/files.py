"""A model's files: a folder written at once, and one safetensors file with a JSON header (no pickle)."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData, read_h5ad
from scvi.model.base import BaseMinifiedModeModelClass as Model

from samplers import files as atomic
from samplers.errors import InputError

FORMAT = 1
SPLIT = ("train", "validation", "test")


@contextmanager
def replacing(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a new folder that takes the place of `path` at the end; a failure leaves what was there.

    Parameters
    ----------
    path
        The folder.
    overwrite
        Whether it may exist: then files of the same names are replaced.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another folder or pass overwrite=True")
    if not path.exists():
        with atomic.replacing(path, folder=True) as temporary:
            yield temporary
        return
    # the folder may hold models under other prefixes: replace this model's files alone
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder)
        for file in Path(folder).iterdir():
            os.replace(file, path / file.name)


@contextmanager
def reading(path: Path, prefix: str = "") -> Iterator[None]:
    """Name a folder that holds no saved model, or a damaged one."""
    if not (path / f"{prefix}model.pt").is_file():
        found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) if path.is_dir() else "no such folder"
        raise InputError(f"{path} holds no saved model (model.pt is missing; {found})")
    try:
        yield
    except (EOFError, KeyError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"the model in {path} is damaged or of another version: {error}") from error


def saved_data(path: Path, prefix: str = "") -> AnnData:
    """Return the cells that were saved with a model."""
    file = path / f"{prefix}adata.h5ad"
    if not file.is_file():
        raise InputError(f"{path} holds no data: pass adata=, or adata=False for a model without data")
    return read_h5ad(file)


@dataclass
class Export:
    """What one exported file holds.

    Attributes
    ----------
    options
        Arguments of the model.
    registry
        Of the data: genes, categories, columns.
    weights
        State of the module.
    libraries
        Library sizes, covariate codes and continuous covariates of some training cells.
    split
        Rows of the training, validation and test cells, where they are known.
    history
        Curves of the training.
    reference_categories
        Of the model of a query: rows of each covariate that its reference has trained.
    """

    options: dict[str, Any]
    registry: dict[str, Any]
    weights: dict[str, torch.Tensor]
    libraries: tuple[np.ndarray, np.ndarray, np.ndarray | None]
    split: dict[str, np.ndarray]
    history: dict[str, pd.DataFrame]
    reference_categories: tuple[int, ...] | None = None


def write_export(path: Path, model: Model, libraries: tuple[np.ndarray, np.ndarray, np.ndarray | None]) -> None:
    """Write a trained model into one safetensors file; see `QBMVAE.export`."""
    from safetensors.torch import save_file

    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file, for example {path / 'model.safetensors'}")
    tensors = {f"module.{k}": v.detach().cpu().contiguous() for k, v in model.module.state_dict().items()}
    sizes, codes, numbers = libraries
    tensors["library_sizes"] = torch.from_numpy(np.ascontiguousarray(sizes, dtype=np.float32))
    tensors["library_codes"] = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64))
    if numbers is not None:
        tensors["library_continuous"] = torch.from_numpy(np.ascontiguousarray(numbers, dtype=np.float32))
    for name in SPLIT:
        indices = getattr(model, f"{name}_indices_")
        if indices is not None:
            tensors[f"{name}_indices"] = torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int64))
    header = {
        "format": FORMAT,
        "options": _options(model.init_params_["non_kwargs"]),
        "registry": _plain(model.registry_),
        "var_names": list(map(str, model.get_var_names())),
        "history": {k: [list(map(float, f.index)), f[k].tolist()] for k, f in (model.history_ or {}).items()},
        "reference_categories": model.reference_categories_,
        "preprocessing": {"likelihood": model.module.vae.gene_likelihood, "encoder_input": "log1p(counts)"},
        "versions": versions(),
    }
    atomic.write_atomically(path, lambda p: save_file(tensors, str(p), metadata={"qbmvae": json.dumps(header)}))


def read_export(path: Path) -> Export:
    """Read what `write_export` wrote."""
    from safetensors import safe_open

    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with safe_open(str(path), framework="pt") as handle:
            header = json.loads((handle.metadata() or {})["qbmvae"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}
    except Exception as error:
        raise InputError(f"{path} is damaged or no export of qbmvae ({type(error).__name__})") from error
    if header["format"] > FORMAT:
        raise InputError(f"{path} has format {header['format']}, this version reads up to {FORMAT}: update qbmvae")
    options = dict(header["options"])
    if isinstance(options["topology"], dict):
        options["topology"] = _graph(options["topology"])
    old = header.get("reference_categories")
    return Export(
        options=options,
        registry=_arrays(header["registry"]),
        weights={name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")},
        libraries=(
            tensors["library_sizes"].numpy(),
            tensors["library_codes"].numpy(),
            tensors["library_continuous"].numpy() if "library_continuous" in tensors else None,
        ),
        split={name: tensors[f"{name}_indices"].numpy() for name in SPLIT if f"{name}_indices" in tensors},
        history={
            k: pd.DataFrame({k: values}, index=pd.Index(np.asarray(epochs, dtype=int), name="epoch"))
            for k, (epochs, values) in header["history"].items()
        },
        reference_categories=None if old is None else tuple(old),
    )


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from importlib.metadata import version

    packages = ("qbmvae", "torch", "numpy", "scvi-tools", "anndata", "dimod", "numba")
    return {name: version(name) for name in packages}


def _options(options: dict[str, Any]) -> dict[str, Any]:
    graph = options["topology"]
    if not isinstance(graph, str):
        nodes = {node: i for i, node in enumerate(graph.nodes)}
        edges = [[nodes[u], nodes[v]] for u, v in graph.edges()]
        options = {**options, "topology": {"n": len(nodes), "edges": edges}}
    return _plain(options)


def _graph(description: dict[str, Any]) -> Any:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(description["n"]))
    graph.add_edges_from(map(tuple, description["edges"]))
    return graph


def _plain(value: Any) -> Any:
    """Return the value as JSON holds it."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | pd.Index):
        return {"__array__": [_plain(v) for v in value.tolist()]}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        if "__array__" in value:
            return np.asarray(value["__array__"])
        return {k: _arrays(v) for k, v in value.items()}
    return [_arrays(v) for v in value] if isinstance(value, list) else value

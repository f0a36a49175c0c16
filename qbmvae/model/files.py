"""A model's files: a folder written at once, and one safetensors file with a JSON header (no pickle)."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData, read_h5ad
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae import archive
from qbmvae.model.library_sizes import Libraries
from samplers import files as atomic
from samplers.errors import InputError

FORMAT, KIND = 1, "qbmvae"
SPLIT = ("train", "validation", "test")
#: Attributes of a model beside its weights that its files and its queries carry.
EXTRAS = ("label_reference_", "label_libraries_", "programmes_", "keeps_labels_")


@contextmanager
def replacing(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a new folder that takes the place of `path` at the end; a failure leaves what was there.

    Parameters
    ----------
    path
        The folder.
    overwrite
        Whether it may exist: then files of the same names are replaced.

    Raises
    ------
    InputError
        Where the folder exists and may not.
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
    """Name a folder that holds no saved model, or a damaged one.

    Raises
    ------
    InputError
        For a folder without a model, or with a damaged one.
    """
    if not (path / f"{prefix}model.pt").is_file():
        found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) if path.is_dir() else "no such folder"
        raise InputError(f"{path} holds no saved model (model.pt is missing; {found})")
    try:
        yield
    except (EOFError, KeyError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"the model in {path} is damaged or of another version: {error}") from error


def saved_data(path: Path, prefix: str = "") -> AnnData:
    """Return the cells that were saved with a model.

    Raises
    ------
    InputError
        Where there are none.
    """
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
        Library sizes, covariates and posteriors of some training cells.
    split
        Rows of the training, validation and test cells, where they are known.
    history
        Curves of the training.
    reference_categories
        Of the model of a query: rows of each covariate that its reference has trained.
    extras
        Those of `EXTRAS`.
    """

    options: dict[str, Any]
    registry: dict[str, Any]
    weights: dict[str, torch.Tensor]
    libraries: Libraries
    split: dict[str, np.ndarray]
    history: dict[str, pd.DataFrame]
    reference_categories: tuple[int, ...] | None = None
    extras: dict[str, Any] = field(default_factory=dict)


def write_export(path: Path, model: Model, libraries: Libraries) -> None:
    """Write a trained model into one safetensors file; see `QBMVAE.export`.

    Parameters
    ----------
    path
        Of the file.
    model
        The trained model.
    libraries
        Of the training cells, see `qbmvae.model.library_sizes.libraries`.
    """
    tensors = {f"module.{name}": value for name, value in model.module.state_dict().items()}
    sizes, codes, numbers, posteriors = libraries
    tensors["library_sizes"] = torch.from_numpy(np.asarray(sizes, dtype=np.float32))
    tensors["library_codes"] = torch.from_numpy(np.asarray(codes, dtype=np.int64))
    if numbers is not None:
        tensors["library_continuous"] = torch.from_numpy(np.asarray(numbers, dtype=np.float32))
    if posteriors is not None:
        tensors["library_posteriors"] = torch.from_numpy(posteriors)
    for name in SPLIT:
        indices = getattr(model, f"{name}_indices_")
        if indices is not None:
            tensors[f"{name}_indices"] = torch.from_numpy(np.asarray(indices, dtype=np.int64))
    for name in EXTRAS[:2]:
        if (arrays := getattr(model, name)) is not None:
            tensors |= {f"{name}.{k}": torch.from_numpy(np.asarray(a)) for k, a in enumerate(arrays)}
    header = {
        "format": FORMAT,
        "programmes": model.programmes_ or {},
        "keeps_labels": model.keeps_labels_,
        "options": _options(model.init_params_["non_kwargs"]),
        "registry": _plain(model.registry_),
        "var_names": list(map(str, model.get_var_names())),
        "history": {k: [list(map(float, f.index)), f[k].tolist()] for k, f in (model.history_ or {}).items()},
        "reference_categories": model.reference_categories_,
        "preprocessing": {"likelihood": model.module.vae.gene_likelihood, "encoder_input": "log1p(counts)"},
        "versions": versions(),
    }
    archive.write(path, KIND, tensors, header)


def read_export(path: Path) -> Export:
    """Read what `write_export` wrote.

    Raises
    ------
    InputError
        For a damaged file.
    """
    tensors, header = archive.read(path, KIND)
    try:
        return _export(path, tensors, header)
    except KeyError as error:
        raise InputError(f"{path} is damaged: {error} is missing") from error


def _export(path: Path, tensors: archive.Tensors, header: dict[str, Any]) -> Export:
    if header["format"] > FORMAT:
        raise InputError(f"{path} has format {header['format']}, this version reads up to {FORMAT}: update qbmvae")
    options = dict(header["options"])
    if isinstance(options["topology"], dict):
        options["topology"] = _graph(options["topology"])
    old = header.get("reference_categories")
    return Export(
        options=options,
        registry=_arrays(header["registry"]),
        weights=archive.part(tensors, "module"),
        libraries=(
            tensors["library_sizes"].numpy(),
            tensors["library_codes"].numpy(),
            tensors["library_continuous"].numpy() if "library_continuous" in tensors else None,
            tensors["library_posteriors"].numpy() if "library_posteriors" in tensors else None,
        ),
        split={name: tensors[f"{name}_indices"].numpy() for name in SPLIT if f"{name}_indices" in tensors},
        history={
            k: pd.DataFrame({k: values}, index=pd.Index(np.asarray(epochs, dtype=int), name="epoch"))
            for k, (epochs, values) in header["history"].items()
        },
        reference_categories=None if old is None else tuple(old),
        extras={
            **{name: found for name in EXTRAS[:2] if (found := _numbered(tensors, name))},
            "programmes_": {
                name: {int(bit): on for bit, on in bits.items()} for name, bits in header.get("programmes", {}).items()
            },
            "keeps_labels_": header.get("keeps_labels", False),
        },
    )


def _numbered(tensors: dict[str, torch.Tensor], name: str) -> tuple[np.ndarray, ...]:
    """Return the arrays that were written as `name.0`, `name.1`, ..."""
    return tuple(tensors[f"{name}.{k}"].numpy() for k in range(sum(t.startswith(f"{name}.") for t in tensors)))


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

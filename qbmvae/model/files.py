"""A model as one safetensors file with a JSON header: no pickle, readable from any language."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from qbmvae.model.host import Host
from samplers.errors import InputError
from samplers.files import write_atomically

FORMAT = 1


class ArchiveMixin(Host):
    """Saving and exporting of `QBMVAE`."""

    def save(self, dir_path: str | Path, prefix: str | None = None, overwrite: bool = False, **kwargs: Any) -> None:
        """Save the model into a folder, atomically: a failure leaves what was there.

        Parameters
        ----------
        dir_path
            The folder; it must not exist, unless `overwrite`.
        prefix
            Of the file names.
        overwrite
            Replace an existing folder's model.
        **kwargs
            Those of scvi-tools' `save` (`save_anndata=True` keeps the data with it).
        """
        path = Path(dir_path)
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists: choose another folder or pass overwrite=True")
        self._library_table() if self.is_trained_ and self.adata is not None else None
        if path.exists():
            # the folder may hold models under other prefixes: replace this model's files alone
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
                super().save(temporary, prefix=prefix, overwrite=True, **kwargs)
                for file in Path(temporary).iterdir():
                    os.replace(file, path / file.name)
        else:
            save = super().save
            write_atomically(path, lambda p: save(str(p), prefix=prefix, overwrite=True, **kwargs), folder=True)

    def export(self, path: str | Path) -> None:
        """Write weights, graph, genes, categories, history and versions into one safetensors file.

        Parameters
        ----------
        path
            The file, by convention `.safetensors`; its header holds a JSON document under "qbmvae".
        """
        from safetensors.torch import save_file

        self._check_if_trained(warn=False)
        path = Path(path)
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file, for example {path / 'model.safetensors'}")
        library, codes, _names = self._library_table()
        tensors = {f"module.{k}": v.detach().cpu().contiguous() for k, v in self.module.state_dict().items()}
        tensors["library_sizes"] = torch.from_numpy(np.ascontiguousarray(library, dtype=np.float32))
        tensors["library_codes"] = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64))
        for name in ("train", "validation", "test"):
            indices = getattr(self, f"{name}_indices_")
            if indices is not None:
                tensors[f"{name}_indices"] = torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int64))
        header = {
            "format": FORMAT,
            "options": _options(self.init_params_["non_kwargs"]),
            "registry": _plain(self.registry_),
            "var_names": list(map(str, self.get_var_names())),
            "history": {k: [list(map(float, f.index)), f[k].tolist()] for k, f in (self.history_ or {}).items()},
            "preprocessing": {"likelihood": self.module.vae.gene_likelihood, "encoder_input": "log1p(counts)"},
            "versions": versions(),
        }
        write_atomically(path, lambda p: save_file(tensors, str(p), metadata={"qbmvae": json.dumps(header)}))

    @classmethod
    def from_export(cls, path: str | Path, adata: AnnData | None = None) -> Any:
        """Return the model of an exported file.

        Parameters
        ----------
        path
            The file.
        adata
            Data to attach; the model embeds other data and generates without any.
        """
        from safetensors import safe_open

        path = Path(path)
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
        registry = _arrays(header["registry"])
        if adata is not None:
            cls.setup_anndata(adata, source_registry=registry, **registry["setup_args"])
            model = cls(adata, **options)
        else:
            model = cls(registry=registry, **options)
        state = {name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")}
        model.module.load_state_dict(state)
        model.module.eval()
        model.library_table_ = (tensors["library_sizes"].numpy(), tensors["library_codes"].numpy())
        for name in ("train", "validation", "test"):
            if f"{name}_indices" in tensors:
                setattr(model, f"{name}_indices_", tensors[f"{name}_indices"].numpy())
        model.history_ = {
            k: pd.DataFrame({k: values}, index=pd.Index(np.asarray(epochs, dtype=int), name="epoch"))
            for k, (epochs, values) in header["history"].items()
        }
        model.is_trained_ = True
        model._fresh = False
        return model


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

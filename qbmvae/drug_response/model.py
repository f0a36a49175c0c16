"""The drug-response model as a user meets it: fit on a data set, predict new molecules on new lines, save, load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from qbmvae import archive, fingerprint
from qbmvae.core.training.loop import Loop
from qbmvae.drug_response.data import DrugData, grid
from qbmvae.drug_response.featurise import Molecule, molecule
from qbmvae.drug_response.graph_network import MoleculeSet
from qbmvae.drug_response.heads import CIRCUIT_HEADS, check_memory, machine_memory
from qbmvae.drug_response.means import Means, fit_means
from qbmvae.drug_response.network import CellEncoderName, HybridNetwork
from qbmvae.drug_response.response import Target, from_response
from qbmvae.drug_response.splits import Split
from qbmvae.drug_response.tables import feature_table, line_labels
from qbmvae.drug_response.training import TrainingOptions, predict, train
from samplers.errors import InputError, nearest

FORMAT = "qbmvae-drug-response"


@dataclass(frozen=True)
class NetworkOptions:
    """What the network is made of; see `HybridNetwork`."""

    head: str = "quantum"
    cell_encoder: CellEncoderName = "conv"
    n_qubits: int = 8
    n_layers: int = 5
    axis: str = "x"
    dropout: float = 0.0


class DrugResponse:
    """The hybrid network of Sagingalieva et al., Cancers 15:2705 (2023), or one of its controls.

    Parameters
    ----------
    data
        The data set that it will be fitted to: gives the features' names and the known drugs.
    options
        The network.
    seed
        Of the initial weights.

    Examples
    --------
    >>> model = DrugResponse(data, NetworkOptions(head="quantum"), seed=0)  # doctest: +SKIP
    >>> model.fit(data, split(data, "blind-drug"))  # doctest: +SKIP
    >>> model.predict(["CC(=O)Oc1ccccc1C(=O)O"], features)  # doctest: +SKIP
    """

    def __init__(self, data: DrugData, options: NetworkOptions | None = None, *, seed: int = 0):
        drugs = {
            key: {"name": name, "smiles": graph.smiles}
            for key, name, graph in zip(data.drug_ids, data.drug_names, data.molecules.molecules, strict=True)
        }
        self._describe(options or NetworkOptions(), data.feature_names, drugs, data.target, seed)

    def _describe(
        self, options: NetworkOptions, feature_names: Sequence[str], drugs: dict[str, Any], target: Target, seed: int
    ) -> None:
        self.options, self.feature_names, self.drugs, self.target = options, list(feature_names), drugs, target
        self.seed = seed
        self.history: dict[str, list[float]] = {}
        self.means: Means | None = None
        self.network = HybridNetwork(len(self.feature_names), seed=seed, **asdict(options))

    def fit(
        self,
        data: DrugData,
        parts: Split,
        training: TrainingOptions | None = None,
        *,
        watch_test: bool = False,
        checkpoint: str | Path | None = None,
        progress: Callable[[Loop], None] = lambda loop: None,
    ) -> DrugResponse:
        """Train; keep the weights of the best validation error.

        Parameters
        ----------
        data
            The data set.
        parts
            Training and validation pairs.
        training
            How; the defaults are the paper's optimiser.
        watch_test
            Keep the test error of every epoch as well (for curves; it chooses nothing).
        checkpoint
            A file written after each epoch; where it exists, training goes on from it, bit for bit.
        progress
            Called after each epoch, with its count `epoch` and the `history` so far.

        Raises
        ------
        InputError
            The loss diverges, or the checkpoint was written for other data.
        """
        training = training or TrainingOptions()
        if self.options.head in CIRCUIT_HEADS:
            check_memory(self.options.n_qubits, training.batch_size, machine_memory())
        pairs = (data.drug, data.line, data.values, parts.train, parts.validation)
        identity = {"data": fingerprint.of_all(data.features, *pairs, [m.smiles for m in data.molecules.molecules])}
        watched = {"validation": parts.validation} | ({"test": parts.test} if watch_test else {})
        means, expected = fit_means(data, parts.train, training.seed) if training.baseline == "means" else (None, None)
        loop = train(
            self.network, data, parts.train, watched, training,
            expected=expected, checkpoint=checkpoint, identity=identity, after_epoch=progress,
        )  # fmt: skip
        loop.restore_best()
        self.means = None
        if means is not None and expected is not None:
            rows = parts.validation
            self.means = means.weighted(expected[rows], self.predict_pairs(data, rows), data.response[rows])
        self.history = {name: [value for _, value in points] for name, points in loop.history.items()}
        return self

    def predict_pairs(self, data: DrugData, rows: np.ndarray) -> np.ndarray:
        """Return the normalised response of a data set's pairs, `(n_rows,)`."""
        found = predict(self.network, data.molecules, data.features, data.drug[rows], data.line[rows])
        return found if self.means is None else self.means.of(data, rows) + self.means.share * found

    def predict(
        self,
        smiles: Sequence[str],
        features: pd.DataFrame,
        *,
        names: Sequence[str] | None = None,
        pairs: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> pd.DataFrame:
        """Return predictions for molecules on cell lines, seen in training or not.

        Parameters
        ----------
        smiles
            The molecules.
        features
            One row a cell line, keyed and named as in training (columns in any order).
        names
            Names of the molecules; the SMILES by default.
        pairs
            Positions `(molecule, line)`, `(n_pairs,)` each; every molecule with every line by default.

        Returns
        -------
        Columns `drug`, `smiles`, `cosmic_id` (as `features` has it), `response` (the trained scale) and the target: `ln_ic50` with `ic50_um`,
        or `auc`.
        """
        graphs = [molecule(s, where=f"molecule {k}") for k, s in enumerate(smiles)]
        return self.predict_graphs(graphs, list(names or smiles), features, pairs)

    def predict_graphs(
        self,
        graphs: Sequence[Molecule],
        names: Sequence[str],
        features: pd.DataFrame,
        pairs: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> pd.DataFrame:
        """Return `predict` for molecules that are graphs already.

        Parameters
        ----------
        graphs, names
            The molecules, and what the table calls them.
        features, pairs
            As in `predict`.
        """
        table = self.align(features)
        drug, line = pairs if pairs is not None else grid(list(graphs), table.to_numpy())
        values = table.to_numpy(dtype=np.float32)
        response = predict(self.network, MoleculeSet(graphs), values, drug, line)
        if self.means is not None:
            known = [graphs[k].smiles for k in drug], [str(table.index[k]) for k in line]
            response = self.means(*known) + self.means.share * response
        frame = pd.DataFrame(
            {
                "drug": np.array(names, dtype=object)[drug],
                "smiles": np.array([g.smiles for g in graphs], dtype=object)[drug],
                "cosmic_id": line_labels(features)[line],
                "response": response,
            }
        )
        if self.target == "auc":
            return frame.assign(auc=response)
        ln_ic50 = from_response(response, "ln_ic50")
        return frame.assign(ln_ic50=ln_ic50, ic50_um=np.exp(ln_ic50))

    def align(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return a checked feature table with the columns of training, in that order.

        Raises
        ------
        InputError
            Where columns of training are missing, or the table is not usable.
        """
        table = feature_table(features, binary=self.options.cell_encoder == "conv")
        table.columns = table.columns.astype(str)
        lost = [name for name in self.feature_names if name not in table.columns]
        if lost:
            raise InputError(
                f"the model was trained on {len(self.feature_names)} features, the table has {table.shape[1]} and lacks "
                f"{len(lost)} of them, first {lost[0]!r}{nearest(lost[0], table.columns)}"
            )
        return table[self.feature_names]

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file (no pickle); its header holds everything that `load` needs."""
        header = {
            "options": asdict(self.options),
            "feature_names": self.feature_names,
            "drugs": self.drugs,
            "target": self.target,
            "seed": self.seed,
            "history": self.history,
            "means": None if self.means is None else self.means.to_dict(),
        }
        archive.write(path, FORMAT, self.network.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path) -> DrugResponse:
        """Return the model that `save` wrote.

        Raises
        ------
        InputError
            Where the file holds no whole model.
        """
        tensors, header = archive.read(path, FORMAT)
        model = cls.__new__(cls)
        try:
            model._describe(
                NetworkOptions(**header["options"]),
                header["feature_names"],
                header["drugs"],
                header["target"],
                header["seed"],
            )
            model.network.load_state_dict(tensors)
            # models of earlier versions have no means
            model.means = Means(**header["means"]) if header.get("means") else None
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{path} does not hold a whole model: {error}") from None
        model.history = header["history"]
        return model


def n_trainable(network: torch.nn.Module) -> int:
    """Return the number of trainable weights."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)

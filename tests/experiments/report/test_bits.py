from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from experiments.data.synthetic import synthetic
from experiments.report.bits import bits_over_cells, bits_section, coupling_figure, effect_heatmap
from qbmvae import QBMVAE
from samplers import InputError


def test_the_heatmap_shows_the_bits_that_move_genes():
    values = np.random.default_rng(0).normal(size=(10, 30)) * 0.01
    values[4, [3, 7]] = [2.0, -1.5]
    values[8, 11] = 1.0
    effects = pd.DataFrame(values, columns=[f"g{j}" for j in range(30)])
    figure = effect_heatmap(effects, n_bits=2, n_genes=3)
    axis = figure.axes[0]
    assert {t.get_text() for t in axis.get_yticklabels()} == {"bit 4", "bit 8"}
    assert {t.get_text() for t in axis.get_xticklabels()} == {"g3", "g7", "g11"}
    assert axis.images[0].get_array().max() == 2.0


def test_the_graph_draws_each_coupling_in_the_colour_of_its_sign():
    graph = nx.Graph()
    for bit in range(4):
        graph.add_node(bit, activity=0.5, name="response" if bit == 1 else f"bit {bit}")
    graph.add_edge(0, 1, weight=1.0, error=0.1)
    graph.add_edge(1, 2, weight=-2.0, error=0.1)
    axis = coupling_figure(graph).axes[0]
    assert sorted(line.get_color() for line in axis.lines) == ["#0072B2", "#D55E00"]
    # a bit without couplings is left out
    assert sorted(text.get_text() for text in axis.texts) == ["0", "2", "response"]
    graph.remove_edges_from(list(graph.edges))
    assert "no coupling" in coupling_figure(graph).axes[0].get_title()


def test_bits_are_drawn_over_the_cells():
    q = np.random.default_rng(0).random((50, 6))
    table = pd.DataFrame({"spread": q.std(0), "up": ["a, b, c, d"] * 6})
    figure = bits_over_cells(q[:, :2], q, table, n_bits=5)
    panels = [axis for axis in figure.axes if axis.collections and axis.get_title()]
    assert len(panels) == 5
    best = int(table["spread"].idxmax())
    assert panels[0].get_title() == f"bit {best}: a, b, c"
    np.testing.assert_array_equal(panels[0].collections[0].get_array(), q[:, best])
    with pytest.raises(InputError, match="50 coordinates, but probabilities of 40"):
        bits_over_cells(q[:, :2], q[:40], table)


def test_the_section_tells_of_each_bit_what_it_does_and_where_it_is_on():
    adata = synthetic(n_cells=150, n_genes=40, seed=0)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    label = adata.obs["cell_type"].astype(str).to_numpy()
    for options, pictures in (({}, 3), ({"topology": "bipartite"}, 2)):
        model = QBMVAE(adata, n_latent=6, n_hidden=16, **options)
        model.train(max_epochs=2, seed=0, progress_bar=False)
        (section,) = bits_section(model, adata, label)
        assert len(section["figures"]) == pictures
        columns = [column["name"] for column in section["tables"][0]["columns"]]
        assert {"bit", "genes up", "genes down", "label", "log odds"} <= set(columns)
        assert len(section["tables"][0]["rows"]) == 6
    model = QBMVAE(adata, n_latent=6, n_hidden=16, prior="gaussian")
    model.train(max_epochs=1, seed=0, progress_bar=False)
    assert bits_section(model, adata, label) == []

from __future__ import annotations

import networkx as nx
import pytest
import torch

from qbmvae.core.priors import make
from qbmvae.core.priors.topology import mask
from samplers import InputError


@pytest.mark.parametrize("name", ["pegasus", "zephyr", "chimera"])
@pytest.mark.parametrize("n", [5, 64, 200])
def test_hardware_graphs_are_connected_and_symmetric(name, n):
    allowed = mask(name, n)
    assert torch.equal(allowed, allowed.T)
    assert not allowed.diagonal().any()
    assert nx.is_connected(nx.from_numpy_array(allowed.numpy()))


def test_bad_graphs_are_named():
    loop = nx.path_graph(4)
    loop.add_edge(2, 2)
    with pytest.raises(InputError, match="self-loop at node 2"):
        mask(loop, 4)
    with pytest.raises(InputError, match="4 nodes, but the model has n_latent=6"):
        mask(nx.path_graph(4), 6)
    with pytest.raises(InputError, match="'pegasus'"):
        mask("pegasos", 4)
    with pytest.raises(InputError, match="boltzmann"):
        make("boltzman", 4, n_input=3)
    with pytest.raises(InputError, match="n_hidden_units"):
        make("bernoulli", 4, n_input=3, n_hidden_units=3)

"""GraphCape's links; what it shares with CapeFormer is tested there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.blocks.two_stage import SMALL
from posezoo.graph_cape import Config, GraphCape, GraphFeedForward, adjacency, released

SETTING = Setting((256, 256), 4, (Category("a", "a", tuple("abcd"), limbs=((1, 0), (1, 2), (2, 3))),))


def test_rows_are_shared_out_among_the_neighbours_that_supports_show() -> None:
    linked = torch.zeros(1, 4, 4, dtype=torch.bool)
    linked[0, [1, 1, 2], [0, 2, 3]] = True
    own, neighbour_links = adjacency(linked, torch.tensor([[1.0, 1, 1, 0]]))[0]
    assert torch.equal(own, torch.diag(torch.tensor([1.0, 1, 1, 0])))
    expected = [[0.0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(neighbour_links, torch.tensor(expected))


PLACES = {"pre": (True, False), "post": (False, True), "both": (True, True)}


@pytest.mark.parametrize("graph", PLACES)
def test_a_keypoint_hears_its_neighbours_and_nobody_else(graph: str) -> None:
    torch.manual_seed(0)
    network = GraphFeedForward(4, 8, 0.0, *PLACES[graph])
    linked = torch.zeros(1, 4, 4, dtype=torch.bool)
    linked[0, 0, 1] = linked[0, 2, 3] = True
    links = adjacency(linked, torch.ones(1, 4))
    x = torch.rand(1, 4, 4)
    changed = x.clone()
    changed[0, 0] += 1
    differs = (network(changed, links) != network(x, links)).any(2)[0]
    assert differs.tolist() == [True, True, False, False]


@pytest.mark.parametrize("graph", PLACES)
def test_released_convolutions_compute_the_graph_s_layers(graph: str) -> None:
    """As the released code has them: a convolution to two parts, each spread by one kernel, summed, ReLU."""
    torch.manual_seed(0)
    width, inner, layers = 4, 6, {}
    first, second = PLACES[graph]
    for name, given, out, of_graph in (("ffn1", width, inner, first), ("ffn2", inner, width, second)):
        place = f"decoder.layers.0.{name}{'.conv' if of_graph else ''}"
        shape = (2 * out, given, 1) if of_graph else (out, given)
        layers |= {f"{place}.weight": torch.randn(shape), f"{place}.bias": torch.randn(shape[0])}
    linked = torch.zeros(2, 5, 5, dtype=torch.bool)
    linked[0, [0, 1, 3], [1, 2, 4]] = linked[1, 0, 4] = True
    links, x = adjacency(linked, torch.ones(2, 5)), torch.randn(2, 5, width)

    def released_layer(x: Tensor, name: str, of_graph: bool) -> Tensor:
        place = f"decoder.layers.0.{name}"
        if not of_graph:
            return functional.linear(x, layers[f"{place}.weight"], layers[f"{place}.bias"])
        parts = functional.conv1d(x.transpose(1, 2), layers[f"{place}.conv.weight"], layers[f"{place}.conv.bias"])
        return torch.einsum("nkcv,nkvw->ncw", parts.unflatten(1, (2, -1)), links).relu().transpose(1, 2)

    expected = released_layer(released_layer(x, "ffn1", first).relu(), "ffn2", second)
    assert not second or (expected >= 0).all()
    network = GraphFeedForward(width, inner, 0.0, first, second)
    state = released(Config(graph=graph), {f"keypoint_head.transformer.{name}": t for name, t in layers.items()})
    network.load_state_dict({name.removeprefix("decoder.layers.0.feed_forward."): t for name, t in state.items()})
    torch.testing.assert_close(network(x, links), expected)


@pytest.mark.parametrize("graph", ["pre", "post", "both", "off"])
def test_the_switch_says_where_layers_of_the_graph_stand(graph: str) -> None:
    model = GraphCape(Config(**SMALL, drop_path=0.0, map_stride=8, graph=graph), SETTING)
    layer = model.decoder.layers[0].feed_forward
    shapes = layer.linear1.out_features // 64, layer.linear2.out_features // 32
    assert shapes == {"pre": (2, 1), "post": (1, 2), "both": (2, 2), "off": (1, 1)}[graph]


def test_the_published_models_have_their_sizes() -> None:
    """Computed from the shapes in the official code: backbone with its last normalisation, and head."""
    for size, trunk in (("tiny", 27_578_154), ("small", 48_959_418)):
        with torch.device("meta"):
            model = GraphCape(Config(backbone=f"swinv2_{size}_window16_256", weights="none"), SETTING)
        own = sum(p.numel() for p in model.backbone.parameters())
        assert (own, sum(p.numel() for p in model.parameters()) - own) == (trunk, 9_013_894)

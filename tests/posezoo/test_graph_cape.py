"""GraphCape's links; what it shares with CapeFormer is tested there."""

from __future__ import annotations

import torch

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.graph_cape import Config, GraphCape, GraphFeedForward, adjacency

SETTING = Setting((256, 256), 4, (Category("a", "a", tuple("abcd"), limbs=((1, 0), (1, 2), (2, 3))),))


def test_rows_are_shared_out_among_the_neighbours_that_supports_show() -> None:
    linked = torch.zeros(1, 4, 4, dtype=torch.bool)
    linked[0, [1, 1, 2], [0, 2, 3]] = True
    own, neighbour_links = adjacency(linked, torch.tensor([[1.0, 1, 1, 0]]))[0]
    assert torch.equal(own, torch.diag(torch.tensor([1.0, 1, 1, 0])))
    expected = [[0.0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(neighbour_links, torch.tensor(expected))


def test_a_keypoint_hears_its_neighbours_and_nobody_else() -> None:
    torch.manual_seed(0)
    network = GraphFeedForward(4, 8, 0.0)
    linked = torch.zeros(1, 4, 4, dtype=torch.bool)
    linked[0, 0, 1] = linked[0, 2, 3] = True
    links = adjacency(linked, torch.ones(1, 4))
    x = torch.rand(1, 4, 4)
    changed = x.clone()
    changed[0, 0] += 1
    differs = (network(changed, links) != network(x, links)).any(2)[0]
    assert differs.tolist() == [True, True, False, False]


def test_the_published_models_have_their_sizes() -> None:
    """Computed from the shapes in the official code: backbone with its last normalisation, and head."""
    for size, trunk in (("tiny", 27_578_154), ("small", 48_959_418)):
        with torch.device("meta"):
            model = GraphCape(Config(backbone=f"swinv2_{size}_window16_256", weights="none"), SETTING)
        own = sum(p.numel() for p in model.backbone.parameters())
        assert (own, sum(p.numel() for p in model.parameters()) - own) == (trunk, 9_013_894)

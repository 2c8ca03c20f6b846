"""What models of any category have in common when they are set beside a reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from parity_adapters.case import Case, in_default_precision
from parity_adapters.heatmap_models import Released
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category

CATALOG = installed()


Calls = Mapping[str, list[tuple[tuple[Any, ...], Any]]]
"""By layer, the arguments and the result of each call."""


def built(model: str, config: Mapping[str, Any], case: Case) -> tuple[Any, Released]:
    """A model of the zoo in eval mode with the case's weights, and the mapping by which they came in.

    Each sample of the batch has a category of its own. It has all the keypoints that there is room for: the reference
    gives numbers for its padding as well.
    """
    spec = CATALOG.model(model)
    names = tuple(f"k{number}" for number in range(case.spec["K"]))
    skeletons = case.spec.get("skeleton", [[] for _ in case.spec["real_keypoints"]])
    categories = tuple(
        Category(f"c{number}", f"c{number}", names, limbs=tuple(map(tuple, limbs)))
        for number, limbs in enumerate(skeletons)
    )
    width, height = case.spec["image_size"]
    settings = spec.config(**{"weights": "none", "dropout": 0.0, **config})
    network = spec.model(settings, Setting((height, width), case.spec["K"], categories))
    # The reference's pictures are drawn as the network sees them, its heatmaps as plain Gaussians.
    network.normalise = nn.Identity()
    across, down = case.spec.get("heatmap_size", (width // 4, height // 4))
    network.codec = HeatmapCodec((height, width), (down, across), case.spec.get("sigma", 2.0), "dark")
    released = partial(spec.released, settings)
    network.load_state_dict(dict(released(case.state)))
    return network.eval(), released


def episode_of(case: Case) -> EpisodeBatch:
    """Where the reference looks at no support pictures, they and the points on them are 0."""
    shots = [f"s{shot}" for shot in range(case.spec["shots"])]
    image, query = case.draw("img_q"), _keypoints(case, "q")
    points = [_keypoints(case, shot) for shot in shots]
    support = Keypoints(torch.stack([p.xy for p in points], 1), torch.stack([p.weight for p in points], 1))
    pictures = torch.stack([case.draw(f"img_{s}") if case.draws(f"img_{s}") else 0 * image for s in shots], 1)
    rows = torch.arange(len(image))
    return EpisodeBatch(image, query, rows, rows, pictures, support)


def _keypoints(case: Case, of: str) -> Keypoints:
    real = torch.arange(case.spec["K"]) < torch.tensor(case.spec["real_keypoints"])[:, None]
    weight = in_default_precision(real & (case.draw(f"hide_{of}") >= case.spec["hide"]))
    return Keypoints(case.draw(f"kp_{of}") if case.draws(f"kp_{of}") else torch.zeros(*weight.shape, 2), weight)


def watched(model: nn.Module, layers: list[str], run: Callable[[], object]) -> Calls:
    """Every call of the named layers while the model runs."""
    calls: dict[str, list[tuple[tuple[Any, ...], Any]]] = defaultdict(list)

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: calls[name].append((inputs, output))

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    run()
    for handle in handles:
        handle.remove()
    return calls


def accuracy(points: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """PCK@0.2 of the crop as the references log it: first over the batch, then over the keypoints that occur."""
    right = ((points - target).norm(dim=2) < 0.2) & (weight > 0)
    occurs = (weight > 0).sum(0)
    return (right.sum(0)[occurs > 0] / occurs[occurs > 0]).mean()

"""What an exported file computes: a model as functions of plain arrays, in graphs with named inputs and outputs.

A model of one skeleton is one graph, ``model``. A category-agnostic one that looks at supports without the query is
two: ``support`` encodes annotated pictures, and ``query`` finds their keypoints in further pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from posebed.contracts import LinkedSkeletons, SupportEncoder
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.training.pose_module import PoseModule

# B query pictures, S support pictures, K keypoints, L links, H W the crops' height and width

Arrays = Mapping[str, Tensor]

AXES: Mapping[str, Mapping[int, str]] = {
    "image": {0: "batch"},
    "aspect": {0: "batch"},
    "support_image": {0: "shots"},
    "support_xy": {0: "shots", 1: "keypoints"},
    "support_weight": {0: "shots", 1: "keypoints"},
    "support_aspect": {0: "shots"},
    "links": {0: "links"},
}
"""Axes of any length of the inputs: ``image`` (B, 3, H, W) RGB, uint8; ``aspect`` (B,) as ``Batch.aspect``, float64;
``support_image`` (S, 3, H, W); ``support_xy`` (S, K, 2) in pixels of the crop, float32; ``support_weight`` (S, K), 1
where a keypoint is labelled, else 0; ``links`` (L, 2) pairs of keypoints, int64, of which a row of -1 is none."""
POSE = ("xy", "confidence")
"""Outputs of a graph that finds keypoints: (B, K, 2) in pixels of the crop, and (B, K), both float32."""


@dataclass(frozen=True)
class Graph:
    """A function from named arrays to named arrays, and an example of what it is given."""

    name: str
    """``model``, ``support`` or ``query``."""
    function: nn.Module
    """Takes a mapping of the inputs; gives a tuple, the outputs."""
    example: Arrays
    axes: Mapping[str, Mapping[int, str]]
    """Axes of any length, by input."""
    outputs: tuple[str, ...]


class Answer(nn.Module):
    """Pictures, and the supports where the model needs some, to keypoints."""

    def __init__(self, model: PoseModule, keypoints: int | None) -> None:
        """``keypoints`` as in ``batch_of``."""
        super().__init__()
        self.model, self.keypoints = model, keypoints

    def forward(self, given: Arrays) -> tuple[Tensor, ...]:
        batch = batch_of(given, self.keypoints)
        return _arrays(self.model.decode(self.model(batch), batch))


class Encode(nn.Module):
    """Supports to what the model knows of them; the outputs are those leaves that are named."""

    def __init__(self, model: PoseModule, wanted: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.wanted = model, wanted

    def forward(self, given: Arrays) -> tuple[Tensor, ...]:
        found = dict(leaves(self.encoded(given)))
        return tuple(found[name] for name in self.wanted)

    def encoded(self, given: Arrays) -> Any:
        """As ``SupportEncoder.encode_support`` gives it, of one row."""
        assert isinstance(self.model, SupportEncoder)
        image = given["support_image"]
        batch = batch_of({"image": image[:1], **given})
        assert isinstance(batch, EpisodeBatch)
        return self.model.encode_support(batch)


class Locate(nn.Module):
    """Pictures and the encoded supports to keypoints."""

    def __init__(self, model: PoseModule, template: Any) -> None:
        """``template`` is an encoded support, in whose place those come that are given."""
        super().__init__()
        self.model, self.template = model, template

    def forward(self, given: Arrays) -> tuple[Tensor, ...]:
        assert isinstance(self.model, SupportEncoder)
        batch = batch_of(given)
        assert isinstance(batch, EpisodeBatch)
        rows = {
            name: of.expand(batch.image.shape[0], *of.shape[1:])
            for name, of in given.items()
            if name.startswith(ENCODED)
        }
        prediction = self.model.locate(batch, filled(self.template, rows))
        return _arrays(self.model.decode(prediction, batch))


class WithLinks(nn.Module):
    """A function whose model is asked about a category that its buffers do not hold, but ``links`` do."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function

    def forward(self, given: Arrays) -> tuple[Tensor, ...]:
        if "links" not in given:  # where it does not look at them
            return self.function(given)
        model = self.function.model
        assert isinstance(model, LinkedSkeletons)
        buffers = model.skeleton_buffers(given["support_weight"].shape[1], given["links"])
        return functional_call(self.function, {f"model.{name}": of for name, of in buffers.items()}, (given,))


ENCODED = "encoded"
"""What the names of the leaves of an encoded support begin with."""


def leaves(thing: Any, name: str = ENCODED) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of an encoded support, by its dotted place."""
    if isinstance(thing, Tensor):
        yield name, thing
    elif thing is not None:
        for field in fields(thing):
            yield from leaves(getattr(thing, field.name), f"{name}.{field.name}")


def filled(template: Any, given: Arrays, name: str = ENCODED) -> Any:
    """An encoded support with other tensors; None where none is given."""
    if template is None or isinstance(template, Tensor):
        return given.get(name)
    parts = {field.name: getattr(template, field.name) for field in fields(template)}
    return replace(template, **{part: filled(of, given, f"{name}.{part}") for part, of in parts.items()})


def batch_of(given: Arrays, keypoints: int | None = None) -> Batch:
    """The inputs of a graph as a batch of the first category, whose queries all have the same supports.

    Args:
        keypoints: K; by default as many as the supports have.
    """
    image, weight = given["image"], given.get("support_weight")
    size = image.shape[0]
    rows = torch.zeros(size, dtype=torch.int64, device=image.device)
    if weight is None:
        assert keypoints is not None
        unknown = Keypoints(torch.zeros(size, keypoints, 2), torch.zeros(size, keypoints))
        return Batch(image, unknown, rows, rows, aspect=given.get("aspect"))
    shots, keypoints = weight.shape
    unknown = Keypoints(torch.zeros(size, keypoints, 2), torch.zeros(size, keypoints))
    shown = given.get("support_image")
    shown = torch.zeros(shots, 3, 1, 1, dtype=torch.uint8) if shown is None else shown
    xy = given.get("support_xy")
    xy = torch.zeros(shots, keypoints, 2) if xy is None else xy
    aspect = given.get("support_aspect")
    return EpisodeBatch(
        image=image,
        keypoints=unknown,
        category=rows,
        row=rows,
        aspect=given.get("aspect"),
        support_image=shown.expand(size, *shown.shape),
        support=Keypoints(xy.expand(size, *xy.shape), weight.expand(size, *weight.shape)),
        support_aspect=None if aspect is None else aspect.expand(size, *aspect.shape),
    )


def _arrays(pose: Keypoints) -> tuple[Tensor, ...]:
    return pose.xy.float(), pose.weight.float()

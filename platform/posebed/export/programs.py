"""A model's graphs as programs of torch, in which no shape depends on data and every input changes something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from posebed.contracts import LinkedSkeletons, Setting, SupportEncoder, Task
from posebed.export.graphs import AXES, POSE, Answer, Encode, Graph, Locate, WithLinks, leaves
from posebed.training.pose_module import PoseModule

EXAMPLE = {"batch": 3, "shots": 2, "links": 2}
"""Lengths of axes in examples; 0 and 1 would be taken for constants."""


SIZED = ("image", "support_weight")
"""Inputs that also say how many pictures, shots and keypoints there are, and are kept for that."""


@dataclass(frozen=True)
class Program:
    name: str
    """As in ``Graph``."""
    exported: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    """Axes of any length, by input."""

    def example_outputs(self) -> dict[str, Tensor]:
        """What it gives for the inputs that it was made with."""
        given, _ = self.exported.example_inputs or ((), {})
        return dict(zip(self.outputs, self.exported.module()(*given), strict=True))

    def input_shapes(self) -> list[torch.Size]:
        """Lengths, symbols of those that may vary."""
        return [node.meta["val"].shape for node in _placeholders(self.exported)]

    def output_shapes(self) -> list[torch.Size]:
        """As ``input_shapes``."""
        (output,) = self.exported.graph.find_nodes(op="output")
        values = {node.name: node.meta["val"] for node in output.args[0]}
        return [values[name].shape for name in self.exported.graph_signature.user_outputs]


def programs_of(model: PoseModule, setting: Setting, task: Task) -> list[Program]:
    """``model`` alone, or ``support`` and ``query``.

    Args:
        model: in eval mode, on the processor.

    Raises:
        ValueError: torch cannot follow the model, or a shape depends on data.
    """
    with torch.no_grad():
        if task is Task.CATEGORY_SPECIFIC:
            example = _example(setting, ("image", "aspect"))
            return [_program(Graph("model", Answer(model, setting.keypoints), example, AXES, POSE))]
        if not isinstance(model, SupportEncoder):
            example = _example(setting, tuple(name for name in AXES if name != "links"))
            return [_program(Graph("model", Answer(model, None), example, AXES, POSE))]
        return _pair(model, setting)


def _pair(model: PoseModule, setting: Setting) -> list[Program]:
    shown = tuple(name for name in AXES if name.startswith("support_"))
    shown += ("links",) if isinstance(model, LinkedSkeletons) else ()
    example = _example(setting, shown)
    template = Encode(model, ()).encoded(example)

    def encoding(wanted: tuple[str, ...]) -> Program:
        return _program(Graph("support", _linked(Encode(model, wanted)), example, AXES, wanted))

    support = encoding(tuple(name for name, _ in leaves(template)))
    encoded = support.example_outputs()
    given = {**_example(setting, ("image", "aspect", *shown[1:])), **encoded}
    axes = {**AXES, **_encoded_axes(support)}
    query = _program(Graph("query", _linked(Locate(model, template)), given, axes, POSE))
    wanted = tuple(name for name in query.inputs if name in encoded)
    return [support if wanted == support.outputs else encoding(wanted), query]


def _linked(function: Encode | Locate) -> nn.Module:
    return WithLinks(function) if isinstance(function.model, LinkedSkeletons) else function


def _encoded_axes(support: Program) -> dict[str, dict[int, str]]:
    """Which axes of an encoded support are as long as there are shots or keypoints."""
    known: dict[str, str] = {}
    for name, shape in zip(support.inputs, support.input_shapes(), strict=True):
        known |= {str(shape[place]): axis for place, axis in support.axes[name].items()}
    axes: dict[str, dict[int, str]] = {}
    for name, shape in zip(support.outputs, support.output_shapes(), strict=True):
        vary = [(place, str(length)) for place, length in enumerate(shape) if not isinstance(length, int)]
        axes[name] = {place: known.get(length, f"{name} {place}") for place, length in vary}
    return axes


def _example(setting: Setting, names: tuple[str, ...], **lengths: int) -> dict[str, Tensor]:
    """Inputs of noise. Supports show every keypoint."""
    draws = torch.Generator().manual_seed(0)
    batch, shots, keypoints = (
        lengths.get(axis, usual)
        for axis, usual in (("batch", EXAMPLE["batch"]), ("shots", EXAMPLE["shots"]), ("keypoints", setting.keypoints))
    )
    height, width = setting.size
    size = torch.tensor([width, height], dtype=torch.float32)

    def pictures(count: int) -> Tensor:
        return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=draws)

    everything = {
        "image": pictures(batch),
        "aspect": 0.5 + torch.rand(batch, dtype=torch.float64, generator=draws),
        "support_image": pictures(shots),
        "support_xy": torch.rand(shots, keypoints, 2, generator=draws) * (size - 1),
        "support_weight": torch.ones(shots, keypoints),
        "support_aspect": 0.5 + torch.rand(shots, dtype=torch.float64, generator=draws),
        "links": torch.stack([torch.arange(EXAMPLE["links"]), 1 + torch.arange(EXAMPLE["links"])], 1),
    }
    return {name: everything[name] for name in names}


class _Flat(nn.Module):
    """The function of a graph with its inputs in a row."""

    def __init__(self, function: nn.Module, names: tuple[str, ...], axes: Mapping[str, Mapping[int, str]]) -> None:
        super().__init__()
        self.function, self.names, self.axes = function, names, axes

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        lengths: dict[str, int] = {}
        for name, array in zip(self.names, arrays, strict=True):
            for place, axis in self.axes.get(name, {}).items():
                torch._check(array.shape[place] == lengths.setdefault(axis, array.shape[place]))
        return self.function(dict(zip(self.names, arrays, strict=True)))


def _program(graph: Graph) -> Program:
    exported = _exported(graph)
    exported.graph.eliminate_dead_code()
    used = [
        name
        for name, node in zip(graph.example, _placeholders(exported), strict=True)
        if name in SIZED or any(user.target is not torch.ops.aten.sym_size.int for user in node.users)
    ]
    if len(used) < len(graph.example):
        graph = replace(graph, example={name: graph.example[name] for name in used})
        exported = _exported(graph)
    axes = {name: graph.axes.get(name, {}) for name in graph.example}
    return Program(graph.name, exported, tuple(graph.example), graph.outputs, axes)


def _exported(graph: Graph) -> ExportedProgram:
    names = tuple(graph.example)
    shapes = tuple(dict.fromkeys(graph.axes.get(name, {}), Dim.DYNAMIC) for name in names)
    return torch.export.export(
        _Flat(graph.function, names, graph.axes), tuple(graph.example.values()), dynamic_shapes=(shapes,), strict=False
    )


def _placeholders(exported: ExportedProgram) -> list[Any]:
    wanted = set(exported.graph_signature.user_inputs)
    return [node for node in exported.graph.nodes if node.op == "placeholder" and node.name in wanted]

"""Every model of the zoo as a file that runs without posebed, with other numbers of pictures, shots and keypoints than
it was exported with, and of a category that training did not show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from posebed.catalog import installed
from posebed.contracts import Setting, Task
from posebed.export.agreement import agreement
from posebed.export.onnx_file import OnnxFile, write_onnx
from posebed.export.programs import programs_of
from posebed.export.torch_file import TorchFile, write_torch
from posebed.inference.trained_model import Trained
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.testing.discs import SETTING, SIDE, TWO_KINDS, aspects, discs, drawn
from posebed.testing.models import built, spec_of
from posezoo.blocks.clustering import k_means, k_medoids
from posezoo.blocks.dynamic_convolution import DynamicConvolution
from posezoo.blocks.keypoint_padding import KeypointPadding, in_order
from posezoo.blocks.sampling import read

pytest.importorskip("onnxruntime", reason="needs posebed[export]")
pytest.importorskip("onnxscript", reason="needs posebed[export]")

ZOO = [name for name in installed().models if not spec_of(name).not_exported]
KINDS = (*TWO_KINDS.categories, Category("other", "other", ("a", "b", "c"), limbs=((2, 1), (0, 2))))
"""Those of the training, and one that it did not show."""
Form = tuple[str, Callable[..., None], Callable[[Path], Any]]
FORMS: list[Form] = [(".onnx", write_onnx, OnnxFile), (".pt2", write_torch, TorchFile)]
"""Endings, what writes such a file, and what runs it."""


def test_all_models_are_exported_but_those_that_are_trained_in_a_test_or_read_words():
    assert {*installed().models} - {*ZOO} == {"maml", "fine_tune", "proto_pose", "cape_x"}


@pytest.mark.services
@pytest.mark.slow(minutes=10)
@pytest.mark.parametrize(("name", "task"), [(name, task) for name in ZOO for task in spec_of(name).tasks], ids=str)
def test_files_agree_with_the_model(name: str, task: Task, tmp_path: Path):
    must_agree(name, task, tmp_path, {}, FORMS)


@pytest.mark.services
@pytest.mark.slow(minutes=10)
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("kitpose", {"clustering": "k-means"}),
        ("fmmp", {"test_padding": "mixup"}),
        ("fmmp", {"support_miner": False, "test_padding": "zero"}),
        ("pomnet", {"transformer": False, "shared_backbone": True}),
        ("sdpnet", {"graph": "none", "aggregation": "average"}),
        ("sdpnet", {"graph": "global", "modulation": "fixed", "sparsity": "entropy"}),
        ("simple_baseline", {"target": "dark", "flip_test": "off"}),
        ("graph_cape", {"graph": "both"}),
        ("edge_cape", {"edge_slots": 8, "hops": 2}),
        ("edge_cape", {"predicted_edges": False, "structural_bias": False}),
        ("proto_net", {"distance": "cosine"}),
        ("match", {"shots": "max", "upsample": 1, "window": 0}),
        ("match", {"geometry": 2.0, "mutual": True}),
        ("match", {"stride": (8, 16), "resolution": 96}),
        ("match", {"backbone": "test_vit", "stride": None, "block": (-1, -3), "upsample": 1}),
    ],
    ids=str,
)
def test_variants_agree_too(name: str, config: dict[str, Any], tmp_path: Path):
    """As ONNX, which can do less than torch's own files."""
    (task,) = spec_of(name).tasks
    must_agree(name, task, tmp_path, config, FORMS[:1])


def must_agree(name: str, task: Task, folder: Path, config: dict[str, Any], forms: Sequence[Form]) -> None:
    setting = SETTING if task is Task.CATEGORY_SPECIFIC else TWO_KINDS
    model = made(name, setting, config)
    programs = programs_of(model, setting, task)
    for ending, write, opened in forms:
        files: list[Any] = []
        for program in programs:
            about = {"format": 1, "graph": program.name, "model": name}
            path = folder / f"{program.name}{ending}"
            write(program, about | {"inputs": program.inputs, "outputs": program.outputs}, path)
            files.append(opened(path))
        for kind, (count, shots) in zip((0, 0, 1, 2), ((1, 1), (5, 3), (4, 1), (2, 2)), strict=True):
            shown = KINDS[kind if task is Task.CATEGORY_AGNOSTIC else 0]
            size = max(setting.keypoints, len(shown.keypoints))
            own = made(name, replace(setting, keypoints=size, categories=(shown,)), config, model.state_dict())
            about = {"padding": 1.0}
            trained = Trained(own, replace(setting, categories=(shown,)), task, torch.device("cpu"), about, ())
            found = agreement(trained, files, [batch(task, count, shots, len(shown.keypoints))])
            assert found.crops == count and found.keypoints and found.confidence < 1e-4


def made(name: str, setting: Setting, config: dict[str, Any], state: Mapping[str, Tensor] | None = None) -> Any:
    """The small form, whose weights that start near 0 are larger, so that all of it takes part in an answer."""
    spec = spec_of(name)
    if spec.compute:
        model = built(name, setting=setting)
    else:
        torch.manual_seed(0)
        model: Any = spec.model(spec.config.model_validate({**spec.small, **config}), setting)
    if state is not None:
        model.load_state_dict(state)
        return model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.abs().max() < 0.02:
                parameter.normal_(std=0.1)
    return model.eval()


def batch(task: Task, count: int, shots: int, keypoints: int) -> Batch:
    """Queries with the same supports, the first of several of which hides a keypoint."""
    query = drawn(Task.CATEGORY_SPECIFIC, count, seed=3)
    if task is Task.CATEGORY_SPECIFIC:
        return query
    image, points = discs(shots, np.random.default_rng(5))
    weight = points.weight.clone()
    weight[:, keypoints:] = 0
    if shots > 2:
        weight[0, 1] = 0
    rows = (count, shots)
    return EpisodeBatch(
        query.image,
        query.keypoints,
        query.category,
        query.row,
        image.expand(count, *image.shape),
        Keypoints(points.xy.expand(*rows, *points.xy.shape[1:]), weight.expand(*rows, *weight.shape[1:])),
        aspect=query.aspect,
        support_aspect=aspects(shots, 9).expand(*rows),
    )


@pytest.mark.parametrize("sides", ["assign", "pose"])
def test_mirror_partners_are_refused_as_a_file_is_given_none(sides: str):
    model = made("match", TWO_KINDS, {"sides": sides})
    with pytest.raises(ValueError, match=f"sides must be none in a file that runs without posebed, .* but is {sides}"):
        programs_of(model, TWO_KINDS, Task.CATEGORY_AGNOSTIC)


class Exported(torch.nn.Module):
    """A function as a program."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arrays: Tensor) -> Any:
        return self.function(*arrays)


def exported(function: Any, *arrays: Tensor) -> Any:
    with torch.no_grad():
        return torch.export.export(Exported(function), arrays, strict=False).module()(*arrays)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_of_a_program_are_those_of_the_model(seed: int):
    points = torch.nn.functional.normalize(torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(seed)), dim=2)
    first = torch.arange(4)
    distance = (1 - points @ points.mT).clamp(min=0)
    for function, given in ((k_medoids, distance), (k_means, points)):
        ours = function(given, first, 3)
        program = exported(lambda x, y, of=function: of(x, y, 3), given, first)
        assert all(torch.equal(a, b) for a, b in zip(as_tuple(ours), as_tuple(program), strict=True))


def as_tuple(found: Any) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def test_places_read_by_a_program_are_those_of_the_model():
    draws = torch.Generator().manual_seed(0)
    sizes = [(4, 5), (2, 3)]
    cells = torch.randn(2, 6 * 7 + 4 * 5, 8, generator=draws)
    places = torch.rand(3, 2, 4, 2, 2, 2, generator=draws) * 1.4 - 0.2
    weights = torch.rand(3, 2, 4, 2, 2, generator=draws)
    ours = read(cells, sizes, places, weights)
    program = exported(lambda a, b, c: read(a, sizes, b, c), cells, places, weights)
    torch.testing.assert_close(program, ours)


def test_a_dynamic_convolution_of_a_program_is_that_of_the_model():
    torch.manual_seed(0)
    layer = DynamicConvolution(6, 5).eval()
    maps, kernels = torch.randn(3, 6, 7, 8), torch.randn(3, 6, 5, 5)
    torch.testing.assert_close(exported(layer, maps, kernels), layer(maps, kernels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_links_given_to_a_program_are_those_that_the_model_was_built_for(kind: int):
    category = KINDS[kind]
    own = KeypointPadding(replace(TWO_KINDS, categories=(category,)), 8)
    links = torch.tensor([*category.limbs, (-1, -1)])
    given = own.buffers_of(len(category.keypoints), links)
    for name in ("count", "limbs", "links"):
        assert torch.equal(given[name], getattr(own, name)), name
    assert torch.equal(given["ends"][:, : len(category.limbs)], own.ends)


def test_slots_of_one_link_stay_in_the_order_of_their_shares():
    draws = torch.Generator().manual_seed(0)
    link, share = torch.randint(-1, 4, (5, 30), generator=draws), torch.rand(5, 30, generator=draws)
    ordered, shares = in_order(link, share)
    assert torch.equal(ordered, link.sort(1).values)
    for row in range(5):
        for number in range(-1, 4):
            of = shares[row, ordered[row] == number]
            assert torch.equal(of, of.sort().values)


def test_an_onnx_file_names_its_axes_and_keeps_no_place_of_a_source_file(tmp_path: Path):
    onnx: Any = pytest.importorskip("onnx")
    model = made("mean_pose", TWO_KINDS, {})
    (program,) = programs_of(model, TWO_KINDS, Task.CATEGORY_AGNOSTIC)
    about = {"format": 1, "graph": "model", "model": "mean_pose"}
    write_onnx(program, about, tmp_path / "model.onnx")
    file = onnx.load(tmp_path / "model.onnx")
    axes = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in file.graph.input}
    assert axes == {
        "image": ["batch", 3, SIDE, SIDE],
        "support_xy": ["shots", "keypoints", 2],
        "support_weight": ["shots", "keypoints"],
    }
    assert json.loads(file.metadata_props[0].value) == about
    assert b".py" not in (tmp_path / "model.onnx").read_bytes()
    write_torch(program, about, tmp_path / "model.pt2")
    assert b"site-packages" not in (tmp_path / "model.pt2").read_bytes()

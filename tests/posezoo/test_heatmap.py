"""Normalisation, flip test and loss of the heatmap models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posebed.contracts import Setting
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks.heatmap import FlipTest, heatmap_loss
from posezoo.blocks.normalise import IMAGENET_MEAN, IMAGENET_STD, Normalise
from posezoo.simple_baseline import SPEC, Config

SETTING = Setting(
    (32, 32),
    4,
    (
        Category("pair", "pair", ("nose", "left", "right"), flip_pairs=((1, 2),)),
        Category("other", "other", ("left", "right", "tail", "ear"), flip_pairs=((0, 1),)),
    ),
)


def batch(image: Tensor, category: list[int]) -> Batch:
    nothing = Keypoints(torch.zeros(len(image), 4, 2), torch.zeros(len(image), 4))
    return Batch(image, nothing, torch.tensor(category), torch.arange(len(image)))


def test_uint8_and_float_pictures_normalise_alike() -> None:
    image = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = (image / 255 - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    torch.testing.assert_close(Normalise()(image), expected)
    torch.testing.assert_close(Normalise()(image.float()), expected)
    assert Normalise().bfloat16()(image).dtype == torch.bfloat16


def test_statistics_of_the_pretrained_pictures_are_saved_with_the_weights() -> None:
    trained, restored = Normalise((0.5,) * 3, (0.5,) * 3), Normalise()
    restored.load_state_dict(trained.state_dict())
    image = torch.rand(1, 3, 2, 2) * 255
    torch.testing.assert_close(restored(image), image / 127.5 - 1)


def test_the_flip_test_exchanges_left_and_right_of_each_category() -> None:
    maps = torch.rand(2, 4, 1, 4)
    # These heatmaps are the picture itself, so that its mirror image is exactly undone.
    actual = FlipTest("plain", SETTING)(lambda image: image, batch(maps, [0, 1]))
    exchanged = torch.stack([maps[0][[0, 2, 1, 3]], maps[1][[1, 0, 2, 3]]])
    torch.testing.assert_close(actual, (maps + exchanged) / 2)


def test_the_shifted_flip_test_moves_the_mirrored_maps_one_cell_to_the_right() -> None:
    maps = torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(1, 4, 1, 4)
    actual = FlipTest("shifted", SETTING)(lambda image: image, batch(maps, [0]))
    torch.testing.assert_close(actual[0, 0, 0], torch.tensor([0.0, 0.0, 0.5, 0.5]))


def test_the_flip_test_takes_place_in_evaluation_alone() -> None:
    torch.manual_seed(0)
    settings = {"backbone": "resnet10t", "weights": "none", "stride": 8, "deconvs": 0}
    models = [SPEC.model(Config(flip_test=mode, **settings), SETTING) for mode in ("off", "shifted")]
    models[1].load_state_dict(models[0].state_dict())
    crops = batch(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), [0, 1])
    off, shifted = (model.train()(crops) for model in models)
    torch.testing.assert_close(off, shifted)
    off, shifted = (model.eval()(crops) for model in models)
    assert not torch.allclose(off, shifted)


def test_a_keypoint_counts_in_the_loss_by_its_weight() -> None:
    maps, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    weight = torch.tensor([[1.0, 0.0, 0.5], [1.0, 1.0, 0.0]])
    expected = ((maps - target) ** 2 * weight[:, :, None, None]).sum() / maps.numel()
    torch.testing.assert_close(heatmap_loss(maps, target, weight), expected)


@pytest.mark.parametrize(("stride", "deconvs", "side"), [(32, 3, 8), (32, 2, 4), (16, 2, 8), (8, 0, 4), (16, 0, 2)])
def test_heatmaps_have_the_stride_that_was_asked_for(stride: int, deconvs: int, side: int) -> None:
    config = Config(backbone="resnet10t", weights="none", stride=stride, deconvs=deconvs, channels=8)
    model = SPEC.model(config, SETTING)
    maps = model(batch(torch.zeros(2, 3, 32, 32), [0, 1]))
    assert maps.shape == (2, 4, side, side) and model.codec.heatmap_size == (side, side)

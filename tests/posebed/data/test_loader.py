"""Batches: what is in them, in which order, and that the number of workers changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from posebed.config import AugmentConfig, TrainConfig
from posebed.data.augment import Bodies, draw
from posebed.data.batches import augmented
from posebed.data.crop import apply_affine
from posebed.data.loader import Loader, evaluation_batches, training_batches, training_episode_batches
from posebed.data.pack import Pack
from posebed.pose import Batch, EpisodeBatch

STRONG = AugmentConfig(scale=0.3, rotation=30, shift=0.1, flip=0.5, half_body=0.5, half_body_keypoints=3, colour=0.2)
ROWS = np.arange(18)


def train(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"batch_size": 8, "augment": STRONG, **settings})


def joined(batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Every tensor of some batches, one after the other."""
    batches = list(batches)
    tensors = {
        "image": [b.image for b in batches],
        "xy": [b.keypoints.xy for b in batches],
        "weight": [b.keypoints.weight for b in batches],
        "category": [b.category for b in batches],
        "row": [b.row for b in batches],
        "support_image": [b.support_image for b in batches if isinstance(b, EpisodeBatch)],
        "support_xy": [b.support.xy for b in batches if isinstance(b, EpisodeBatch)],
        "support_weight": [b.support.weight for b in batches if isinstance(b, EpisodeBatch)],
    }
    return {name: torch.cat(parts) for name, parts in tensors.items() if parts}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def one_epoch(pack: Pack, shots: int, config: TrainConfig, epoch: int = 1, seed: int = 0, **worker: Any) -> list[Batch]:
    if shots:
        return list(training_episode_batches(pack, ROWS, shots, config, epoch=epoch, seed=seed, **worker))
    return list(training_batches(pack, ROWS, config, epoch=epoch, seed=seed, **worker))


def test_a_batch_holds_what_its_contract_says(tiny_pack: Pack) -> None:
    first = one_epoch(tiny_pack, 0, train())[0]
    assert first.image.shape == (8, 3, 64, 48)
    assert first.image.dtype == torch.uint8
    assert first.keypoints.xy.shape == (8, 6, 2)
    assert first.keypoints.xy.dtype == first.keypoints.weight.dtype == torch.float32
    assert first.category.dtype == first.row.dtype == torch.int64
    assert first.category.tolist() == tiny_pack.category[first.row].tolist()


@pytest.mark.parametrize("shots", [0, 2])
def test_padded_and_unlabelled_keypoints_have_no_weight_and_no_place(tiny_pack: Pack, shots: int) -> None:
    seen = joined(one_epoch(tiny_pack, shots, train()))
    labelled = torch.from_numpy((tiny_pack.keypoints[seen["row"]][..., 2] > 0).sum(1))
    assert seen["weight"].sum(1).tolist() == labelled.tolist()
    assert not seen["weight"][seen["category"] == 1, 3:].any()
    for part in ("", "support_") if shots else ("",):
        assert not seen[f"{part}xy"][seen[f"{part}weight"] == 0].any()


def test_evaluation_keeps_the_order_and_shows_exact_crops(tiny_pack: Pack) -> None:
    rows = np.array([3, 1, 17, 4, 0])
    batches = list(evaluation_batches(tiny_pack, np.split(rows[:, None], [2, 4])))
    seen = joined(batches)
    assert [len(b) for b in batches] == [2, 2, 1]
    assert seen["row"].tolist() == rows.tolist()
    assert (seen["image"].permute(0, 2, 3, 1).numpy() == tiny_pack.evaluation_crops[rows]).all()
    xy = apply_affine(tiny_pack.affine[rows], tiny_pack.keypoints[rows, :, :2])
    labelled = seen["weight"] > 0
    np.testing.assert_allclose(seen["xy"][labelled], xy[labelled], atol=1e-3)


def test_training_without_augmentation_shows_evaluation_crops(tiny_pack: Pack) -> None:
    seen = joined(one_epoch(tiny_pack, 0, train(augment=AugmentConfig())))
    exact = joined(evaluation_batches(tiny_pack, [seen["row"].numpy()[:, None]]))
    difference = (seen["image"].int() - exact["image"].int()).abs()
    assert difference.max() <= 3  # cv2 counts in 1/32 of a pixel
    torch.testing.assert_close(seen["xy"], exact["xy"], atol=1e-4, rtol=0)


def test_mirrored_animals_trade_left_and_right(tiny_pack: Pack) -> None:
    seen = joined(one_epoch(tiny_pack, 0, train(augment=AugmentConfig(flip=1))))
    exact = joined(evaluation_batches(tiny_pack, [seen["row"].numpy()[:, None]]))
    dogs = seen["category"] == 0
    swapped = torch.tensor([1, 0, 2, 4, 3, 5])
    assert torch.equal(seen["weight"][dogs], exact["weight"][dogs][:, swapped])
    expected = exact["xy"][dogs][:, swapped]
    expected[..., 0] = 47 - expected[..., 0]
    both = seen["weight"][dogs] > 0
    torch.testing.assert_close(seen["xy"][dogs][both], expected[both], atol=1e-4, rtol=0)


def test_keypoints_move_with_their_pixels(tiny_pack: Pack) -> None:
    """An augmented crop shows at each keypoint the colour that the exact crop shows there."""
    config = AugmentConfig(rotation=30, rotation_share=1, shift=0.1)
    rows = ROWS[tiny_pack.category == 1]
    bodies = Bodies.of(tiny_pack.categories, 6)
    turned = augmented(tiny_pack, bodies, rows, config, draw(np.random.default_rng(0), 6), torch.device("cpu"))
    exact = joined(evaluation_batches(tiny_pack, [rows[:, None]]))

    def colours(image: Tensor, xy: Tensor) -> Tensor:
        grid = xy[:, None] / torch.tensor([47, 63]) * 2 - 1
        return torch.nn.functional.grid_sample(image.float(), grid, align_corners=True)[:, :, 0].permute(0, 2, 1)

    inside = torch.ones(6, 6, dtype=torch.bool)
    for xy in (turned.keypoints.xy, exact["xy"]):
        inside &= ((xy > 2) & (xy < torch.tensor([45, 61]))).all(-1)
    inside &= turned.keypoints.weight > 0
    assert inside.sum() > 5
    before, after = colours(exact["image"], exact["xy"]), colours(turned.image, turned.keypoints.xy)
    assert (before[inside] - after[inside]).abs().mean() < 8


@pytest.mark.parametrize("shots", [0, 2])
def test_the_same_seed_and_epoch_give_the_same_batches(tiny_pack: Pack, shots: int) -> None:
    first = joined(one_epoch(tiny_pack, shots, train()))
    assert same(first, joined(one_epoch(tiny_pack, shots, train())))
    assert not same(first, joined(one_epoch(tiny_pack, shots, train(), seed=1)))
    assert not same(first, joined(one_epoch(tiny_pack, shots, train(), epoch=2)))


@pytest.mark.parametrize("shots", [0, 2])
def test_two_workers_see_the_halves_of_what_one_sees(tiny_pack: Pack, shots: int) -> None:
    alone = one_epoch(tiny_pack, shots, train())
    workers = [one_epoch(tiny_pack, shots, train(workers=2), rank=rank, world=2) for rank in (0, 1)]
    assert len(alone) == len(workers[0]) == len(workers[1])
    for whole, *halves in zip(alone, *workers, strict=True):
        assert same(joined([whole]), joined(halves))


@pytest.mark.parametrize("shots", [0, 2])
def test_micro_batches_make_up_the_whole_batch(tiny_pack: Pack, shots: int) -> None:
    whole = one_epoch(tiny_pack, shots, train())
    pieces = one_epoch(tiny_pack, shots, train(micro_batch=2))
    assert {len(b) for b in pieces} == {2}
    assert same(joined(whole), joined(pieces))


def test_a_batch_that_cannot_be_shared_out_is_refused(tiny_pack: Pack) -> None:
    with pytest.raises(ValueError, match="8 is not a multiple of 3 x 1"):
        training_batches(tiny_pack, ROWS, train(), epoch=0, seed=0, world=3)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({}, 2), ({"draws": 8}, 1), ({"draws": 40}, 5), ({"batch_size": 64}, 1), ({"draws": 3}, 1)],
)
def test_an_epoch_has_as_many_steps_as_its_draws_fill(tiny_pack: Pack, settings: dict[str, int], steps: int) -> None:
    config = train(**settings)
    loader = training_batches(tiny_pack, ROWS, config, epoch=0, seed=0)
    seen = joined(loader)["row"].tolist()
    assert len(loader) == steps
    assert len(seen) == steps * config.batch_size
    assert len(set(seen[:18])) == min(18, len(seen))


def test_the_loader_counts_the_seconds_waited_and_keeps_ahead() -> None:
    made: list[int] = []

    def slow() -> Iterator[Any]:
        for number in range(3):
            time.sleep(0.05)
            made.append(number)
            yield number

    loader = Loader(slow, 3, torch.device("cpu"))
    started = time.perf_counter()
    batches = iter(loader)
    assert next(batches) == 0
    busy = time.perf_counter()
    while len(made) < 3 or time.perf_counter() < busy + 0.3:
        assert time.perf_counter() < busy + 60, made
        time.sleep(0.01)
    fetched = time.perf_counter()
    assert list(batches) == [1, 2]
    assert 0.04 < loader.waited <= time.perf_counter() - started - (fetched - busy)


def test_what_fails_in_the_background_fails_in_front() -> None:
    def broken() -> Iterator[Any]:
        yield 1
        raise OSError("the disk is gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(iter(Loader(broken, 2, torch.device("cpu"))))


def test_leaving_early_ends_the_background_thread(tiny_pack: Pack) -> None:
    before = threading.active_count()
    batches = iter(training_batches(tiny_pack, ROWS, train(batch_size=1), epoch=0, seed=0))
    next(batches)
    assert threading.active_count() > before
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("shots", [0, 2])
def test_an_accelerator_sees_nearly_what_a_cpu_sees(tiny_pack: Pack, shots: int) -> None:
    there = joined(one_epoch(tiny_pack, shots, train(), device="cuda"))
    here = joined(one_epoch(tiny_pack, shots, train()))
    assert all(tensor.is_cuda for tensor in there.values())
    for name, tensor in here.items():
        difference = (there[name].cpu().float() - tensor.float()).abs()
        assert difference.mean() < (0.5 if "image" in name else 1e-4)

"""Processor time on one core until a batch can enter a model: from packed crops, and from JPEGs decoded each time.

    python benchmarks/loader.py [--quick | --record] [--real DIR]

DIR, or the variable POSEBED_REAL, has a folder per category with ``images/`` and ``annotations.json`` (COCO keypoints);
photographs smaller than 640 x 480 are left out. Without it, 640 x 480 pictures are drawn. Both sides augment, normalise
and make target heatmaps of the same records.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from figures import arguments, recording
from torch import Tensor
from torchvision.models import resnet18

from posebed.config import AugmentConfig, PackConfig, TrainConfig
from posebed.data.augment import augmentation, draw, warp_cv2, warp_torch
from posebed.data.codecs import HeatmapCodec
from posebed.data.crop import apply_affine, compose, translation, warp
from posebed.data.loader import training_batches
from posebed.data.pack import Pack, write_pack
from posebed.records import Category, Record

SIZE, CELLS, SIGMA, BATCH = (256, 256), (64, 64), 2.0, 32
AUGMENT = AugmentConfig(scale=0.5, rotation=40, flip=0.5, colour=0.2)
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
CODEC = HeatmapCodec(SIZE, CELLS, SIGMA)


def photographs(root: Path, limit: int = 120) -> Iterator[tuple[Record, Category]]:
    """Annotated photographs of at least 640 x 480, so many of each category."""
    for file in sorted(root.glob("*/annotations.json")):
        coco = json.loads(file.read_text(encoding="utf-8"))
        large = {i["id"]: i for i in coco["images"] if min(i["width"], i["height"]) >= 480 and i["width"] >= 640}
        name = file.parent.name
        category = Category(name, name, tuple(coco["categories"][0]["keypoints"]))
        for annotation in [a for a in coco["annotations"] if a["image_id"] in large][:limit]:
            image = large[annotation["image_id"]]
            path, box = f"{name}/images/{image['file_name']}", tuple(annotation["bbox"])
            points = np.reshape(annotation["keypoints"], (-1, 3))
            size = image["width"], image["height"]
            yield Record(f"{name}-{annotation['id']}", path, *size, name, box, box[2] * box[3], points), category


def drawings(root: Path, count: int) -> Iterator[tuple[Record, Category]]:
    """Pictures of 640 x 480: soft noise and shapes, compressed like photographs, with 17 points in a box."""
    rng = np.random.default_rng(0)
    category = Category("shape", "shape", tuple(f"k{i}" for i in range(17)))
    for number in range(count):
        noise = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(noise + rng.normal(0, 6, noise.shape), 0, 255).astype(np.uint8)
        for _ in range(12):
            centre, colour = rng.integers(0, (640, 480)).tolist(), rng.integers(0, 256, 3).tolist()
            cv2.circle(picture, centre, int(rng.integers(10, 90)), colour, -1, cv2.LINE_AA)
        cv2.imwrite(str(root / f"{number}.jpg"), picture)
        x, y, w, h = rng.uniform((0, 0, 150, 150), (300, 200, 340, 280))
        points = np.column_stack([[x, y] + rng.random((17, 2)) * [w, h], np.full(17, 2)])
        yield Record(f"{number}", f"{number}.jpg", 640, 480, "shape", (x, y, w, h), w * h, points), category


def decoded_each_time(root: Path, pack: Pack, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The usual dataset class: one sample after the other, from the JPEG to normalised floats and NumPy targets."""
    rng = np.random.default_rng(0)
    records = pack.records()
    for start in range(0, len(rows), BATCH):
        samples = [sample(root, records[row], pack.affine[row], rng) for row in rows[start : start + BATCH]]
        images, targets, weights = zip(*samples, strict=True)
        yield torch.stack(images), padded(targets, pack.max_keypoints), padded(weights, pack.max_keypoints)


def sample(root: Path, record: Record, crop: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    photograph = cv2.imread(str(root / record.image), cv2.IMREAD_COLOR_RGB)
    assert photograph is not None
    xy = apply_affine(crop, record.keypoints[:, :2])
    change = augmentation(AUGMENT, draw(rng, 1), SIZE, xy[None], np.zeros((1, len(xy))))
    seen = warp(photograph, compose(change.affine[0], crop), SIZE).astype(np.float32)
    seen = np.clip(seen * change.gain[0].astype(np.float32) + change.offset[0].astype(np.float32), 0, 255)
    image = ((seen - MEAN.astype(np.float32)) / DEVIATION.astype(np.float32)).transpose(2, 0, 1)
    target, weight = numpy_target(apply_affine(change.affine[0], xy), record.keypoints[:, 2] > 0)
    return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(target), torch.from_numpy(weight)


def numpy_target(xy: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian patch per keypoint, pasted into its map."""
    reach = int(3 * SIGMA)
    place = np.arange(2 * reach + 1)
    patch = np.exp(-((place - reach) ** 2 + (place[:, None] - reach) ** 2) / (2 * SIGMA**2))
    target, weight = np.zeros((len(xy), *CELLS), np.float32), labelled.astype(np.float32)
    for k, (x, y) in enumerate((xy / 4 + 0.5).astype(int)):
        left, top = max(0, x - reach), max(0, y - reach)
        right, bottom = min(CELLS[1], x + reach + 1), min(CELLS[0], y + reach + 1)
        if left >= right or top >= bottom:
            weight[k] = 0
        elif labelled[k]:
            cut = patch[top - y + reach : bottom - y + reach, left - x + reach : right - x + reach]
            target[k, top:bottom, left:right] = cut
    return target, weight


def padded(tensors: tuple[Tensor, ...], largest: int) -> Tensor:
    stacked = tensors[0].new_zeros(len(tensors), largest, *tensors[0].shape[1:])
    for row, tensor in zip(stacked, tensors, strict=True):
        row[: len(tensor)] = tensor
    return stacked


def packed(pack: Pack, rows: np.ndarray, normalised: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What this project does: batches of stored crops, encoded as a whole. An accelerator normalises by itself."""
    mean, deviation = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (MEAN, DEVIATION))
    train = TrainConfig(batch_size=BATCH, augment=AUGMENT)
    for batch in training_batches(pack, rows, train, epoch=0, seed=0):
        image = (batch.image - mean).div_(deviation) if normalised else batch.image
        yield image, *CODEC.encode(batch.keypoints)


def ms(samples: int, action: Callable[[], object]) -> float:
    """Processor time per sample of the fastest of four times; the first one also fills the page cache."""
    times: list[float] = []
    for _ in range(4):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times) / samples * 1e3


def share_of_waiting(pack: Pack, rows: np.ndarray) -> float:
    """Of the time of some ResNet-18 training steps beside which the batches are made."""
    model, train = resnet18(num_classes=1), TrainConfig(batch_size=8, draws=len(rows) // 4, augment=AUGMENT)
    loader = training_batches(pack, rows, train, epoch=0, seed=0)
    started = time.perf_counter()
    for batch in loader:
        model(batch.image / 255).mean().backward()
    return loader.waited / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, metavar="DIR", default=os.environ.get("POSEBED_REAL"))
    parser.add_argument("--samples", type=int, default=256)
    options = arguments(parser, samples=BATCH)
    real: Path | None = options.real
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as name:
        root = real or Path(name)
        records, categories = zip(
            *(photographs(real) if real else drawings(root, min(128, options.samples))), strict=True
        )
        folder = Path(name) / "pack"
        started = time.perf_counter()
        write_pack(records, list(dict.fromkeys(categories)), root, PackConfig(data="benchmark", crop_size=SIZE), folder)
        print(f"packing, once: {(time.perf_counter() - started) / len(records) * 1e3:.2f} ms per sample")
        pack = Pack.open(folder)
        rows = np.resize(np.random.default_rng(0).permutation(len(records)), options.samples)
        kind = "photographs" if real else "drawings"
        report(root, pack, rows, lambda what, value: figure(f"loader/{kind}/{what}", value))


def report(root: Path, pack: Pack, rows: np.ndarray, figure: Callable[[str, str], None]) -> None:
    samples = len(rows)
    usual = ms(samples, lambda: deque(decoded_each_time(root, pack, rows), 0))
    print(f"decoded each time: {usual:.2f} ms per sample")
    for normalised, where in ((False, "normalised on an accelerator"), (True, "normalised here")):
        ours = ms(samples, lambda here=normalised: deque(packed(pack, rows, here), 0))
        print(f"packed, {where}: {ours:.2f} ms per sample")
        figure("normalising" if normalised else "ratio", f"{usual / ours:.1f} times")
    crops = pack.training_crops[rows[:BATCH]]
    change = augmentation(
        AUGMENT, draw(np.random.default_rng(0), BATCH), SIZE, np.zeros((BATCH, 1, 2)), np.zeros((BATCH, 1))
    )
    affine = compose(change.affine, translation(-pack.border[1], -pack.border[0]))
    by_cv2 = ms(BATCH, lambda: warp_cv2(crops, affine, SIZE))
    by_torch = ms(BATCH, lambda: warp_torch(torch.from_numpy(crops), affine, SIZE))
    print(f"of that, warping: {by_cv2:.2f} ms with cv2; it would be {by_torch:.2f} ms with grid_sample")
    figure("waiting", f"{share_of_waiting(pack, rows) * 100:.1f} %")


if __name__ == "__main__":
    main()

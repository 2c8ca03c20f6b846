"""A tiny drawn dataset and its pack: two categories with different skeletons, smooth pictures of noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posebed.config import PackConfig
from posebed.data.pack import Pack, write_pack
from posebed.records import Category, Dataset, Record

DOG = Category(
    key="dog",
    name="dog",
    keypoints=("left ear", "right ear", "nose", "left paw", "right paw", "tail"),
    flip_pairs=((0, 1), (3, 4)),
    upper_body=(0, 1, 2),
)
FISH = Category(key="fish", name="fish", keypoints=("mouth", "fin", "tail"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """12 dogs in pairs on 6 pictures and 6 fish alone; some boxes reach beyond their picture."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(7)
    records: list[Record] = []
    for number in range(12):
        name, (height, width) = f"{number}.png", (96 + 4 * number, 150 - 3 * number)
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        smooth = cv2.GaussianBlur(noise, (0, 0), 2)
        cv2.imwrite(str(root / name), np.clip(4.0 * smooth - 384, 0, 255))
        for one in range(2 if number < 6 else 1):
            category = DOG if number < 6 else FISH
            x, y = rng.uniform(-5, width / 2), rng.uniform(-5, height / 2)
            w, h = rng.uniform(30, width / 2), rng.uniform(30, height / 2)
            xy = [x, y] + rng.uniform(0, 1, (len(category.keypoints), 2)) * [w, h]
            seen = rng.integers(0, 3, len(xy)) if number % 2 else np.full(len(xy), 2)
            points = np.column_stack([xy, seen]).astype(np.float32)
            records.append(Record(f"{number}-{one}", name, width, height, category.key, (x, y, w, h), w * h, points))
    return Dataset(root, (DOG, FISH), tuple(records))


@pytest.fixture(scope="session")
def tiny_pack(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    write_pack(tiny.records, tiny.categories, tiny.root, PackConfig(data="tiny", crop_size=(64, 48)), folder)
    return Pack.open(folder)

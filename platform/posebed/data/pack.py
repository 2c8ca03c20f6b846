"""Every instance decoded and cropped once, into few large memory-mapped files, and read back by row.

A row has two crops: the exact one that evaluation sees, and a wider one of the same pixel density, so that
augmentation finds picture where it looks. Turning rows into tensors is left to ``batches``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posebed.config import PackConfig
from posebed.contracts import Setting
from posebed.data.crop import clip_box, compose, crop_affine, framed, translation, warp
from posebed.data.images import Images
from posebed.records import Category, Record, categories_from_json, categories_to_json, write_table

_SHARD_BYTES = 2**30


class Crops:
    """Equal uint8 pictures (H, W, 3) in one or more ``.npy`` files, mapped rather than read."""

    def __init__(self, shards: Sequence[np.ndarray]) -> None:
        self._shards = shards
        self._per_shard = len(shards[0])

    @classmethod
    def create(cls, folder: Path, name: str, count: int, size: tuple[int, int]) -> Crops:
        per_shard = max(1, _SHARD_BYTES // (size[0] * size[1] * 3))
        starts = range(0, count, per_shard)
        return cls(
            [
                np.lib.format.open_memmap(
                    folder / f"{name}-{number:04}.npy", "w+", np.uint8, (min(per_shard, count - start), *size, 3)
                )
                for number, start in enumerate(starts)
            ]
        )

    @classmethod
    def open(cls, folder: Path, name: str) -> Crops:
        paths = sorted(folder.glob(f"{name}-*.npy"))
        return cls([np.load(path, mmap_mode="r", allow_pickle=False) for path in paths])

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Copies of the pictures in these rows, (n, H, W, 3)."""
        return np.stack([self._picture(int(row)) for row in rows])

    def __setitem__(self, row: int, picture: np.ndarray) -> None:
        self._picture(row)[:] = picture

    def _picture(self, row: int) -> np.ndarray:
        shard, place = divmod(row, self._per_shard)
        return self._shards[shard][place]


@dataclass(frozen=True)
class Pack:
    """The crops of one dataset at one size, N rows."""

    categories: tuple[Category, ...]
    size: tuple[int, int]
    """Height and width of evaluation crops."""
    border: tuple[int, int]
    """Pixels by which training crops are larger above and below, left and right."""
    index: pa.Table
    """Row by row: record, image, category, box, area, width, height, keypoints, affine, group."""
    row: dict[str, int]
    """Record to row."""
    category: np.ndarray
    """(N,) int64, position in ``categories``."""
    keypoints: np.ndarray
    """(N, K, 3) float32: x, y in image pixels and visibility, 0 where padded."""
    affine: np.ndarray
    """(N, 2, 3) float64, image pixels to pixels of the evaluation crop."""
    training_crops: Crops
    evaluation_crops: Crops

    @classmethod
    def open(cls, folder: Path) -> Pack:
        """Open what ``write_pack`` wrote.

        Raises:
            ValueError: there is no finished pack in the folder.
        """
        if not (folder / "about.json").is_file():
            raise ValueError(f"{folder} must be a finished pack, but has no about.json")
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        categories = categories_from_json((folder / "categories.json").read_text(encoding="utf-8"))
        index = pq.read_table(folder / "index.parquet")
        position = {category.key: i for i, category in enumerate(categories)}
        return cls(
            categories=categories,
            size=tuple(about["size"]),
            border=tuple(about["border"]),
            index=index,
            row={record: row for row, record in enumerate(index["record"].to_pylist())},
            category=np.array([position[key] for key in index["category"].to_pylist()]),
            keypoints=_padded(index["keypoints"].to_pylist(), max(len(c.keypoints) for c in categories)),
            affine=np.array(index["affine"].to_pylist()).reshape(-1, 2, 3),
            training_crops=Crops.open(folder, "training"),
            evaluation_crops=Crops.open(folder, "evaluation"),
        )

    @property
    def max_keypoints(self) -> int:
        """K, the number of keypoints of the largest category."""
        return self.keypoints.shape[1]

    def setting(self) -> Setting:
        return Setting(self.size, self.max_keypoints, self.categories)


def write_pack(
    records: Sequence[Record],
    categories: Sequence[Category],
    root: Path,
    config: PackConfig,
    folder: Path,
    progress: Callable[[int], Any] = lambda crops: None,
) -> None:
    """Crop every record, decoding each picture once; rows follow the order of ``records``.

    The folder appears when it is complete, in place of what was there. ``progress`` hears of crops as they are done.

    Raises:
        ValueError: there is no record, or a picture is not as large as its record says.
        OSError: the disk has too little room.
    """
    if not records:
        raise ValueError("a pack must hold at least one record, but got none")
    border = tuple(math.ceil(side * (config.margin - 1) / 2) for side in config.size)
    wide = (config.size[0] + 2 * border[0], config.size[1] + 2 * border[1])
    outwards = translation(border[1], border[0])
    affines = np.stack([_affine(record, config) for record in records])
    with _finished_or_gone(folder) as unfinished:
        _require_room(unfinished, 3 * len(records) * (math.prod(config.size) + math.prod(wide)))
        exact = Crops.create(unfinished, "evaluation", len(records), config.size)
        training = Crops.create(unfinished, "training", len(records), wide)
        images = Images(root)

        def crop(path: str, rows: list[int]) -> int:
            picture = images.decode(path)
            for row in rows:
                _require_size(picture, records[row])
                exact[row] = warp(picture, affines[row], config.size)
                training[row] = warp(picture, compose(outwards, affines[row]), wide)
            return len(rows)

        _each_image(crop, records, progress)
        write_table(_index(records, affines), unfinished / "index.parquet")
        (unfinished / "categories.json").write_text(categories_to_json(categories), encoding="utf-8")
        about = {**config.model_dump(), "border": border}
        (unfinished / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _affine(record: Record, config: PackConfig) -> np.ndarray:
    box = clip_box(record.box, record.width, record.height)
    return crop_affine(*framed(box, config.size, config.padding), config.size)


def _each_image(
    crop: Callable[[str, list[int]], int], records: Sequence[Record], progress: Callable[[int], Any]
) -> None:
    rows_of = defaultdict[str, list[int]](list)
    for row, record in enumerate(records):
        rows_of[record.image].append(row)
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(crop, path, rows) for path, rows in rows_of.items()]
        try:
            for job in as_completed(jobs):
                progress(job.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _finished_or_gone(folder: Path) -> Iterator[Path]:
    """A new folder under a temporary name that takes its own when the block ends well."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"the disk of {folder.parent} must have {needed / 2**30:.1f} GiB for this pack, but has "
            f"{free / 2**30:.1f} GiB; a smaller size or margin needs less"
        )


def _require_size(picture: np.ndarray, record: Record) -> None:
    height, width = picture.shape[:2]
    if (width, height) != (record.width, record.height):
        raise ValueError(
            f"{record.image} must be {record.width} x {record.height} pixels as record {record.record!r} says, "
            f"but is {width} x {height}"
        )


def _index(records: Sequence[Record], affines: np.ndarray) -> pa.Table:
    plain = ("record", "image", "category", "box", "area", "width", "height", "group")
    columns = {name: [getattr(record, name) for record in records] for name in plain}
    columns["keypoints"] = [np.asarray(record.keypoints, np.float32).ravel() for record in records]
    columns["affine"] = list(affines.reshape(-1, 6))
    return pa.table({"row": np.arange(len(records)), **columns})


def _padded(flat: Sequence[Sequence[float]], largest: int) -> np.ndarray:
    """Keypoint lists x, y, v, ... as (N, K, 3), zero where a category has fewer than K."""
    padded = np.zeros((len(flat), largest, 3), np.float32)
    for row, values in zip(padded, flat, strict=True):
        row[: len(values) // 3] = np.reshape(values, (-1, 3))
    return padded

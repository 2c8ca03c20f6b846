"""Every instance decoded and cropped once, into few large memory-mapped files, and read back by row.

A row has two crops: the exact one that evaluation sees, and a wider one of the same pixel density, so that
augmentation finds picture where it looks. Turning rows into tensors is left to ``batches``.
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posebed.config import PackConfig
from posebed.contracts import Setting
from posebed.data.crop import centre_and_extent, clip_box, compose, crop_affine, translation, warp
from posebed.data.images import Images
from posebed.files import Kind, file_hash, read_json, write_json
from posebed.records import (
    AS_STORED,
    Category,
    Reading,
    Record,
    read_categories,
    read_records,
    write_categories,
    write_records,
    write_table,
)

PACK = Kind("the description of a pack")
"""``about.json`` beside the crops."""
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

    folder: Path
    categories: tuple[Category, ...]
    size: tuple[int, int]
    """Height and width of evaluation crops."""
    border: tuple[int, int]
    """Pixels by which training crops are larger above and below, left and right."""
    index: pa.Table
    """Row by row: every field of a Record, and ``affine`` as a list of 6."""
    row: dict[str, int]
    """Record to row."""
    category: np.ndarray
    """(N,) int64, position in ``categories``."""
    keypoints: np.ndarray
    """(N, K, 3) float32: x, y in image pixels and visibility, 0 where padded."""
    affine: np.ndarray
    """(N, 2, 3) float64, image pixels to pixels of the evaluation crop."""
    aspect: np.ndarray
    """(N,) float64, width / height of the part of the box that lies in the image, before padding."""
    training_crops: Crops
    evaluation_crops: Crops

    @classmethod
    def open(cls, folder: Path) -> Pack:
        """Open what ``write_pack`` wrote.

        Raises:
            ValueError: there is no finished pack in the folder, or one of a newer version.
        """
        if not (folder / "about.json").is_file():
            raise ValueError(f"{folder} must be a finished pack, but has no about.json")
        about = read_json(folder / "about.json", PACK)
        categories = read_categories(folder / "categories.json")
        records, index = read_records(folder / "index.parquet"), pq.read_table(folder / "index.parquet")
        position = {category.key: i for i, category in enumerate(categories)}
        return cls(
            folder=folder,
            categories=categories,
            size=tuple(about["crop_size"]),
            border=tuple(about["border"]),
            index=index,
            row={record.record: row for row, record in enumerate(records)},
            category=np.array([position[record.category] for record in records]),
            keypoints=_padded(records, max(len(c.keypoints) for c in categories)),
            affine=np.array(index["affine"].to_pylist()).reshape(-1, 2, 3),
            aspect=_aspects(index),
            training_crops=Crops.open(folder, "training"),
            evaluation_crops=Crops.open(folder, "evaluation"),
        )

    @property
    def max_keypoints(self) -> int:
        """K, the number of keypoints of the largest category."""
        return self.keypoints.shape[1]

    def records(self) -> list[Record]:
        """The record of every row."""
        return read_records(self.folder / "index.parquet")

    def setting(self) -> Setting:
        return Setting(self.size, self.max_keypoints, self.categories)


def write_pack(
    records: Sequence[Record],
    categories: Sequence[Category],
    root: Path,
    config: PackConfig,
    folder: Path,
    progress: Callable[[int], object] = lambda crops: None,
    reading: Reading = AS_STORED,
) -> None:
    """Crop every record, decoding each picture once; rows follow the order of ``records``.

    The folder is new or empty; until the last file is in it, ``Pack.open`` refuses it. ``progress`` hears of crops
    as they are done. ``reading`` is the dataset's.

    Raises:
        ValueError: there is no record, the folder holds files, or a picture is not as large as its record says.
        OSError: the disk has too little room.
    """
    if not records:
        raise ValueError("a pack must hold at least one record, but got none")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} must be empty for a new pack, but holds files")
    border = tuple(math.ceil(side * (config.margin - 1) / 2) for side in config.crop_size)
    wide = (config.crop_size[0] + 2 * border[0], config.crop_size[1] + 2 * border[1])
    _require_room(folder, 3 * len(records) * (math.prod(config.crop_size) + math.prod(wide)))
    affines = np.stack([_affine(record, config) for record in records])
    outwards = translation(border[1], border[0])
    evaluation = Crops.create(folder, "evaluation", len(records), config.crop_size)
    training = Crops.create(folder, "training", len(records), wide)
    images = Images(root, reading)

    def crop(path: str, rows: list[int]) -> int:
        picture = images.decode(path)
        for row in rows:
            _require_size(picture, records[row])
            evaluation[row] = warp(picture, affines[row], config.crop_size)
            training[row] = warp(picture, compose(outwards, affines[row]), wide)
        return len(rows)

    _each_image(crop, records, progress)
    _write_index(records, affines, folder / "index.parquet")
    write_categories(categories, folder / "categories.json")
    about = {**config.model_dump(), "border": border, "reading": asdict(reading), "crops": _crop_hashes(folder)}
    write_json(about, folder / "about.json", PACK)


def _crop_hashes(folder: Path) -> dict[str, str]:
    """Name to sha256: what identifies a pack's content without reading its crops again."""
    return {path.name: file_hash(path) for path in sorted(folder.glob("*.npy"))}


def _affine(record: Record, config: PackConfig) -> np.ndarray:
    box = clip_box(record.box, record.width, record.height)
    return crop_affine(
        *centre_and_extent(box, config.crop_size, config.padding), config.crop_size, convention=config.convention
    )


def _each_image(
    crop: Callable[[str, list[int]], int], records: Sequence[Record], progress: Callable[[int], object]
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


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"the disk of {folder.parent} must have {needed / 2**30:.1f} GiB for this pack, but has "
            f"{free / 2**30:.1f} GiB; a smaller crop_size or margin needs less"
        )


def _require_size(picture: np.ndarray, record: Record) -> None:
    height, width = picture.shape[:2]
    if (width, height) != (record.width, record.height):
        raise ValueError(
            f"{record.image} must be {record.width} x {record.height} pixels as record {record.record!r} says, "
            f"but is {width} x {height}"
        )


def _write_index(records: Sequence[Record], affines: np.ndarray, path: Path) -> None:
    write_records(records, path)
    table = pq.read_table(path)
    write_table(table.append_column("affine", pa.array(list(affines.reshape(-1, 6)))), path)


def _aspects(index: pa.Table) -> np.ndarray:
    box = np.array(index["box"].to_pylist()).T
    _, _, width, height = clip_box(box, index["width"].to_numpy(), index["height"].to_numpy())
    return width / height


def _padded(records: Sequence[Record], largest: int) -> np.ndarray:
    """Keypoints (N, K, 3), zero where a category has fewer than K."""
    padded = np.zeros((len(records), largest, 3), np.float32)
    for row, record in zip(padded, records, strict=True):
        row[: len(record.keypoints)] = record.keypoints
    return padded

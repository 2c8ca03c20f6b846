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
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from posebed.config import Convention, Key, PackConfig
from posebed.contracts import Setting
from posebed.data.crop import centre_and_extent, clip_box, compose, crop_affine, translation, warp
from posebed.data.images import Images
from posebed.files import Content, file_hash, file_hashes, must_be_as_written, must_be_file, with_files
from posebed.forms import Form
from posebed.listing import clipped, shortened, shown
from posebed.own_json import Kind, read_json, write_json
from posebed.parquet import read_table, write_table
from posebed.records import (
    AS_STORED,
    RECORDS,
    Category,
    Reading,
    Record,
    must_fit,
    read_categories,
    records_of,
    table_of,
    write_categories,
)

PACK_AGAIN = "`dvc repro pack` makes it again"


class _Described(Form):
    data: Key
    crop_size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    border: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    padding: Annotated[float, Field(ge=1)]
    convention: Convention
    crops: dict[str, str] = {}
    """Hashes of the shards; nothing in packs that did not say so."""
    files: dict[str, str] = {}


PACK = Kind("the description of a pack", (lambda content: content, with_files), form=_Described, again=PACK_AGAIN)
"""``about.json`` beside the crops."""
_SHARD_BYTES = 2**30
_HASHED = 2**26
"""Bytes of a shard whose hash is compared whenever it is opened; larger ones would take seconds."""
_INDEX = RECORDS.append(pa.field("affine", pa.list_(pa.float64())))


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
    def open(cls, folder: Path, name: str, count: int, size: tuple[int, int], about: Content) -> Crops:
        """Map ``count`` crops of that height and width.

        Args:
            about: the description of their pack.

        Raises:
            ValueError: there are others, or other files than it says.
        """
        paths = sorted(folder.glob(f"{name}-*.npy"))
        hashes: dict[str, str] = about.get("crops", {})
        known = {path.name: None for path in paths} if not hashes else {n for n in hashes if n.startswith(f"{name}-")}
        if not paths or {path.name for path in paths} != {*known}:
            unlike = sorted({path.name for path in paths} ^ {*known}) or [f"{name}-0000.npy"]
            raise ValueError(
                f"{folder} must hold the crops that its description names and no others, but {shortened(unlike)} "
                f"{'is' if len(unlike) == 1 else 'are'} missing or too many; {PACK_AGAIN}"
            )
        shards = [_mapped(path, size, hashes.get(path.name)) for path in paths]
        if sum(map(len, shards)) != count or {len(shard) for shard in shards[:-1]} - {len(shards[0])}:
            found = sum(map(len, shards))
            raise ValueError(f"{paths[0]} must be of {count} crops with its like, but they are {found}; {PACK_AGAIN}")
        return cls(shards)

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
            ValueError: there is no finished pack in the folder, one of a newer version, or one whose files are not what
                its description says.
        """
        if not (folder / "about.json").is_file():
            raise ValueError(f"{folder} must be a finished pack, but has no about.json; {PACK_AGAIN}")
        about = read_json(folder / "about.json", PACK)
        categories, path = read_categories(folder / "categories.json"), folder / "index.parquet"
        index = read_table(path, "the index of a pack", _INDEX, PACK_AGAIN, nullable=("detection",))
        records = records_of(index, path)
        must_fit(records, categories, path, PACK_AGAIN)
        for name in ("index.parquet", "categories.json"):
            must_be_as_written(folder / name, about, PACK_AGAIN)
        size, border = tuple(about["crop_size"]), tuple(about["border"])
        wide = (size[0] + 2 * border[0], size[1] + 2 * border[1])
        position = {category.key: i for i, category in enumerate(categories)}
        return cls(
            folder=folder,
            categories=categories,
            size=size,
            border=border,
            index=index,
            row={record.record: row for row, record in enumerate(records)},
            category=np.array([position[record.category] for record in records]),
            keypoints=_padded(records, max(len(c.keypoints) for c in categories)),
            affine=_affines(index, path),
            aspect=_aspects(index),
            training_crops=Crops.open(folder, "training", len(records), wide, about),
            evaluation_crops=Crops.open(folder, "evaluation", len(records), size, about),
        )

    def row_of(self, record: str) -> int:
        """
        Raises:
            ValueError: it has no such record, as where the split is of other data.
        """
        if record not in self.row:
            raise ValueError(
                f"{self.folder} must hold every record of the split, but lacks {clipped(repr(record))}; "
                "`dvc repro split pack` makes both of the same data"
            )
        return self.row[record]

    @property
    def max_keypoints(self) -> int:
        """K, the number of keypoints of the largest category."""
        return self.keypoints.shape[1]

    def records(self) -> list[Record]:
        """The record of every row."""
        return records_of(self.index, self.folder / "index.parquet")

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
    about |= {"files": file_hashes(folder, ("index.parquet", "categories.json"))}
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
    affine = pa.array(list(affines.reshape(-1, 6)), pa.list_(pa.float64()))
    write_table(table_of(records).append_column("affine", affine), path)


def _affines(index: pa.Table, path: Path) -> np.ndarray:
    """(N, 2, 3) float64."""
    lists = index["affine"].combine_chunks()
    affines = lists.flatten().to_numpy(zero_copy_only=False)
    if not (lists.value_lengths().to_numpy() == 6).all() or not np.isfinite(affines).all():
        raise ValueError(f"{path} must hold six finite numbers as affine in every row, but does not; {PACK_AGAIN}")
    return affines.reshape(-1, 2, 3)


def _mapped(path: Path, size: tuple[int, int], known: str | None) -> np.ndarray:
    """The crops (n, H, W, 3) of a shard, read by its header once that is what it must be.

    Args:
        known: its hash, where the pack says it.
    """
    must_be_file(path, "crops", PACK_AGAIN)
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("another version")
            shape, in_columns, kind = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
    except Exception:  # whatever Python's tokenizer and parser raise, to which numpy gives the header
        raise ValueError(f"{path} must be crops in numpy's format 1.0, but its header is none; {PACK_AGAIN}") from None
    if in_columns or kind != np.uint8 or shape[1:] != (*size, 3) or not shape[0]:
        raise ValueError(
            f"{path} must be crops of uint8 of {size[0]} x {size[1]} x 3, as its pack says, but is {shown(shape)} of "
            f"{kind}{' in columns' if in_columns else ''}; {PACK_AGAIN}"
        )
    length = path.stat().st_size
    if length != start + math.prod(shape):
        raise ValueError(f"{path} must have {start + math.prod(shape)} bytes, but has {length}; {PACK_AGAIN}")
    if known is not None and length <= _HASHED and file_hash(path) != known:
        raise ValueError(f"{path} must be as it was written, but its content has another hash; {PACK_AGAIN}")
    return np.memmap(path, np.uint8, "r", start, shape)


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

"""The durable table of predictions, in image pixels: whatever a metric needs stands in it, and nothing else is needed.

``Predictions`` holds the table as padded arrays; on disk it is Parquet, one row per prediction, with the categories
in the file's metadata. In annotated boxes every prediction stands beside its truth. In a detector's boxes it has none:
predictions without truth and truths without prediction are rows of their own, for ``metrics.coco.oks`` to match.
Shape letters: N rows, K keypoints of the largest category.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from posebed.files import FILES, file_hash, must_be_as_written
from posebed.forms import Form, checked
from posebed.limits import ROUNDED_AREA, SIDES_BEYOND
from posebed.listing import clipped, shortened, visible
from posebed.own_json import Kind, read_json, write_json
from posebed.parquet import read_table, write_table
from posebed.records import Category, Record, categories_in, categories_to_json

PREDICTIONS = Path("predicted/predictions.parquet")
"""The table's place in the folder of a run's member."""
PREDICT_AGAIN = "remove its folder, and `posebed run` predicts again"


class _Described(Form):
    rows: int
    files: dict[str, str] = {}


DESCRIPTION = Kind("the description of predictions", form=_Described, again=PREDICT_AGAIN)
"""``about.json`` beside a table; former versions wrote none."""
CONFIDENT = 0.2
"""Keypoints above this confidence make up the score of an instance."""

_SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("image", pa.string()),
        ("group", pa.string()),
        ("category", pa.string()),
        ("predicted", pa.bool_()),
        ("annotated", pa.bool_()),
        ("episode", pa.int32()),
        ("supports", pa.list_(pa.string())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("box", pa.list_(pa.float64(), 4)),
        ("area", pa.float64()),
        ("crop", pa.list_(pa.float64(), 4)),
        ("truth", pa.list_(pa.float32())),
        ("labelled", pa.list_(pa.bool_())),
        ("counts", pa.list_(pa.bool_())),
        ("xy", pa.list_(pa.float32())),
        ("confidence", pa.list_(pa.float32())),
        ("score", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Predictions:
    """N predictions beside their truth. Entries beyond a category's own keypoints are padding: 0 and False.

    Raises:
        ValueError: a number is not finite, a box or an area is larger than its image allows, or a record is there twice
            in one episode.
    """

    categories: tuple[Category, ...]
    size: tuple[int, int]
    """Height and width of the crops, in their own pixels."""
    record: np.ndarray
    """(N,) str; each at most once per episode."""
    image: np.ndarray
    """(N,) str"""
    group: np.ndarray
    """(N,) str, as in ``Record``."""
    category: np.ndarray
    """(N,) position in ``categories``."""
    predicted: np.ndarray
    """(N,) bool. Where False, nothing was predicted for the truth, and ``xy``, ``confidence`` and ``score`` are 0."""
    annotated: np.ndarray
    """(N,) bool. Where False, the box is a detector's and has no truth: nothing is labelled, ``truth`` is 0."""
    episode: np.ndarray
    """(N,) int32, -1 outside of episodes."""
    supports: tuple[tuple[str, ...], ...]
    """N times the records that were shown; empty outside of episodes."""
    width: np.ndarray
    """(N,) of the image."""
    height: np.ndarray
    box: np.ndarray
    """(N, 4) x, y, width, height."""
    area: np.ndarray
    """(N,) square pixels, the scale of OKS."""
    crop: np.ndarray
    """(N, 4) x, y, width, height of what the model saw, in image pixels."""
    truth: np.ndarray
    """(N, K, 2) float32"""
    labelled: np.ndarray
    """(N, K) bool: labelled in the query."""
    counts: np.ndarray
    """(N, K) bool: labelled in the query and in every support. Only these are scored."""
    xy: np.ndarray
    """(N, K, 2) float32, predicted."""
    confidence: np.ndarray
    """(N, K) float32"""
    score: np.ndarray
    """(N,) float32, confidence in the whole instance."""

    @property
    def paired(self) -> bool:
        """Whether every prediction has a truth of its own, as those in a detector's boxes have not."""
        return bool(self.annotated[self.predicted].all())

    @classmethod
    def from_records(
        cls,
        categories: Sequence[Category],
        queries: Sequence[Record],
        xy: np.ndarray,
        confidence: np.ndarray,
        episode: Sequence[int] | None = None,
        supports: Sequence[Sequence[Record]] | None = None,
        *,
        crop: np.ndarray | None = None,
        size: tuple[int, int] = (256, 256),
        unmatched_truths: Sequence[Record] = (),
    ) -> Predictions:
        """Join predictions with the records that they answer.

        Args:
            categories: those of the data.
            queries: n records.
            xy: (n, K or more, 2) image pixels.
            confidence: (n, K or more) in 0..1.
            episode: n numbers, where the queries belong to episodes.
            supports: n times the support records, for category-agnostic models.
            crop: (n, 4) x, y, width, height of what the model saw, in image pixels; by default the boxes.
            size: height and width of the crops.
            unmatched_truths: truths that nothing was predicted for, but which predictions may match.
        """
        predicted, rest = len(queries), len(unmatched_truths)
        queries = [*queries, *unmatched_truths]
        shown = [()] * len(queries) if supports is None else supports
        category = _positions(categories, [q.category for q in queries])
        real = _real(categories, category)
        k = real.shape[1]
        box = np.array([q.box for q in queries], np.float64).reshape(-1, 4)
        xy, confidence = (np.concatenate([a[:, :k], np.zeros((rest, k, *a.shape[2:]))]) for a in (xy, confidence))
        truth = np.zeros((len(queries), k, 3), np.float32)
        counts = np.zeros((len(queries), k), bool)
        for i, (query, shots) in enumerate(zip(queries, shown, strict=True)):
            truth[i, : len(query.keypoints)] = query.keypoints
            visibility = np.stack([r.keypoints[:, 2] for r in (query, *shots)])
            counts[i, : len(query.keypoints)] = (visibility > 0).all(0)
        confidence = np.where(real, confidence, 0).astype(np.float32)
        sure = [1.0 if q.detection is None else q.detection for q in queries]
        return cls(
            categories=tuple(categories),
            size=size,
            record=np.array([q.record for q in queries], np.str_),
            image=np.array([q.image for q in queries], np.str_),
            group=np.array([q.group for q in queries], np.str_),
            category=category,
            predicted=np.arange(len(queries)) < predicted,
            annotated=np.array([q.detection is None for q in queries], bool),
            episode=np.array([-1] * len(queries) if episode is None else episode, np.int32),
            supports=tuple(tuple(s.record for s in shots) for shots in shown),
            width=np.array([q.width for q in queries], np.int32),
            height=np.array([q.height for q in queries], np.int32),
            box=box,
            area=np.array([q.area for q in queries], np.float64),
            crop=np.concatenate([box[:predicted] if crop is None else crop, box[predicted:]]),
            truth=truth[..., :2],
            labelled=truth[..., 2] > 0,
            counts=counts,
            xy=np.where(real[..., None], xy, 0).astype(np.float32),
            confidence=confidence,
            score=_instance_score(confidence, real) * np.array(sure, np.float32),
        )

    def answered(self, xy: np.ndarray, confidence: np.ndarray) -> Predictions:
        """The same queries, all of them in annotated boxes, with other answers.

        Args:
            xy: (N, K or more, 2) image pixels.
            confidence: (N, K or more) in 0..1.
        """
        real = _real(self.categories, self.category)
        k = real.shape[1]
        confidence = np.where(real, confidence[:, :k], 0).astype(np.float32)
        xy = np.where(real[..., None], xy[:, :k], 0).astype(np.float32)
        return replace(self, xy=xy, confidence=confidence, score=_instance_score(confidence, real))

    def __post_init__(self) -> None:
        if not len(self):
            raise ValueError("a table of predictions must have at least one row, but has none")
        for name in ("box", "area", "crop", "truth", "xy", "confidence", "score"):
            finite = np.isfinite(getattr(self, name).reshape(len(self), -1)).all(1)
            if not finite.all():
                raise ValueError(f"{name} must be finite, but is not for record {str(self.record[~finite][0])!r}")
        self._must_fit_their_images()
        answers = Counter(zip(self.record.tolist(), self.episode.tolist(), strict=True))
        (record, episode), times = answers.most_common(1)[0]
        if times > 1:
            raise ValueError(
                f"a record must be predicted once per episode, but {record!r} is there {times} times "
                f"in episode {episode}"
            )

    def _must_fit_their_images(self) -> None:
        """Boxes and areas are what distances are measured in: larger ones than an image can hold would find every
        keypoint right."""
        size = np.stack([self.width, self.height], 1).astype(np.float64)
        start, end = self.box[:, :2], self.box[:, :2] + self.box[:, 2:]
        far = ((start < -SIDES_BEYOND * size) | (end > (1 + SIDES_BEYOND) * size)).any(1)
        large = self.area > size.prod(1) * ROUNDED_AREA
        for wrong, name, must in (
            (far, "box", f"lie within {SIDES_BEYOND} sides of its image"),
            (large, "area", "be at most that of its image"),
        ):
            if wrong.any():
                row = int(wrong.argmax())
                raise ValueError(
                    f"{name} must {must}, but is {getattr(self, name)[row].tolist()} in {self.width[row]} x "
                    f"{self.height[row]} pixels for record {clipped(str(self.record[row]))!r}; prepare the data again"
                )

    def __len__(self) -> int:
        return len(self.record)

    def take(self, rows: np.ndarray) -> Predictions:
        """The rows of these numbers, in this order."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays: dict[str, np.ndarray] = {n: c[rows] for n, c in columns.items() if isinstance(c, np.ndarray)}
        # index(), not int(), which would take a mask for numbers.
        return replace(self, **arrays, supports=tuple(self.supports[index(i)] for i in rows))


def _positions(categories: Sequence[Category], keys: Sequence[str]) -> np.ndarray:
    position = {c.key: i for i, c in enumerate(categories)}
    unknown = sorted(set(keys) - set(position))
    if unknown:
        raise ValueError(
            f"every category must be one of {shortened(position)}, but predictions have {shortened(unknown)}"
        )
    return np.array([position[key] for key in keys], np.int32)


def _real(categories: Sequence[Category], category: np.ndarray) -> np.ndarray:
    """(N, K) bool: the keypoint belongs to the row's category and is no padding."""
    sizes = np.array([len(c.keypoints) for c in categories], int)
    return np.arange(int(sizes.max(initial=0))) < sizes[category, None]


def _instance_score(confidence: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Mean of the confidences above ``CONFIDENT``, as is usual for OKS-AP; of all where none is, which ranks poses that
    the usual code gives a score of 0 alike."""
    sure = real & (confidence > CONFIDENT)
    chosen = np.where(sure.any(1, keepdims=True), sure, real)
    return (np.where(chosen, confidence, 0).sum(1, np.float64) / chosen.sum(1)).astype(np.float32)


_PER_KEYPOINT = {"truth": 2, "labelled": 1, "counts": 1, "xy": 2, "confidence": 1}
"""Columns of lists, and how many numbers each keypoint has in them."""


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write the table, and beside it how many rows it has and its hash."""
    p, about = predictions, path.with_name("about.json")
    about.unlink(missing_ok=True)  # after a kill between the two there is the table alone
    real = _real(p.categories, p.category)
    keys = np.array([c.key for c in p.categories])
    columns = {name: getattr(p, name) for name in _SCHEMA.names} | {
        "category": keys[p.category],
        "box": pa.FixedSizeListArray.from_arrays(p.box.ravel(), 4),
        "crop": pa.FixedSizeListArray.from_arrays(p.crop.ravel(), 4),
    }
    for name, size in _PER_KEYPOINT.items():
        ends = np.cumsum(real.sum(1) * size)
        columns[name] = pa.ListArray.from_arrays(np.append(0, ends).astype(np.int32), columns[name][real].ravel())
    schema = _SCHEMA.with_metadata({"categories": categories_to_json(p.categories), "size": json.dumps(p.size)})
    write_table(pa.table(columns, schema=schema), path)
    write_json({"rows": len(p), FILES: {path.name: file_hash(path)}}, about, DESCRIPTION)


def read_predictions(path: Path) -> Predictions:
    """Read what ``write_predictions`` wrote.

    Raises:
        ValueError: the file is no table of predictions, its columns do not fit its categories, or it is another one
            than was described when it was written.
    """
    name, about = "a table of predictions", _described(path)
    table = read_table(path, name, _SCHEMA, PREDICT_AGAIN)
    if about and len(table) != about["rows"]:
        raise ValueError(f"{path} must have {about['rows']} rows, but has {len(table)}; {PREDICT_AGAIN}")
    metadata = table.schema.metadata or {}
    categories = categories_in(_in_metadata(metadata, b"categories", path), path, name, PREDICT_AGAIN)
    size = checked(_in_metadata(metadata, b"size", path), tuple[int, int], path, name, PREDICT_AGAIN)
    try:
        predictions = _of_columns(table, categories, size)
    except ValueError as error:
        raise ValueError(f"{path} must be {name}, but: {visible(str(error))}; {PREDICT_AGAIN}") from error
    must_be_as_written(path, about, PREDICT_AGAIN)
    return predictions


def _described(path: Path) -> dict[str, Any]:
    """Nothing of tables without a description, as of former versions and of trackers."""
    about = path.with_name("about.json")
    return read_json(about, DESCRIPTION) if about.is_file() else {}


def _in_metadata(metadata: Mapping[bytes, bytes], key: bytes, path: Path) -> Any:
    try:
        return json.loads(metadata[key])
    except (KeyError, ValueError, RecursionError):
        raise ValueError(
            f"{path} must be a table of predictions with {key.decode()} in its metadata, but has none; {PREDICT_AGAIN}"
        ) from None


def _of_columns(table: pa.Table, categories: tuple[Category, ...], size: tuple[int, int]) -> Predictions:
    category = _positions(categories, table["category"].to_pylist())
    real = _real(categories, category)
    columns = {name: table[name].to_numpy() for name in ("episode", "width", "height", "area", "score")}
    columns |= {name: table[name].to_numpy() for name in ("predicted", "annotated")}
    columns |= {name: table[name].combine_chunks().flatten().to_numpy().reshape(-1, 4) for name in ("box", "crop")}
    for name in ("record", "image", "group"):
        columns[name] = np.array(table[name].to_pylist(), np.str_)
    for name, count in _PER_KEYPOINT.items():
        columns[name] = _padded(table[name], real, count, name)
    return Predictions(
        categories=categories,
        size=size,
        category=category,
        supports=tuple(tuple(shots) for shots in table["supports"].to_pylist()),
        **columns,
    )


def _padded(column: pa.ChunkedArray, real: np.ndarray, size: int, where: str) -> np.ndarray:
    lists = column.combine_chunks()
    if not np.array_equal(lists.value_lengths(), real.sum(1) * size):
        raise ValueError(f"{where} must hold {size} x keypoints of the category numbers in every row, but does not")
    padded = np.zeros((*real.shape, size), lists.type.value_type.to_pandas_dtype())
    padded[real] = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return padded if size > 1 else padded[..., 0]

"""What a submission answers: the queries of the test part of a split, and the supports that they are answered with.

The list of them that others are given holds the pose of each support, and of a query its picture and box alone.
Coordinates are pixels of the whole image; integers are pixel centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from posebed.contracts import Task
from posebed.data.pack import Pack
from posebed.data.queries import Query, queries_of, table_of
from posebed.data.splits import Split
from posebed.own_json import Kind, write_json
from posebed.predictions import Predictions
from posebed.records import Category, Record, write_table

QUERIES = Kind("a list of queries")
_BOX = pa.list_(pa.float64(), 4)
_SUPPORT = pa.struct(
    [("record", pa.string()), ("image", pa.string()), ("box", _BOX), ("keypoints", pa.list_(pa.float64()))]
)
_SCHEMA = pa.schema(
    [
        ("episode", pa.int32()),
        ("record", pa.string()),
        ("image_id", pa.int32()),
        ("image", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("box", _BOX),
        ("category_id", pa.int32()),
        ("category", pa.string()),
        ("names", pa.list_(pa.string())),
        ("skeleton", pa.list_(pa.list_(pa.int32()))),
        ("supports", pa.list_(_SUPPORT)),
    ]
)


@dataclass(frozen=True)
class Questions:
    """The n queries of a test part, in a fixed order."""

    pack: Pack
    queries: Sequence[Query]

    @classmethod
    def of(cls, task: Task, pack: Pack, split: Split) -> Questions:
        """Those that a model of this task is tested on.

        Raises:
            ValueError: there is no query.
        """
        return cls(pack, queries_of(task, pack, split, "test"))

    @property
    def episodic(self) -> bool:
        return self.queries[0].episode >= 0

    @cached_property
    def records(self) -> Sequence[Record]:
        """By row of the pack."""
        return self.pack.records()

    @cached_property
    def image_id(self) -> dict[str, int]:
        """Of the images of queries and supports, numbered from 1 in the order of their paths."""
        images = {self.records[row].image for query in self.queries for row in (query.row, *query.supports)}
        return {image: number for number, image in enumerate(sorted(images), 1)}

    @cached_property
    def category_id(self) -> dict[str, int]:
        """Of all categories of the data, numbered from 1 in their order."""
        return {category.key: number for number, category in enumerate(self.pack.categories, 1)}

    @cached_property
    def keypoints(self) -> dict[str, int]:
        """Number of keypoints by category."""
        return {category.key: len(category.keypoints) for category in self.pack.categories}

    def table(self, xy: np.ndarray, confidence: np.ndarray) -> Predictions:
        """The answers beside the truth.

        Args:
            xy: (n, K, 2) image pixels.
            confidence: (n, K) in 0..1.
        """
        return table_of(self.pack, self.queries, xy, confidence)

    def write(self, path: Path, about: dict[str, str]) -> None:
        """Write the list for those who answer: Parquet, a row for each query, or JSON, a COCO file of the supports with
        one more list, ``queries``.

        Args:
            about: what it is of, in words.
        """
        if path.suffix == ".parquet":
            write_table(pa.Table.from_pylist(self._rows(), schema=_SCHEMA.with_metadata(about)), path)
        else:
            write_json(self._coco(about), path, QUERIES)

    def _rows(self) -> list[dict[str, Any]]:
        categories = {category.key: category for category in self.pack.categories}
        return [
            {
                **self._about(query, self.records[query.row]),
                "image": (record := self.records[query.row]).image,
                "width": record.width,
                "height": record.height,
                "box": record.box,
                "category": record.category,
                "names": categories[record.category].keypoints,
                "skeleton": _skeleton(categories[record.category]),
                "supports": [_support(self.records[row]) for row in query.supports],
            }
            for query in self.queries
        ]

    def _about(self, query: Query, record: Record) -> dict[str, Any]:
        return {
            **({"episode": query.episode} if self.episodic else {}),
            "record": record.record,
            "image_id": self.image_id[record.image],
            "category_id": self.category_id[record.category],
        }

    def _coco(self, about: dict[str, str]) -> dict[str, Any]:
        records = [self.records[row] for query in self.queries for row in (query.row, *query.supports)]
        images = {record.image: record for record in records}
        shown = sorted({row for query in self.queries for row in query.supports})
        return {
            "info": about,
            "images": [
                {"id": number, "file_name": image, "width": images[image].width, "height": images[image].height}
                for image, number in self.image_id.items()
            ],
            "categories": [
                {
                    "id": number,
                    "name": category.key,
                    "keypoints": category.keypoints,
                    "skeleton": _skeleton(category),
                }
                for category, number in zip(self.pack.categories, self.category_id.values(), strict=True)
            ],
            "annotations": [self._annotation(number, self.records[row]) for number, row in enumerate(shown, 1)],
            "queries": [
                {
                    **self._about(query, self.records[query.row]),
                    "bbox": self.records[query.row].box,
                    **({"supports": [self.records[row].record for row in query.supports]} if self.episodic else {}),
                }
                for query in self.queries
            ],
        }

    def _annotation(self, number: int, record: Record) -> dict[str, Any]:
        return {
            "id": number,
            "record": record.record,
            "image_id": self.image_id[record.image],
            "category_id": self.category_id[record.category],
            "bbox": record.box,
            "area": record.area,
            "iscrowd": 0,
            "num_keypoints": int((record.keypoints[:, 2] > 0).sum()),
            "keypoints": record.keypoints.astype(float).ravel().tolist(),
        }


def _skeleton(category: Category) -> list[list[int]]:
    """Pairs of keypoints that are joined, counted from 1 as COCO does."""
    return [[one + 1, other + 1] for one, other in category.limbs]


def _support(record: Record) -> dict[str, Any]:
    keypoints = record.keypoints.astype(float).ravel().tolist()
    return {"record": record.record, "image": record.image, "box": record.box, "keypoints": keypoints}

"""Poses that a model found, in pictures or in the frames of a film, as one table.

On disk it is Parquet, one row per pose, with the category in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posebed.data.images import Images
from posebed.files import writing
from posebed.formats.labels import Animal, Frame, Labels
from posebed.parquet import read_table
from posebed.records import Category, categories_in, categories_to_json
from posebed.reporting.draw import LEAST, draw_pose

SURE = 0.1
"""Keypoints below this confidence are written down but not drawn. Category-agnostic models know little of their
confidence, so that of theirs all are drawn that some support shows."""

Json = dict[str, Any]
_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("frame", pa.int64()),
        ("seconds", pa.float64()),
        ("box", pa.list_(pa.float64(), 4)),
        ("xy", pa.list_(pa.float64())),
        ("confidence", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Poses:
    """A poses of K keypoints.

    Raises:
        ValueError: a number is not finite, as those of a model whose weights a training spoiled.
    """

    category: Category
    image: tuple[str, ...]
    """(A,) path of the picture or the film."""
    frame: np.ndarray
    """(A,) frame number in the film, from 0; -1 for a picture."""
    seconds: np.ndarray
    """(A,) time at which that frame is shown; 0 for a picture."""
    box: np.ndarray
    """(A, 4) x, y, width and height of the box that the model was given."""
    xy: np.ndarray
    """(A, K, 2) pixels of the picture; integers are pixel centres."""
    confidence: np.ndarray
    """(A, K), 0 where the model has no information on a keypoint."""

    def __post_init__(self) -> None:
        finite = np.isfinite(self.xy).all((1, 2)) & np.isfinite(self.confidence).all(1)
        if not finite.all():
            place = int(finite.argmin())
            raise ValueError(
                f"the model must answer with finite numbers, but for the box {self.box[place].tolist()} of "
                f"{self.pictures[place]} it does not; its weights may be damaged"
            )

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def joined(cls, parts: Sequence[Poses]) -> Poses:
        """Join poses of one category."""
        arrays = ("frame", "seconds", "box", "xy", "confidence")
        return cls(
            category=parts[0].category,
            image=tuple(name for part in parts for name in part.image),
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
        )

    def taken(self, rows: np.ndarray) -> Poses:
        """Return the poses of these rows."""
        names = tuple(np.array(self.image, object)[rows])
        arrays = {name: getattr(self, name)[rows] for name in ("frame", "seconds", "box", "xy", "confidence")}
        return Poses(self.category, names, **arrays)

    @property
    def score(self) -> np.ndarray:
        """(A,) mean confidence."""
        return self.confidence.mean(1)

    @property
    def pictures(self) -> list[str]:
        """(A,) path of the picture of each pose; for a frame, the film with the number: ``film.mp4/30``."""
        of = zip(self.image, self.frame.tolist(), strict=True)
        return [name if frame < 0 else f"{name}/{frame}" for name, frame in of]

    def to_coco(self) -> dict[str, Any]:
        """Return COCO keypoints, with an image for every picture or frame that has a pose."""
        images, annotations = self.entries(0, 0)
        return {"images": images, "annotations": annotations, "categories": [_category_entry(self.category)]}

    def entries(self, images: int, annotations: int) -> tuple[list[Json], list[Json]]:
        """Return COCO images and annotations, with ids that start after these."""
        ids = {name: images + number for number, name in enumerate(dict.fromkeys(self.pictures), 1)}
        return [{"id": number, "file_name": name} for name, number in ids.items()], [
            {
                "id": annotations + place + 1,
                "image_id": ids[name],
                "category_id": 1,
                "bbox": self.box[place].tolist(),
                "keypoints": _flat(self.xy[place], self.confidence[place]),
                "confidence": [round(c, 4) for c in self.confidence[place].tolist()],
                "score": round(float(self.score[place]), 4),
            }
            for place, name in enumerate(self.pictures)
        ]

    def to_sleap(self, path: Path) -> None:
        """Write SLEAP's label file, ``.slp`` or with pictures in it ``.pkg.slp``, whole or not at all: every pose is
        a predicted instance, which people correct there.

        Raises:
            ValueError: sleap-io is not installed, the name ends otherwise, or a picture is not there, as that of an
                array.
        """
        from posebed.formats.which import writer_for

        _, write = writer_for(path, "sleap")
        with writing(path) as unfinished:
            write(self._labels(), unfinished)

    def _labels(self) -> Labels:
        """As predicted animals, in the order of pictures and frames."""
        frames: dict[str, list[Animal]] = {}
        for place, name in enumerate(self.pictures):
            known = np.where(self.confidence[place] > 0, 2, 0)
            animal = Animal(
                category=self.category.key,
                points=np.column_stack([np.where(known[:, None] > 0, self.xy[place], 0.0), known]).astype(float),
                predicted=True,
                score=float(self.score[place]),
                point_scores=self.confidence[place],
            )
            frames.setdefault(str(Path(name).absolute().relative_to("/")), []).append(animal)
        return Labels(Path("/"), (self.category,), tuple(Frame(name, tuple(of)) for name, of in frames.items()))

    def drawn_on(self, picture: np.ndarray, sure: float = SURE) -> np.ndarray:
        """The picture or frame, (H, W, 3) RGB, that all of them are in, with the poses. A small one is enlarged first,
        so that marks do not hide it.

        Args:
            sure: keypoints of no more confidence are left out.
        """
        factor = max(1.0, LEAST / max(picture.shape[:2]))
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        for xy, confidence in zip(self.xy, self.confidence, strict=True):
            picture = draw_pose(picture, (xy + 0.5) * factor - 0.5, confidence > sure, self.category)
        return picture

    def draw(self, sure: float = SURE) -> dict[str, np.ndarray]:
        """Every picture or frame that a pose is in, as ``drawn_on`` gives it, by the path that ``pictures`` has.

        Raises:
            ValueError: a picture is not there, as that of an array, which ``drawn_on`` takes.
        """
        rows: dict[str, list[int]] = {}
        for place, name in enumerate(self.pictures):
            rows.setdefault(name, []).append(place)
        images, drawn = Images(Path("/")), dict[str, np.ndarray]()
        for name, of in rows.items():
            try:
                picture = images.decode(str(Path(name).resolve().relative_to("/")))
            except FileNotFoundError as error:
                raise ValueError(
                    f"what a pose is in must be a file, but {name} is none; an array is drawn by `drawn_on`"
                ) from error
            drawn[name] = self.taken(np.array(of)).drawn_on(picture, sure)
        return drawn

    def write(self, path: Path) -> None:
        """Write Parquet, whole or not at all."""
        write_poses([self], path)


def write_poses(parts: Iterable[Poses], path: Path) -> None:
    """Write one Parquet file, whole or not at all, of parts that need not be in memory together.

    Raises:
        ValueError: there is no part.
    """
    with writing(path) as unfinished:
        writer: pq.ParquetWriter | None = None
        for part in parts:
            schema = _SCHEMA.with_metadata({"category": categories_to_json([part.category])})
            writer = writer or pq.ParquetWriter(unfinished, schema)
            columns = {
                "image": list(part.image),
                "frame": part.frame,
                "seconds": part.seconds,
                "box": list(part.box),
                "xy": list(part.xy.reshape(len(part), -1)),
                "confidence": list(part.confidence),
            }
            writer.write_table(pa.table(columns, schema=schema))
        if writer is None:
            raise ValueError(f"{path} must hold poses, but there are none to write")
        writer.close()


def write_coco(parts: Callable[[], Iterable[Poses]], path: Path) -> None:
    """Write the JSON of ``to_coco``, whole or not at all, of parts that need not be in memory together.

    Args:
        parts: gives them anew whenever it is called; no picture and no frame is in two of them.
    """
    with writing(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.write("{")
        for place, name in enumerate(("images", "annotations")):
            file.write(f'"{name}": [')
            counts = (0, 0)
            for part in parts():
                entries = part.entries(*counts)
                texts = [json.dumps(entry, allow_nan=False) for entry in entries[place]]
                file.write((",\n" if counts[place] and texts else "") + ",\n".join(texts))
                counts = (counts[0] + len(entries[0]), counts[1] + len(entries[1]))
            file.write("],\n")
        category = next(iter(parts())).category
        file.write(f'"categories": {json.dumps([_category_entry(category)])}}}\n')


def read_poses(path: Path) -> Poses:
    """Read what ``write_poses`` wrote.

    Raises:
        ValueError: there is no such file, or it is no table of poses.
    """
    name, again = "a table of poses", "`posebed predict` writes it again"
    table = read_table(path, name, _SCHEMA, again)
    try:
        content = json.loads((table.schema.metadata or {})[b"category"])
    except (KeyError, ValueError, RecursionError):
        raise ValueError(f"{path} must be {name} with its category in the metadata, but has none; {again}") from None
    categories = categories_in(content, path, name, again)
    if len(categories) != 1:
        raise ValueError(f"{path} must be {name} of one category, but is of {len(categories)}; {again}")
    category = categories[0]
    count, keypoints = len(table), len(category.keypoints)
    for column, length in (("xy", 2 * keypoints), ("confidence", keypoints)):
        if not (table[column].combine_chunks().value_lengths().to_numpy() == length).all():
            raise ValueError(f"{path} must hold {length} numbers as {column} in every row, but does not; {again}")
    numbers = [table[column].combine_chunks().flatten().to_numpy() for column in ("xy", "confidence", "box")]
    if not all(np.isfinite(of).all() for of in numbers):
        raise ValueError(f"{path} must hold finite numbers, but holds others; {again}")
    return Poses(
        category=category,
        image=tuple(table["image"].to_pylist()),
        frame=table["frame"].to_numpy(),
        seconds=table["seconds"].to_numpy(),
        box=np.array(table["box"].to_pylist(), float).reshape(count, 4),
        xy=np.array(table["xy"].to_pylist(), float).reshape(count, keypoints, 2),
        confidence=np.array(table["confidence"].to_pylist(), np.float32).reshape(count, keypoints),
    )


def _category_entry(category: Category) -> Json:
    """COCO's form of a category, numbered 1."""
    return {
        "id": 1,
        "name": category.name,
        "keypoints": list(category.keypoints),
        "skeleton": [[one + 1, other + 1] for one, other in category.limbs],
    }


def _flat(xy: np.ndarray, confidence: np.ndarray) -> list[float]:
    """x, y, v of every keypoint; 0, 0, 0 of one that the model knows nothing of."""
    known = zip(xy.tolist(), confidence > 0, strict=True)
    return [value for (x, y), v in known for value in ((round(x, 2), round(y, 2), 2) if v else (0, 0, 0))]

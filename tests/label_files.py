"""Small label files and neutral labels for tests of formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st

from posebed.formats.labels import Animal, Frame, Labels
from posebed.records import Category

NAMES = ("snout", "leftear", "rightear", "tailbase")
"""Neither sorted nor reversed, with one pair."""
MOUSE = Category("mouse", "mouse", NAMES, limbs=((0, 1), (0, 2), (0, 3)), flip_pairs=((1, 2),))


def write_picture(path: Path, size: tuple[int, int] = (64, 48), value: int = 90) -> None:
    """A grey picture of that width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def write_table(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def points(*values: tuple[float, float, int]) -> np.ndarray:
    return np.array(values, np.float64)


def _point(visibilities: tuple[int, ...]) -> st.SearchStrategy[tuple[float, float, int]]:
    coordinate = st.floats(0.25, 47.0).map(lambda v: round(v, 3))
    seen = st.tuples(coordinate, coordinate, st.sampled_from([v for v in visibilities if v]))
    return st.one_of(seen, st.just((0.0, 0.0, 0))) if 0 in visibilities else seen


@st.composite
def drawn_labels(
    draw: st.DrawFn,
    root: Path = Path(),
    most_animals: int = 2,
    visibilities: tuple[int, ...] = (0, 1, 2),
    tracks: bool = True,
    boxes: bool = False,
) -> Labels:
    """Labels of up to four pictures ``labeled-data/FILM/imgNNNN.png`` of 64 x 48 pixels. Every animal has a point."""
    numbers = draw(st.lists(st.integers(0, 9999), min_size=1, max_size=4, unique=True).map(sorted))
    frames: list[Frame] = []
    for number in numbers:
        animals: list[Animal] = []
        for name in draw(st.lists(st.sampled_from(("m1", "m2")), max_size=most_animals, unique=True).map(sorted)):
            cells = draw(st.lists(_point(visibilities), min_size=len(NAMES), max_size=len(NAMES)))
            if not any(v for _, _, v in cells):
                cells[0] = (1.5, 2.25, 2)
            box = (1.0, 2.0, 30.5, 20.25) if boxes else None
            animals.append(Animal("mouse", points(*cells), name if tracks else "", box))
        place = f"labeled-data/film/img{number:04d}.png"
        frames.append(Frame(place, tuple(animals), "film", number, (64, 48)))
    return Labels(root, (MOUSE,), tuple(frames))


def with_pictures(labels: Labels, root: Path) -> Labels:
    """The labels, whose pictures now are there."""
    for frame in labels.frames:
        write_picture(root / frame.picture, value=(frame.number or 0) % 250)
    return replace(labels, root=root)


def must_agree(first: Labels, second: Labels, flags: bool = True, tracks: bool = True) -> None:
    """Two labels have the same animals on the same frames, to 0.01 pixels.

    Args:
        flags: visibility is compared, and not only whether a point is labelled.
    """
    for one, other in zip(first.categories, second.categories, strict=True):
        assert one.keypoints == other.keypoints
    assert [frame.number for frame in first.frames] == [frame.number for frame in second.frames]
    for one, other in zip(first.frames, second.frames, strict=True):
        if tracks:
            assert [animal.track for animal in one.animals] == [animal.track for animal in other.animals]
        for a, b in zip(one.animals, other.animals, strict=True):
            np.testing.assert_allclose(a.points[:, :2], b.points[:, :2], atol=0.01, rtol=0)
            here, there = (points[:, 2] if flags else points[:, 2] > 0 for points in (a.points, b.points))
            np.testing.assert_array_equal(here, there)


def links_of(category: Category) -> set[frozenset[int]]:
    return {frozenset(link) for link in category.limbs}


def pairs_of(category: Category) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in category.flip_pairs}

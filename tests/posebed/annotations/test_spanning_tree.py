"""Links of the fallback: they connect every keypoint that is ever labelled, and no shorter ones would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posebed.annotations.spanning_tree import mean_distances, spanning_tree, with_links
from posebed.records import Category, Dataset, Record

Pairs = tuple[tuple[int, int], ...]


@st.composite
def distances(draw: st.DrawFn) -> np.ndarray:
    k = draw(st.integers(1, 10))
    one = draw(arrays(np.float64, (k, k), elements=st.floats(0, 9, width=16) | st.just(float("inf"))))
    return np.where(np.eye(k) > 0, 0, np.maximum(one, one.T))


def components(pairs: Pairs, number: int) -> list[int]:
    group = list(range(number))
    for a, b in pairs:
        group = [group[a] if g == group[b] else g for g in group]
    return group


def by_shortest_links(distance: np.ndarray) -> Pairs:
    """Kruskal's algorithm: the shortest link that closes no circle, as long as there is one."""
    chosen: Pairs = ()
    finite = [(a, b) for b in range(len(distance)) for a in range(b) if np.isfinite(distance[a, b])]
    for a, b in sorted(finite, key=lambda pair: distance[pair]):
        group = components(chosen, len(distance))
        if group[a] != group[b]:
            chosen = (*chosen, (a, b))
    return chosen


@given(distances())
def test_the_tree_connects_what_can_be_over_the_least_distance(distance: np.ndarray) -> None:
    tree, other = spanning_tree(distance), by_shortest_links(distance)
    assert len(tree) == len(other)
    assert len(set(components(tree, len(distance)))) == len(distance) - len(tree)
    np.testing.assert_allclose(sum(distance[pair] for pair in tree), sum(distance[pair] for pair in other))


def record(name: str, box: tuple[float, float, float, float], points: Sequence[Sequence[float]]) -> Record:
    return Record(name, name, 99, 99, "cat", box, 1.0, np.array(points, np.float32))


def test_distances_are_measured_by_the_box_where_both_points_are_labelled() -> None:
    large = record("a", (10, 10, 40, 20), [[30, 20, 2], [50, 20, 1], [0, 0, 0], [30, 30, 2]])
    small = record("b", (0, 0, 4, 4), [[2, 2, 2], [0, 0, 0], [0, 0, 0], [2, 0, 1]])
    actual = mean_distances([large, small])
    assert actual[0, 1] == 0.5
    assert actual[0, 3] == (0.25 + 0.5) / 2
    assert np.isinf(actual[2]).all()


def test_a_pose_has_the_links_of_its_mirror_image() -> None:
    nose, neck, tail = [10, 10, 2], [20, 12, 2], [50, 11, 2]
    left = record("a", (0, 0, 60, 20), [nose, tail, neck])
    right = record("b", (0, 0, 60, 20), [[60 - x, y, v] for x, y, v in (nose, tail, neck)])
    assert spanning_tree(mean_distances([left, right])) == ((0, 2), (2, 1))


def test_only_categories_without_links_get_some_and_a_note_says_so() -> None:
    cat = Category("cat", "cat", ("nose", "tail"))
    dog, cow = Category("dog", "dog", ("nose", "tail"), limbs=((1, 0),)), Category("cow", "cow", ("nose", "tail"))
    points = np.array([[1, 1, 2], [3, 3, 2]], np.float32)
    records = tuple(Record(key, key, 9, 9, key, (0, 0, 5, 5), 25.0, points) for key in ("cat", "dog"))
    linked = with_links(Dataset(Path(), (cat, dog, cow), records))
    assert [c.limbs for c in linked.categories] == [((0, 1),), ((1, 0),), ()]
    assert linked.notes == (
        "No links are stated for cat: theirs are the minimum spanning tree over the mean distances in all records.",
    )

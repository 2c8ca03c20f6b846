"""Categories: what links count from, left and right, unique keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.annotations.skeleton import index_base, mirrored_pairs, read_category, usual_base, with_keys
from posebed.records import Category

NAMES = ("nose", "left_eye", "right_eye", "tail")


def category(names: tuple[str, ...] = NAMES, base: int = 1, **raw: Any) -> Category:
    result, faults = read_category({"name": "cat", **raw}, names, base)
    assert not faults
    return result


@pytest.mark.parametrize(
    ("links", "base"),
    [([[0, 1]], 0), ([[4, 1]], 1), ([[1, 2]], None), ([[0, 4]], 0), ([["nose", "tail"]], None), (None, None)],
)
def test_an_index_0_or_k_proves_what_links_count_from(links: Any, base: int | None) -> None:
    assert index_base({"skeleton": links}, keypoints=4) == base


@pytest.mark.parametrize(("proofs", "base"), [([], 1), ([None], 1), ([None, 0], 0), ([1, None], 1), ([0, 1, None], 1)])
def test_without_proof_a_category_counts_as_the_others_of_its_file(proofs: list[int | None], base: int) -> None:
    assert usual_base(proofs) == base


@given(base=st.sampled_from([0, 1]), pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_names_and_indices_from_either_base_give_the_same_links(base: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(a, b) for a, b in pairs if a != b]
    by_index = category(base=base, skeleton=[[a + base, b + base] for a, b in pairs])
    by_name = category(base=base, skeleton=[[NAMES[a], NAMES[b]] for a, b in pairs])
    assert by_index.limbs == by_name.limbs == tuple(pairs)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("Eye_Left", "Eye_Right"),
        ("L_Eye", "R_Eye"),
        ("eyeL", "eyeR"),
        ("forelegL4", "forelegR4"),
        ("leftear", "rightear"),
        ("left collar", "right collar"),
        ("hip l", "hip r"),
        ("LEFT EYE", "RIGHT EYE"),
    ],
)
def test_names_that_differ_in_their_side_alone_are_pairs(left: str, right: str) -> None:
    assert mirrored_pairs(["nose", right, left]) == ((1, 2),)


@pytest.mark.parametrize("names", [("nose", "tail"), ("left_eye", "right_ear"), ("bright", "light"), ("Lip", "Rip")])
def test_other_names_are_no_pairs(names: tuple[str, ...]) -> None:
    assert mirrored_pairs(names) == ()


def test_flip_pairs_that_are_given_go_before_those_of_the_names() -> None:
    assert category().flip_pairs == ((1, 2),)
    assert category(flip_pairs=[["nose", "tail"]]).flip_pairs == ((0, 3),)
    assert category(flip_pairs=[]).flip_pairs == ()


@pytest.mark.parametrize(
    "raw",
    [
        {"skeleton": [[1, 5]]},
        {"skeleton": [[1, 1]]},
        {"skeleton": [[1, 2, 3]]},
        {"skeleton": [["nose", "ear"]]},
        {"skeleton": 7},
        {"flip_pairs": [[1, 2], [2, 3]]},
        {"sigmas": [0.1, 0.1, 0.1]},
        {"sigmas": [0.1, 0.1, 0.1, 0]},
        {"sigmas": [0.1, 0.1, 0.1, float("nan")]},
        {"sigmas": "wide"},
        {"upper_body": ["ear"]},
        {"upper_body": 3},
    ],
    ids=str,
)
def test_a_faulty_part_is_reported_and_left_out(raw: dict[str, Any]) -> None:
    result, faults = read_category({"name": "cat", **raw}, NAMES, 1)
    assert [fault.field for fault in faults] == list(raw)
    assert result == category()


def test_equal_categories_of_several_files_are_one() -> None:
    one, two = with_keys([("a", {"1": category()}), ("b", {"7": category()})])
    assert one["1"] == two["7"]
    assert one["1"].key == "cat"


@pytest.mark.parametrize("other", [NAMES, ("nose", "tail")])
def test_categories_of_one_name_have_keys_of_their_own(other: tuple[str, ...]) -> None:
    (keyed,) = with_keys([("", {"18": category(), "40": category(other), "41": category(("a", "b"), family="x")})])
    assert len({c.key for c in keyed.values()}) == 3
    assert keyed["18"].key == "cat-18"


def test_categories_of_one_name_and_id_are_distinguished_by_their_files() -> None:
    one, two = with_keys([("a", {"1": category()}), ("b", {"1": category(("nose", "tail"))})])
    assert (one["1"].key, two["1"].key) == ("cat-1-a", "cat-1-b")

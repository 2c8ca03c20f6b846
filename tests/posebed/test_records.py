"""The table of records, categories and problems reads back as it was written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from posebed.listing import cell
from posebed.records import (
    DEFAULT_SIGMA,
    Category,
    Problem,
    Record,
    categories_from,
    categories_to_json,
    read_problems,
    read_records,
    write_problems,
    write_records,
)

text = st.text(st.characters(codec="utf-8"), max_size=10)
side = st.integers(1, 2**31 - 1)
coordinate = st.floats(-1e9, 1e9)
records = st.builds(
    Record,
    record=text,
    image=text,
    width=side,
    height=side,
    category=text,
    box=st.tuples(coordinate, coordinate, coordinate, coordinate),
    area=coordinate,
    keypoints=arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3)), elements=st.floats(0, 1e6, width=32)),
    group=text,
    part=text,
    detection=st.none() | st.floats(0, 1),
)
pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3).map(tuple)
categories = st.builds(
    Category,
    key=text,
    name=text,
    keypoints=st.lists(text, min_size=4, max_size=6).map(tuple),
    family=text,
    limbs=pairs,
    flip_pairs=st.permutations(range(4)).map(lambda ends: ((ends[0], ends[1]), (ends[2], ends[3])))
    | st.just(())
    | st.just(((1, 0),)),
    sigmas=st.lists(st.floats(0, 1), max_size=4).map(tuple),
    upper_body=st.lists(st.integers(0, 9), max_size=4).map(tuple),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@given(table=st.lists(records, max_size=5, unique_by=lambda record: record.record))
def test_records_read_back_as_they_were_written(folder: Path, table: list[Record]) -> None:
    write_records(table, folder / "records.parquet")
    again = read_records(folder / "records.parquet")
    assert [replace(r, keypoints=None) for r in again] == [replace(r, keypoints=None) for r in table]
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(again, table, strict=True))


@given(table=st.lists(records, max_size=5))
def test_the_same_records_are_the_same_bytes(folder: Path, table: list[Record]) -> None:
    for name in ("one.parquet", "two.parquet"):
        write_records(table, folder / name)
    assert (folder / "one.parquet").read_bytes() == (folder / "two.parquet").read_bytes()


@given(several=st.lists(categories, max_size=4))
def test_categories_read_back_as_they_were_written(several: list[Category]) -> None:
    assert categories_from(json.loads(categories_to_json(several))) == tuple(several)


@given(several=st.lists(st.builds(Problem, text, text, text, text, text, text, text), max_size=4))
def test_problems_read_back_as_they_were_written(folder: Path, several: list[Problem]) -> None:
    write_problems(several, folder / "problems.csv")
    shown = [{name: cell(value) for name, value in asdict(p).items()} for p in several]
    assert [asdict(p) for p in read_problems(folder / "problems.csv")] == shown


def test_flipping_twice_changes_nothing() -> None:
    category = Category("cat", "cat", ("nose", "left", "right", "tail"), flip_pairs=((1, 2),))
    index = category.flip_index()
    assert index == (0, 2, 1, 3)
    assert tuple(index[i] for i in index) == (0, 1, 2, 3)


def test_a_category_without_sigmas_takes_the_default_for_each_keypoint() -> None:
    assert Category("cat", "cat", ("nose", "tail")).oks_sigmas() == (DEFAULT_SIGMA,) * 2
    assert Category("cat", "cat", ("nose", "tail"), sigmas=(0.1, 0.2)).oks_sigmas() == (0.1, 0.2)

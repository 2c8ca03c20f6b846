"""Queries that others are given, and what they hand in: all of it is read, or every kind of mistake counted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.contracts import Task
from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.limits import SIDES_BEYOND
from posebed.submissions.answers import read_answers
from posebed.submissions.questions import Questions

Answers = list[dict[str, Any]]
TASKS = {"held-out": Task.CATEGORY_AGNOSTIC, "quads": Task.CATEGORY_SPECIFIC}


@pytest.fixture(scope="module")
def asked(prepared_project: Path) -> dict[str, Questions]:
    """By split, the queries of its test part: of episodes, and of records alone."""
    pack = Pack.open(prepared_project / "data/packs/small")
    return {
        split: Questions.of(task, pack, read_split(prepared_project / "data/splits" / split))
        for split, task in TASKS.items()
    }


def answers_to(questions: Questions, seed: int = 0) -> Answers:
    """Random ones, with all that may stand beside them."""
    rng = np.random.default_rng(seed)
    answers: Answers = []
    for query in questions.queries:
        record = questions.records[query.row]
        points = rng.uniform([-50, -50, 0], [200, 200, 1], (questions.keypoints[record.category], 3))
        answer = {"record": record.record, "keypoints": points.ravel().tolist(), "score": 0.5}
        answer |= {"episode": query.episode} if questions.episodic else {}
        answer |= {"image_id": questions.image_id[record.image], "category_id": questions.category_id[record.category]}
        answers.append(answer)
    return answers


def written(answers: Answers, path: Path) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(answers))
    else:
        pd.DataFrame(answers).to_parquet(path, index=False)
    return path


def complaint(answers: Answers, questions: Questions, name: str = "answers.json") -> str:
    with TemporaryDirectory() as folder, pytest.raises(ValueError) as error:
        read_answers(written(answers, Path(folder) / name), questions)
    assert "\n" not in str(error.value)
    return str(error.value)


@given(seed=st.integers(0, 2**32 - 1), split=st.sampled_from([*TASKS]), ending=st.sampled_from(["json", "parquet"]))
def test_answers_in_any_order_become_the_table_that_a_run_would_have_written(
    asked: dict[str, Questions], seed: int, split: str, ending: str
):
    questions = asked[split]
    answers = answers_to(questions, seed)
    points = np.array([answer["keypoints"] for answer in answers]).reshape(len(answers), -1, 3)
    expected = questions.table(points[..., :2], points[..., 2])
    shuffled = [answers[i] for i in np.random.default_rng(seed).permutation(len(answers))]
    with TemporaryDirectory() as folder:
        table = read_answers(written(shuffled, Path(folder) / f"answers.{ending}"), questions)
    for name in ("record", "episode", "xy", "confidence", "score", "truth", "counts", "crop"):
        np.testing.assert_array_equal(getattr(table, name), getattr(expected, name))
    assert table.supports == expected.supports


Change = Callable[[dict[str, Any], Questions], dict[str, Any]]


def _of_support(answer: dict[str, Any], questions: Questions) -> dict[str, Any]:
    shown = next(query.supports[0] for query in questions.queries if query.episode == answer["episode"])
    return answer | {"record": questions.records[shown].record}


def _with_first(value: object) -> Change:
    return lambda answer, questions: answer | {"keypoints": [value, *answer["keypoints"][1:]]}


MISTAKES: dict[str, Change] = {
    "of a support of its episode": _of_support,
    "of no query": lambda answer, questions: answer | {"record": "nobody"},
    "of an episode that there is not": lambda answer, questions: answer | {"episode": 999},
    "of no query, as record must be text and episode a whole number": lambda answer, _: answer | {"record": 7},
    "without 3 numbers for each keypoint of its category": lambda answer, _: answer | {"keypoints": [1.0, 2.0, 0.5]},
    "with a number that is not finite": _with_first(math.nan),
    "with a keypoint farther than 3 sides from its picture": _with_first(1e6),
    "with a confidence outside of 0..1": lambda a, _: a | {"keypoints": [*a["keypoints"][:2], 2, *a["keypoints"][3:]]},
    "of a query with another image_id": lambda answer, questions: answer | {"image_id": answer["image_id"] + 1},
    "of a query with another category_id": lambda answer, questions: answer | {"category_id": 99},
}
"""What is said, and what makes an answer so."""
UNANSWERED = {*list(MISTAKES)[:4], "dropped"}
"""Those after which the query has no answer."""


@given(made=st.lists(st.sampled_from([*MISTAKES, "dropped", "twice", "right"]), min_size=12, max_size=12))
def test_every_kind_of_mistake_is_counted(asked: dict[str, Questions], made: list[str]):
    questions = asked["held-out"]
    answers = answers_to(questions)
    assert len(answers) == len(made)
    handed: Answers = []
    for answer, mistake in zip(answers, made, strict=True):
        handed += [answer] if mistake in ("right", "twice") else []
        handed += [answer] if mistake == "twice" else []
        handed += [MISTAKES[mistake](answer, questions)] if mistake in MISTAKES else []
    if {*made} == {"right"}:
        return
    message = complaint(handed, questions)
    expected = {mistake: made.count(mistake) for mistake in {*made} & {*MISTAKES}}
    if "twice" in made:
        expected["of a query that is answered already"] = made.count("twice")
    for mistake, number in expected.items():
        assert f"{number} answer{' is' if number == 1 else 's are'} {mistake}, such as " in message
    number = sum(mistake in UNANSWERED for mistake in made)
    said = f"{number} {'query has' if number == 1 else 'queries have'} no answer, such as " if number else ""
    assert said in message and ("no answer" in message) == bool(number)
    assert message.count(";") == len(expected) + bool(number) - 1


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, 10**400, None, True, "1"], ids=str)
def test_a_coordinate_is_a_number_that_can_be_kept(asked: dict[str, Questions], value: object):
    answers = answers_to(asked["quads"])
    answers[3] = _with_first(value)(answers[3], asked["quads"])
    record = answers[3]["record"]
    assert f"1 answer is with a number that is not finite, such as '{record}'" in complaint(answers, asked["quads"])


@given(beyond=st.floats(SIDES_BEYOND, 1e30), axis=st.integers(0, 1), sign=st.sampled_from([-1, 1]))
def test_a_coordinate_lies_within_some_sides_of_the_picture(
    asked: dict[str, Questions], beyond: float, axis: int, sign: int
):
    questions = asked["quads"]
    answers = answers_to(questions)
    record = questions.records[questions.queries[0].row]
    side = (record.width, record.height)[axis]
    for value, far in (((beyond + 1.01) * side * sign, True), (-SIDES_BEYOND * side, False)):
        answers[0]["keypoints"][axis] = value
        if far:
            assert "1 answer is with a keypoint farther than" in complaint(answers, questions)
        else:
            with TemporaryDirectory() as folder:
                read_answers(written(answers, Path(folder) / "answers.json"), questions)


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_further_fields_and_missing_ones_are_refused_with_their_numbers(asked: dict[str, Questions], ending: str):
    answers = answers_to(asked["held-out"])
    more = complaint([answer | {"colour": 1} for answer in answers], asked["held-out"], f"answers.{ending}")
    assert "must hold answers with episode, record, keypoints" in more and "12 answers have 'colour'" in more
    fewer = [{name: value for name, value in answer.items() if name != "episode"} for answer in answers]
    assert "12 answers lack episode" in complaint(fewer, asked["held-out"], f"answers.{ending}")
    # Without episodes an answer is the record's: one for an episode was meant for something else.
    elsewhere = [answer | {"episode": 0} for answer in answers_to(asked["quads"])]
    assert "8 answers have 'episode'" in complaint(elsewhere, asked["quads"], f"answers.{ending}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("answers.csv", "record", "must be a file that ends with .parquet or .json, but are answers.csv"),
        ("answers.json", "{}", "must be a list of answers as a JSON list, but holds another value"),
        ("answers.json", "[1, {}]", "must be a list of answers, each an object, but 1 of 2 are none"),
        ("answers.json", "[", "is no JSON"),
        ("answers.parquet", "PAR1", "must be answers as Parquet, but cannot be read"),
        ("answers.json", "[]", "12 queries have no answer"),
    ],
)
def test_a_file_that_holds_no_answers(
    asked: dict[str, Questions], tmp_path: Path, name: str, content: str, message: str
):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_answers(tmp_path / name, asked["held-out"])


@pytest.mark.parametrize("ending", ["parquet", "json"])
def test_what_is_no_file_holds_no_answers(asked: dict[str, Questions], tmp_path: Path, ending: str):
    (tmp_path / f"folder.{ending}").mkdir()
    for name, message in ((f"folder.{ending}", "is none"), (f"none.{ending}", "is not there")):
        with pytest.raises(ValueError, match=f"answers must be a file, but .*{name} {message}"):
            read_answers(tmp_path / name, asked["held-out"])


@pytest.mark.parametrize(
    "column",
    [pa.array([2**62], pa.timestamp("us")), pa.array([b"\xff" * 3], pa.binary()).view(pa.string())],
    ids=["a date beyond all", "no UTF-8"],
)
def test_what_parquet_cannot_hand_out_is_told_in_one_line(
    asked: dict[str, Questions], tmp_path: Path, column: pa.Array
):
    pq.write_table(pa.table({"record": column, "keypoints": pa.array([[0.0]])}), tmp_path / "answers.parquet")
    with pytest.raises(ValueError, match="must") as error:
        read_answers(tmp_path / "answers.parquet", asked["held-out"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split", TASKS)
def test_the_list_of_queries_has_all_that_an_answer_needs_and_no_truth(
    asked: dict[str, Questions], split: str, tmp_path: Path
):
    questions = asked[split]
    for name in ("queries.json", "queries.parquet"):
        questions.write(tmp_path / name, {"split": split})
    content = json.loads((tmp_path / "queries.json").read_text())
    rows = pq.read_table(tmp_path / "queries.parquet").to_pylist()
    keypoints = {category["id"]: len(category["keypoints"]) for category in content["categories"]}
    ids = ("episode", "record", "image_id", "category_id")
    answers = [
        {name: query[name] for name in ids if name in query}
        | {"keypoints": [1.0, 2.0, 0.5] * keypoints[query["category_id"]]}
        for query in content["queries"]
    ]
    assert len(read_answers(written(answers, tmp_path / "answers.json"), questions)) == len(questions.queries)
    shown = {query["record"]: query["keypoints"] for query in content["annotations"]}
    supports = {questions.records[row].record for query in questions.queries for row in query.supports}
    assert shown.keys() == supports
    for row, query in zip(rows, content["queries"], strict=True):
        assert {name: query.get(name) for name in ids} == {name: row[name] for name in ids}
        assert [(s["record"], s["keypoints"]) for s in row["supports"]] == [
            (r, shown[r]) for r in query.get("supports", [])
        ]
        assert len(row["names"]) == keypoints[row["category_id"]] and row["box"] == query["bbox"]
        image = content["images"][query["image_id"] - 1]
        assert (image["id"], image["file_name"]) == (row["image_id"], row["image"])

"""Runs on common ground answer the same queries, and whoever does not is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.predictions import Predictions, write_predictions
from posebed.scoring.common_ground import Unanswered, aligned, answers, grounds, tables_at
from posebed.scoring.result import Result

Drawn = Callable[..., Predictions]
Make = Callable[..., Result]
seeds = st.integers(0, 2**32 - 1)

DETECTED = {"boxes": "detected"}


def in_two_episodes(p: Predictions) -> Predictions:
    """The queries in two episodes each, in the second with a keypoint fewer that counts."""
    columns = {f.name: getattr(p, f.name) for f in fields(p)}
    both = {name: np.concatenate([c, c]) for name, c in columns.items() if isinstance(c, np.ndarray)}
    both["episode"][len(p) :] += len(p)
    both["counts"][len(p) :, 0] = False
    return replace(p, **both, supports=p.supports * 2)


def without_episodes(p: Predictions, seed: int = 1) -> Predictions:
    """Another run's answers to the same records, each asked once, in another order."""
    rng = np.random.default_rng(seed)
    xy = np.where(p.xy != 0, p.xy + rng.normal(0, 9, p.xy.shape), 0).astype(np.float32)
    plain = replace(p, xy=xy, episode=np.full(len(p), -1, np.int32), supports=((),) * len(p), counts=p.labelled)
    return plain.take(rng.permutation(len(p)))


@given(seed=seeds)
def test_a_category_specific_run_answers_every_episode_by_its_prediction_for_the_record(drawn: Drawn, seed: int):
    once = drawn(seed, episodes=True)
    queries, own = in_two_episodes(once), without_episodes(once)
    given = answers(queries, own)
    place = {record: i for i, record in enumerate(own.record.tolist())}
    rows = [place[record] for record in queries.record.tolist()]
    for name in ("xy", "confidence", "score", "crop"):
        np.testing.assert_array_equal(getattr(given, name), getattr(own, name)[rows])
    for name in ("record", "episode", "truth", "counts", "box"):
        np.testing.assert_array_equal(getattr(given, name), getattr(queries, name))


@given(seed=seeds)
def test_the_order_of_a_table_does_not_matter(drawn: Drawn, seed: int):
    queries = in_two_episodes(drawn(seed, episodes=True))
    shuffled = queries.take(np.random.default_rng(seed).permutation(len(queries)))
    np.testing.assert_array_equal(answers(queries, shuffled).xy, queries.xy)


def test_a_missing_query_is_reported_and_its_run_left_out(drawn: Drawn, run: Make, specific: Make):
    full = in_two_episodes(drawn(0, episodes=True))
    short = full.take(np.arange(len(full) - 1))
    unpredicted = without_episodes(drawn(0, episodes=True))
    unpredicted = replace(unpredicted, predicted=unpredicted.record != "record0003")
    tables = {"a": short, "b": full, "c": full, "d": unpredicted}
    runs = [run(key, queries=len(tables[key])) for key in "abc"]
    [ground] = grounds([*runs, specific("d")])
    actual = aligned(ground, lambda key: [tables[key]])
    assert actual
    assert [r.key for r in actual.runs] == ["b", "c"]
    assert all(len(table) == len(full) for (table,) in actual.tables)
    assert [sentence[:60] for sentence in actual.left_out] == [
        "a is left out, since it must answer all 24 queries, but miss",
        "d is left out, since it must answer all 24 queries, but miss",
    ]
    assert "misses 2, such as 'record0003' in episode 3" in actual.left_out[1]


def test_a_run_without_a_table_is_left_out_even_if_it_has_the_most_queries(
    drawn: Drawn, run: Make, specific: Make, tmp_path: Path
):
    full = in_two_episodes(drawn(0, episodes=True))
    write_predictions(full, tmp_path / "b.parquet")
    [ground] = grounds([run("a", queries=len(full) + 1), run("b", queries=len(full)), specific("c")])
    actual = aligned(ground, tables_at({"a": [], "b": [tmp_path / "b.parquet"]}))
    assert actual and [r.key for r in actual.runs] == ["b"]
    reason = "is left out, since its table of predictions must be there, but is not."
    assert actual.left_out == (f"a {reason}", f"c {reason}")
    assert aligned(ground, tables_at({})) is None


@pytest.mark.parametrize("name", ["truth", "box", "counts"])
def test_another_truth_is_no_answer(drawn: Drawn, name: str):
    queries = drawn(0, episodes=True)
    other = getattr(queries, name).copy()
    other[3] = ~other[3] if other.dtype == bool else other[3] + 1
    with pytest.raises(Unanswered, match=f"{name} must be the same"):
        answers(queries, replace(queries, **{name: other}))


def test_rows_stand_in_the_order_of_image_episode_and_record(drawn: Drawn, run: Make):
    table = in_two_episodes(drawn(0, per_image=3, episodes=True))
    [ground] = grounds([run("a"), run("b")])
    grounded = aligned(ground, lambda key: [table] * 2)
    assert grounded
    for each in [member for members in grounded.tables for member in members]:
        names = list(zip(each.image.tolist(), each.episode.tolist(), each.record.tolist(), strict=True))
        assert names == sorted(names)


def test_a_run_one_of_whose_members_misses_a_query_is_left_out(drawn: Drawn, run: Make):
    whole = drawn(0, episodes=True)
    part = whole.take(np.arange(len(whole) - 1))
    [ground] = grounds([run("a", queries=len(whole)), run("b")])
    actual = aligned(ground, lambda key: [whole, whole] if key == "a" else [whole, part])
    assert actual
    assert [r.key for r in actual.runs] == ["a"] and len(actual.tables[0]) == 2
    assert "must answer all" in actual.left_out[0]


def test_each_draw_of_episodes_is_a_ground_and_category_specific_runs_stand_on_all(run: Make, specific: Make):
    five = {"protocol": {"boxes": "annotated", "shots": "5"}, "episodes_hash": "f"}
    results = [run("one"), run("five", **five), specific("plain"), run("elsewhere", split_hash="t")]
    actual = grounds(results)
    assert [[r.key for r in ground.runs] for ground in actual] == [["five", "plain"], ["one", "plain"]]
    assert actual == grounds(results[::-1])


def test_runs_that_are_marked_in_another_way_are_left_out_in_words(run: Make, specific: Make):
    [ground] = grounds([run("a"), run("b"), specific("c", protocol=DETECTED)])
    assert [r.key for r in ground.runs] == ["a", "b"]
    assert ground.left_out == ("c is left out, since its boxes must be 'annotated', but is 'detected'.",)


def test_without_episodes_or_company_there_is_no_ground(run: Make, specific: Make):
    assert grounds([specific("a"), specific("b")]) == []
    assert grounds([run("a"), specific("b", data_hash="other")]) == []


def test_runs_that_are_told_more_of_a_category_stand_among_themselves(run: Make, specific: Make):
    named = {"protocol": {"boxes": "annotated", "shots": "0", "told": "keypoint names"}}
    both = grounds([run("a"), run("b", **named), run("c", **named), specific("d")])
    assert [[r.key for r in ground.runs] for ground in both] == [["a", "d"], ["b", "c"]]
    assert not any(ground.left_out for ground in both)

"""Methods over held-out categories: which runs make one, and what is tested against the floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.config import ScoringConfig
from posebed.scoring.held_out import HeldOut, held_out
from posebed.scoring.result import Result, Score

Make = Callable[..., Result]
SCORING = ScoringConfig(resamples=200)
ANIMALS = [f"animal{i}" for i in range(8)]
shares = st.floats(0, 1)


@pytest.fixture
def fold(run: Make) -> Make:
    """A run that holds out one category, by its method and the value of each seed."""

    def made(method: str, category: str, values: Sequence[float], **changes: object) -> Result:
        mean = float(np.mean(values))
        score = Score(metric="PCK@0.2", definition="d", value=mean, low=mean, high=mean, leads=2)
        parts = {"key": f"{method}-{category}", "method": method, "split": f"without-{category}", "scores": [score]}
        parts |= {
            "by_category": {category: {"PCK@0.2": mean}},
            "episodes_hash": category,
            "seeds": (*range(len(values)),),
        }
        result = run(**{**parts, **changes})
        members = [
            result.as_member().model_copy(update={"seed": seed, "scores": {"PCK@0.2": value}})
            for seed, value in enumerate(values)
        ]
        return result.model_copy(update={"members": tuple(members)})

    return made


@pytest.fixture
def table_of(fold: Make) -> Callable[..., HeldOut]:
    """The one table of methods, by their values in each category; the method ``floor`` is the floor."""

    def made(methods: Mapping[str, Sequence[float]]) -> HeldOut:
        results = [
            fold(method, category, [value, value], floor=method == "floor")
            for method, values in methods.items()
            for category, value in zip(ANIMALS, values, strict=False)
        ]
        [table] = held_out(results, SCORING)
        return table

    return made


def test_methods_are_compared_over_the_categories_that_their_runs_hold_out(table_of: Callable[..., HeldOut]):
    floor = np.linspace(0.2, 0.5, 8)
    table = table_of({"floor": floor, "good": floor + 0.2, "level": floor + np.resize([0.01, -0.01], 8)})
    assert table.methods[0].name == "good" and table.units == (*ANIMALS,)
    places = {method.name: place for place, method in enumerate(table.methods)}
    good, level = table.above[places["good"]], table.above[places["level"]]
    assert (good.wins, level.wins) == (8, 4) and good.value == pytest.approx(0.2)
    assert good.p == pytest.approx(2**-8) and good.corrected == pytest.approx(2 * 2**-8)
    assert good.sure and not level.sure and set(table.above) == {places["good"], places["level"]}
    assert good.low == pytest.approx(0.2), "each category differs by the same"
    method = table.methods[places["good"]]
    assert method.value == pytest.approx(floor.mean() + 0.2) and method.spread == 0
    assert method.low is not None and method.high is not None and method.low < method.value < method.high


@given(st.lists(st.tuples(shares, shares, shares), min_size=8, max_size=8), st.permutations(["floor", "a", "b"]))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_runs_changes_nothing(table_of: Callable[..., HeldOut], values: list, order: list[str]):
    columns = dict(zip(("floor", "a", "b"), np.array(values).T, strict=True))
    one, other = table_of(columns), table_of({name: columns[name] for name in order})
    assert one.methods == other.methods and one.above == other.above


def test_spread_is_over_seeds_of_the_mean_over_categories(fold: Make):
    results = [fold("m", "cat", [0.2, 0.4]), fold("m", "dog", [0.6, 0.6]), fold("m", "cow", [0.3, 0.7])]
    [table] = held_out(results, SCORING)
    assert table.methods[0].value == pytest.approx(0.7 / 1.5) and table.floor is None and not table.above
    assert table.methods[0].spread == pytest.approx(np.std([1.1 / 3, 1.7 / 3], ddof=1))


def test_a_category_that_a_method_lacks_is_left_out_for_all(fold: Make):
    results = [fold("a", name, [0.5]) for name in ("cat", "dog", "cow")] + [fold("b", n, [0.5]) for n in ("cat", "cow")]
    [table] = held_out(results, SCORING)
    assert table.units == ("cat", "cow")
    assert table.left_out == ("dog is left out, since b has no run that tests it alike.",)
    assert all(method.spread is None for method in table.methods), "one seed"


def test_a_method_that_tests_a_category_twice_is_left_out(fold: Make):
    results = [fold("a", name, [0.5]) for name in ("cat", "dog")] + [fold("b", name, [0.5]) for name in ("cat", "dog")]
    results.append(fold("b", "cat", [0.6], key="b-again"))
    [table] = held_out(results, SCORING)
    assert [method.name for method in table.methods] == ["a"]
    assert table.left_out == ("b is left out, since b-again and b-cat both test cat.",)


def test_a_method_of_other_categories_is_left_out_and_the_others_keep_theirs(fold: Make):
    results = [fold(method, name, [0.5]) for method in ("a", "b") for name in ANIMALS]
    for others in (["x", "y"], ["x", *ANIMALS[:2]]):
        [table] = held_out([*results, *(fold("theirs", name, [0.6]) for name in others)], SCORING)
        assert table.units == (*ANIMALS,) and [method.name for method in table.methods] == ["a", "b"]
        [sentence] = table.left_out
        assert sentence.startswith("theirs is left out, since of the 8 categories of a half must be tested by all")


def test_each_method_names_the_runs_that_its_value_is_of(fold: Make):
    results = [fold("a", name, [0.5]) for name in ANIMALS[:5]] + [fold("b", name, [0.5]) for name in ANIMALS]
    [table] = held_out(results, SCORING)
    assert all(len(method.runs) == 5 for method in table.methods) and len(table.left_out) == 3


def test_of_a_learning_curve_the_point_with_most_records_stands_in_the_table(fold: Make):
    results = [fold("a", name, [0.5], trained_on=50) for name in ANIMALS]
    few = [fold("a", ANIMALS[0], [0.4], key="a-few", trained_on=5)]
    [alone], [table] = held_out(results, SCORING), held_out([*results, *few], SCORING)
    assert table.methods == alone.methods and not table.left_out


def test_runs_of_two_models_are_no_method(fold: Make):
    results = [fold("a", name, [0.5], model=model) for name, model in (("cat", "fmmp"), ("dog", "pomnet"))]
    assert held_out(results, SCORING) == []
    [table] = held_out([*results, fold("b", "cat", [0.5]), fold("b", "dog", [0.5])], SCORING)
    assert table.left_out == ("a is left out, since its runs must be of one model, but are of fmmp and pomnet.",)


def test_runs_that_test_the_same_are_no_held_out_categories(fold: Make):
    assert held_out([fold("a", "cat", [0.5]), fold("a", "cat", [0.6], key="a-more")], SCORING) == []
    assert held_out([fold("a", "cat", [0.5])], SCORING) == []


def test_categories_of_one_name_in_two_splits_stay_two(fold: Make):
    results = [fold("a", "person", [0.5], split=f"s{i}", key=f"a{i}", episodes_hash=f"e{i}") for i in range(2)]
    [table] = held_out(results, SCORING)
    assert table.units == ("person (s0)", "person (s1)")


def test_other_shots_are_another_table(fold: Make):
    results = [
        fold("a", name, [0.5], key=f"a-{name}-{shots}", protocol={"shots": shots})
        for name in ("cat", "dog")
        for shots in ("1", "5")
    ]
    assert [table.protocol["shots"] for table in held_out(results, SCORING)] == ["1", "5"]

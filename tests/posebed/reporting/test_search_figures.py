"""What figures of searches show of made-up ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.reporting.search_figures import BUDGETS, best_so_far, budgets, search_figures, write_figures
from posebed.scoring.search_result import SearchResult, Trial, spent

Make = Callable[..., SearchResult]
validations = st.floats(0, 1)
trials = st.lists(
    st.builds(
        lambda state, validation, epochs, seconds: Trial(
            number=0,
            state=state,
            params={},
            validation=None if state == "failed" else validation,
            epochs=epochs,
            device_seconds=seconds,
        ),
        st.sampled_from(["complete", "pruned", "failed"]),
        validations,
        st.integers(0, 200),
        st.floats(0, 1e5),
    ),
    max_size=20,
)


@pytest.mark.parametrize("budget", BUDGETS)
@given(made=trials)
def test_the_best_so_far_never_falls_and_ends_where_the_budget_did(budget: str, made: list[Trial]):
    points = best_so_far(made, budget)
    assert all(b[0] >= a[0] and b[1] >= a[1] for a, b in pairwise(points))
    finished = [t.validation for t in made if t.state == "complete"]
    assert bool(points) == bool(finished)
    if points:
        assert points[-1] == (pytest.approx(spent(made)[budget]), max(v for v in finished if v is not None))


def test_a_trial_that_was_stopped_early_is_never_the_best(search: Make):
    result = search(trials=[0.4, {"state": "pruned", "validation": 0.9, "epochs": 1}, 0.5])
    assert [best for _, best in best_so_far(result.own, "trials")] == [0.4, 0.4, 0.5]
    assert result.best.validation == 0.5


def test_trials_of_other_studies_count_for_nothing(search: Make):
    result = search(trials=[{"validation": 0.9, "source": "search@old-0"}, 0.4, 0.5])
    assert best_so_far(result.own, "trials") == [(1, 0.4), (2, 0.5)]


def drawn(search: SearchResult) -> dict[str, str]:
    return {figure.name: str(figure.svg) for figure in search_figures(search)}


def test_every_trial_is_drawn_as_it_ended(search: Make):
    failed = {"state": "failed", "validation": None, "failed": "out of <memory>"}
    result = search(trials=[0.4, {"state": "pruned", "validation": 0.3, "epochs": 1}, failed, 0.5])
    history = drawn(result)["history"]
    marks = {kind: len(re.findall(f'class="{kind} ', history)) for kind in ("dot", "ring", "thin")}
    assert marks == {"dot": 2, "ring": 1, "thin": 1}
    assert "trial 2 failed: out of &lt;memory&gt;" in history


def test_importance_is_reported_for_each_parameter_the_largest_first(search: Make):
    figure = drawn(search(trials=[0.1, 0.2, 0.3, 0.4], importance={"train.lr": 0.2, "model.very.long.name": 0.8}))
    assert "model.very.long.name 0.80, train.lr 0.20" in figure["importance"]


def test_the_front_names_those_that_none_beats(search: Make):
    made: list[Any] = [
        {"validation": v, "cost": c} for v, c in ((0.5, 30e6), (0.4, 20e6), (0.45, 40e6), (0.6, 90e6), (0.3, 25e6))
    ]
    front = drawn(search(trials=made, cost="parameters"))["front"]
    assert re.findall(r'class="mark[^>]*>(\d+)<', front) == ["0", "1", "3"]
    assert "million parameters (logarithmic)" in front
    near = drawn(search(trials=made[:3], cost="parameters"))["front"]
    assert "million parameters<" in near, "a logarithmic axis of such a narrow range would have no ticks"


def test_what_there_is_nothing_to_show_of_has_no_figure(search: Make):
    assert drawn(search(trials=[0.5])) == {}
    assert budgets([search(trials=[0.5])], "epochs") is None


def test_trials_without_training_are_drawn_and_spend_no_epochs(search: Make):
    untrained: list[Any] = [{"validation": v, "epochs": 0, "curve": ()} for v in (0.4, 0.5, 0.3)]
    result = search("search@untrained", untrained)
    history = drawn(result)["history"]
    assert "complete: 0.500<" in history and "epochs" not in history
    assert budgets([result], "epochs") is None and budgets([result], "trials")
    both = budgets([result, search("search@trained", [0.1, 0.2])], "epochs")
    assert both and "search@trained" in str(both.svg) and "search@untrained" not in str(both.svg)


@pytest.mark.parametrize("budget", BUDGETS)
def test_searches_keep_their_numbers_where_one_has_no_line(search: Make, budget: str):
    figure = budgets([search("search@a"), search("search@b", [0.5]), search("search@c", [0.1, 0.2])], budget)
    assert figure and re.findall(r'class="mark over (s\d)"[^>]*>(\d)<', str(figure.svg)) == [("s0", "1"), ("s2", "3")]


def test_files_look_right_alone(search: Make, tmp_path: Path):
    made = [{"validation": 0.1 * i, "cost": 1.0 + i, "state": "pruned" if i == 2 else "complete"} for i in range(1, 6)]
    write_figures(search("search@<a>", made, cost="gflops"), tmp_path)
    files = sorted((tmp_path / "figures").iterdir())
    assert [f.name for f in files] == ["search-front.svg", "search-history.svg", "search-importance.svg"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  (our own)
        assert "var(" not in text and "search@&lt;a&gt;" in text

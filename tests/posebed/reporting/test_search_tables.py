"""What the report says of searches."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.reporting.search_tables import TRIALS, SearchEntry, SearchGroup, search_groups, search_trace
from posebed.reporting.site import write_report
from posebed.scoring.result import Result
from posebed.scoring.search_result import SearchResult

Make = Callable[..., SearchResult]


def settings(**budget: float) -> dict[str, Any]:
    return {"budget": {"trials": None, "epochs": None, "device_seconds": None} | budget, "epochs": 3, "grace": 1}


def only_entry(search: SearchResult) -> SearchEntry:
    ((entry,),) = (group.entries for group in search_groups([search]))
    return entry


def only_group(*searches: SearchResult) -> SearchGroup:
    (group,) = search_groups(searches)
    return group


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"trials": 64}, {"trials": 64}, "Equal budgets: 64 trials each."),
        ({"trials": 64}, {"trials": 40}, "Unequal budgets: search@a 64 trials; search@b 40 trials. Compare them where"),
        (
            {"trials": 64},
            {"trials": 64, "device_seconds": 812.5},
            "search@a 64 trials; search@b 64 trials or 812.5 device-seconds",
        ),
        ({"epochs": 1200}, {"epochs": 1200}, "Equal budgets: 1,200 epochs each."),
    ],
)
def test_equal_and_unequal_budgets_are_distinguished_in_words(
    search: Make, one: dict[str, Any], other: dict[str, Any], words: str
):
    group = only_group(search("search@a", settings=settings(**one)), search("search@b", settings=settings(**other)))
    assert words in group.budget()


def test_searches_on_different_splits_are_never_compared(search: Make):
    searches = [search("search@a"), search("search@b", split="held-out"), search("search@c", data="plants")]
    assert [[e.search.key for e in group.entries] for group in search_groups(searches)] == [
        ["search@a"],
        ["search@b"],
        ["search@c"],
    ]


def test_searches_of_both_families_are_known_to_answer_different_queries(search: Make):
    group = only_group(search("search@a"), search("search@b", task="category_agnostic"))
    assert group.families() == ["category-agnostic", "category-specific"]


@given(spending=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9), min_size=2, max_size=4))
def test_searches_are_compared_at_what_the_most_frugal_spent(search: Make, spending: list[list[int]]):
    searches = [
        search(f"search@{i}", [{"validation": k / 10, "epochs": e} for k, e in enumerate(epochs, 1)])
        for i, epochs in enumerate(spending)
    ]
    group, least = only_group(*searches), min(map(sum, spending))
    values = dict(zip((e.search.key for e in group.entries), group.level()[f"{least:,} epochs"], strict=True))
    for i, epochs in enumerate(spending):
        fit = [k for k in range(1, len(epochs) + 1) if sum(epochs[:k]) <= least]
        assert values[f"search@{i}"] == (fit[-1] / 10 if fit else None)
    assert any(value is not None for value in values.values())


def test_the_gain_is_over_the_runs_own_setting(search: Make):
    entry = only_entry(search(trials=[0.5, 0.625, {"state": "pruned", "validation": 0.9, "epochs": 1}]))
    assert (entry.own_setting.number, entry.best.number, entry.gain()) == (0, 1, 0.125)
    assert entry.changed() == [
        ("train.lr", "0.001", "0.002"),
        ("model.backbone", "resnet18", "resnet50"),
    ]
    assert entry.ends() == {"finished": 2, "stopped early": 1, "failed": 0}


def test_there_is_no_gain_over_a_setting_that_was_not_seen_to_its_end(search: Make):
    assert only_entry(search(trials=[{"state": "pruned", "validation": 0.3, "epochs": 1}, 0.6])).gain() is None


def test_trials_that_were_learnt_from_are_not_the_own_setting(search: Make):
    entry = only_entry(search(trials=[{"validation": 0.9, "source": "search@old-0"}, 0.4, 0.5]))
    assert (entry.own_setting.number, entry.best.number, entry.spent["trials"]) == (1, 2, 2)
    assert ("learnt from", "1 trials of search@old-0") in search_trace(entry.search)["Search"]


def test_each_fault_is_one_line_with_the_trials_that_it_befell(search: Make):
    memory = {"state": "failed", "validation": None, "failed": "out of memory", "epochs": 0}
    lost = {"validation": 0.4, "notes": ["its process was lost after epoch 1; it starts again"]}
    assert only_entry(search(trials=[0.5, memory, lost, memory, memory])).faults() == [
        "trials 1, 3 and 4 failed: out of memory",
        "trial 2: its process was lost after epoch 1; it starts again",
    ]
    assert only_entry(search(trials=[0.5] + [memory] * 20)).faults() == ["20 trials from 1 to 20 failed: out of memory"]


def test_the_page_its_tables_and_its_figures_have_every_search(search: Make, result: Callable[..., Result], tmp_path):
    evil = "<script>document.title='taken'</script>"
    many = [0.5 + i / 1000 for i in range(TRIALS + 10)]
    failed = {"state": "failed", "validation": None, "failed": f"{evil} was found", "params": {"train.lr": 0.1}}
    searches = [search("search@a", many), search("search@b", [0.4, 0.5, failed], task="category_agnostic")]
    page = write_report([result("a")], [], [], tmp_path, searches=searches).read_text(encoding="utf-8")
    for text in ("Unequal budgets: search@a 60 trials; search@b 3 trials", "2 finished", "1 failed", "own setting"):
        assert text in page
    assert "These are 50 of 60" in page and "Searches of different families" in page
    assert evil not in page and "&lt;script&gt;" in page
    rows = list(csv.DictReader((tmp_path / "trials.csv").open(encoding="utf-8")))
    assert len(rows) == TRIALS + 13 and rows[0]["train.lr"] == "0.001"
    for name in ("searches.csv", "searches.md", "searches.tex"):
        assert (tmp_path / name).read_text(encoding="utf-8").count("hrnet") >= 2
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert {"searches-1-budget-trials.svg", "searches-1-budget-device-seconds.svg", "search_a-history.svg"} <= names
    everything = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [SearchResult.model_validate(line) for line in everything["searches"]] == searches


def test_a_report_without_searches_has_no_section_for_them(result: Callable[..., Result], tmp_path: Path):
    page = write_report([result("a")], [], [], tmp_path).read_text(encoding="utf-8")
    assert 'id="searches' not in page and not (tmp_path / "searches.csv").exists()


def test_a_report_of_searches_alone_is_one_too(search: Make, tmp_path: Path):
    assert 'id="searches-1"' in write_report([], [], [], tmp_path, searches=[search()]).read_text(encoding="utf-8")

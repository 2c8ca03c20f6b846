"""Methods on the page: over held-out categories, and as learning curves."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from posebed.config import ScoringConfig
from posebed.reporting.headlines import read_headlines
from posebed.reporting.held_out import cautions, sure, title
from posebed.reporting.learning_curves import learning_curves
from posebed.reporting.site import write_report
from posebed.reporting.terminal import headlines_text
from posebed.scoring.held_out import held_out
from posebed.scoring.result import Result

Make = Callable[..., Result]
ANIMALS = [f"animal{i}" for i in range(8)]


@pytest.fixture
def folds(several: Make) -> list[Result]:
    """Two methods and a floor, of which each run holds out another category."""

    def fold(method: str, value: float, place: int, **changes: Any) -> Result:
        name = ANIMALS[place]
        seeds = [value + 0.01 * place, value + 0.02 * place]
        where = {"split": f"without-{name}", "split_hash": name, "episodes_hash": name, "task": "category_agnostic"}
        changes |= {"by_category": {name: {"PCK@0.2": sum(seeds) / 2}}, "protocol": {"shots": "1"}, "method": method}
        return several(f"{method}-{name}", seeds, **where, **changes)

    values = {"good": 0.6, "level": 0.3, "floor": 0.3}
    return [
        fold(method, value + (0.02 * (-1) ** place if method == "level" else 0), place, floor=method == "floor")
        for method, value in values.items()
        for place in range(len(ANIMALS))
    ]


def test_the_page_shows_methods_over_held_out_categories(folds: list[Result], tmp_path: Path):
    page = write_report(folds, [], [], tmp_path).read_text()
    [table] = held_out(folds, ScoringConfig())
    assert 'id="held-out-1"' in page and 'href="#held-out-1"' in page and page.index("held-out-1") < page.index("<form")
    assert sure(table) == "good is surely better than the floor floor."
    assert sure(table) in page and cautions(table) in page
    assert cautions(table) == "8 categories allow no p below 0.0039, corrected for 2 methods 0.0078."
    with (tmp_path / "held_out.csv").open() as file:
        lines = {line["method"]: line for line in csv.DictReader(file)}
    assert float(lines["good"]["p corrected"]) == pytest.approx(2 * 2**-8) and lines["floor"]["p"] == ""
    assert lines["good"]["categories won"] == "8" and float(lines["good"]["PCK@0.2 of animal0"]) == pytest.approx(0.6)


def test_methods_over_held_out_categories_are_printed_instead_of_a_table_for_each_category(
    folds: list[Result], result: Make, tmp_path: Path
):
    alone = result("alone", 0.7, data="plants")
    write_report([*folds, alone], [], [], tmp_path)
    methods, others = read_headlines(tmp_path).tables
    [table] = held_out(folds, ScoringConfig())
    assert [(row.run, row.family, row.seeds) for row in methods.rows] == [
        (method.name, "category-agnostic", 2) for method in table.methods
    ]
    assert [row.run for row in others.rows] == ["alone"]
    text = headlines_text(read_headlines(tmp_path), 80)
    assert text.startswith(title(table)) and sure(table) in text
    assert cautions(table) in " ".join(text.split())


def test_few_categories_say_that_nothing_can_be_sure(folds: list[Result]):
    [table] = held_out([run for run in folds if int(run.split[-1]) < 3], ScoringConfig())
    assert "too few to call any method sure" in cautions(table)
    assert sure(table) == "No method is surely better than the floor floor."
    [alone] = held_out([run for run in folds if run.method == "good"], ScoringConfig())
    assert sure(alone).startswith("Nothing is tested: no floor ran")


def test_curves_join_runs_of_one_method_and_stand_in_page_figure_and_table(result: Make, several: Make, tmp_path: Path):
    agnostic = {"task": "category_agnostic", "method": "fmmp"}
    points = [
        several(f"fmmp-{n}shot", [0.4 + n / 20, 0.42 + n / 20], protocol={"shots": str(n)}, split=f"s{n}", **agnostic)
        for n in (1, 3, 5)
    ]
    alone = result("pomnet-1shot", 0.9, protocol={"shots": "1"}, task="category_agnostic")
    sizes = [result(f"hrnet-{n}", 0.3 + n / 100, trained_on=10 * n, method="hrnet-5") for n in (5, 10, 20)]
    shots, records = learning_curves([*points, alone, *sizes])
    assert (shots.unit, shots.places, [m.name for m in shots.methods]) == ("shots", [1, 3, 5], ["fmmp"])
    assert (records.unit, records.places) == ("records", [50, 100, 200])
    for curve in (shots, records):
        text = "".join(ElementTree.fromstring(curve.figure.svg).itertext())  # noqa: S314  (our own)
        assert curve.metric in text
    page = write_report([*points, alone, *sizes], [], [], tmp_path).read_text()
    assert 'id="curves"' in page and 'href="#curves"' in page and (tmp_path / "figures/curve-1-shots.svg").is_file()
    with (tmp_path / "curves.csv").open() as file:
        lines = [*csv.DictReader(file)]
    assert [line["shots"] for line in lines if line["along"] == "shots"] == ["1", "3", "5"]
    assert [line["run"] for line in lines if line["along"] == "records"] == ["hrnet-5", "hrnet-10", "hrnet-20"]


def test_runs_at_one_number_are_one_point_and_the_page_names_the_others(result: Make, tmp_path: Path):
    runs = [result(f"a-{key}", trained_on=records, method="a") for key, records in (("x", 15), ("y", 38), ("z", 38))]
    [curve] = learning_curves(runs)
    assert [[*method.points] for method in curve.methods] == [[15, 38]]
    assert curve.left_out == ("a-z is left out, since a-y of the same method stands at 38 records.",)
    assert curve.left_out[0] in write_report(runs, [], [], tmp_path).read_text()


def test_points_that_test_other_categories_or_stand_at_one_place_are_no_curve(result: Make):
    other = {"by_category": {"whale": {"PCK@0.2": 0.5}}}
    assert (
        learning_curves([result("a", trained_on=5, method="a"), result("b", trained_on=9, method="a", **other)]) == []
    )
    assert learning_curves([result("a", trained_on=5, method="a"), result("b", trained_on=5, method="a")]) == []

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from posebed.listing import cell
from posebed.reporting.site import SHOWN, write_report
from posebed.reporting.table_text import as_csv, as_latex, as_markdown
from posebed.scoring.result import Result

Make = Callable[..., Result]
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
lines = st.lists(st.dictionaries(names, st.none() | st.integers() | st.floats(0, 1) | names, min_size=1), min_size=1)


@given(lines)
def test_csv_keeps_every_value(table: list[dict[str, object]]):
    read = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [{k: v for k, v in row.items() if v} for row in read] == [
        {str(cell(k)): str(cell(v)) for k, v in line.items() if v not in (None, "")} for line in table
    ]


@given(lines)
def test_markdown_has_as_many_cells_in_every_row(table: list[dict[str, object]]):
    rows = as_markdown(table, "Any | title").splitlines()[2:]
    assert len(rows) == len(table) + 2
    assert len({len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", row))) for row in rows}) == 1


@given(lines)
def test_latex_has_as_many_cells_in_every_row_and_no_bare_command(table: list[dict[str, object]]):
    text = as_latex(table, "50 % & more_of $it")
    assert r"\caption{50 \% \& more\_of \$it}" in text
    body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0].replace(r"\midrule", "")
    rows = [row for row in body.splitlines() if row]
    assert len(rows) == len(table) + 1
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    names = "textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
    known = rf"\\({names})\{{\}}|\\[{{}}$&#_%]|\$\\?[^\s$]{{1,5}}\$"
    for row in rows:
        assert not set(r"\{}$#_%~^") & set(re.sub(known, "", row.removesuffix(r" \\")))


def test_numbers_stand_at_the_right_and_are_short():
    table = [{"run": "a_b", "value": 1 / 3, "count": 28_500_000}, {"run": "c|d", "value": None, "count": 1}]
    assert as_markdown(table).splitlines() == [
        "| run | value | count |",
        "| :-- | --: | --: |",
        r"| a\_b | 0.3333 | 28500000 |",
        r"| c\|d |  | 1 |",
    ]
    assert r"\begin{tabular}{lrr}" in as_latex(table)


def test_every_figure_is_a_file_that_looks_right_alone(result: Make, tmp_path: Path):
    write_report([result("a<b>&"), result("b", 0.5)], [], [], tmp_path)
    files = sorted((tmp_path / "figures").iterdir())
    assert {p.name for p in files} >= {"protocol-1-intervals.svg", "protocol-1-losses.svg", "protocol-1-cost.svg"}
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  (our own)
        assert "var(" not in text and "url(" not in text, "needs nothing from elsewhere"
        assert "animals, split by-image" in text


def test_the_json_holds_results_tables_and_comparisons(result: Make, tmp_path: Path):
    runs = [result("a"), result("floor", 0.2, model="mean_pose", floor=True), result("b", data="plants")]
    write_report(runs, [], [], tmp_path, comparisons={"further": [{"run": "a", "value": 0.5}]})
    everything = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [Result.model_validate(r) for r in everything["results"]] == runs
    assert [[row["run"] for row in table["runs"]] for table in everything["tables"]] == [["a", "floor"], ["b"]]
    assert everything["tables"][0]["runs"][0]["floor_verdict"] == "above"
    assert everything["comparisons"]["further"] == [{"run": "a", "value": 0.5}]
    for ending in ("csv", "md", "tex"):
        assert "0.5" in (tmp_path / f"further.{ending}").read_text()


def test_figures_show_the_best_runs_alone_and_tables_all(result: Make, tmp_path: Path):
    runs = [result(f"run{i:03}", 0.2 + i / 1000) for i in range(200)]
    page = write_report(runs, [], [], tmp_path).read_text(encoding="utf-8")
    figure = (tmp_path / "figures/protocol-1-intervals.svg").read_text(encoding="utf-8")
    assert len(set(re.findall(r"run\d{3}", figure))) == SHOWN and "run199" in figure
    for name in ("leaders.csv", "leaders.md", "leaders.tex", "index.html"):
        assert len(set(re.findall(r"run\d{3}", (tmp_path / name).read_text()))) == 200
    assert f"The best {SHOWN} of 200 runs." in page

"""The tables that a report starts with where no runs meet on common ground, and how they look in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.reporting.compare import summary, tables
from posebed.reporting.formats import mean
from posebed.reporting.headlines import headlines_of, read_headlines
from posebed.reporting.site import write_report
from posebed.reporting.terminal import SHOWN, headlines_text
from posebed.scoring.result import Result, Score

Make = Callable[..., Result]
keys = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=60)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(keys, min_size=1, max_size=6, unique=True), data=st.data())
def test_at_80_columns_every_run_can_be_read_without_colour(several: Make, names: list[str], data: st.DataObject):
    shares = st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4)
    runs = [several(name, data.draw(shares)) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("NO_COLOR", "1")
        patch.setenv("FORCE_COLOR", "1")
        text = headlines_text(headlines_of([], tables(runs), {}))
    assert max(map(len, text.splitlines())) <= 80 and "\x1b" not in text
    for run in runs:
        score = run.score("PCK@0.2")
        cells = (mean(score.value, score.spread), f"[{score.low:.3f}, {score.high:.3f}]", f" {len(run.members)}")
        lines = [n for n in text.splitlines() if n.startswith(run.key[:20]) and all(cell in n for cell in cells)]
        assert lines and all(" specific " in line for line in lines)
        assert len(run.key) > 25 or run.key in text


def test_without_common_ground_every_protocol_has_a_table_with_its_headline_metric(
    result: Make, score: Callable[..., Score], tmp_path: Path
):
    runs = [
        result("a", 0.3),
        result("b", 0.9),
        result("floor", 0.1, model="mean_pose", floor=True),
        result("cape", 0.6, task="category_agnostic", data="plants", protocol={"part": "test", "shots": "5"}),
        result("boxed", protocol={"boxes": "detected"}, scores=[score("AP", 0.4)]),
    ]
    page = write_report(runs, [], [], tmp_path).read_text()
    compared = tables(runs)
    headlines = read_headlines(tmp_path)
    assert [table.metric for table in headlines.tables] == [table.protocol.headline for table in compared]
    assert [[row.run for row in table.rows] for table in headlines.tables] == [
        [row.result.key for row in table.rows] for table in compared
    ]
    text = headlines_text(headlines, 80)
    for table in compared:
        assert table.protocol.title() in text
        for row in table.rows:
            assert f"<b>{row.headline.value:.3f}</b>" in page and f"{row.headline.value:.3f}" in text
    assert "category-agnostic, 5-shot" in text
    assert "b and a are surely better than the floor floor; b is surely better than a." in text
    assert summary(compared)[1] in page[: page.index("</header>")], "as where nothing stands before the protocols"
    assert page.index("<section") == page.index('<section class="protocol" id="protocol-1"')


def test_of_many_runs_the_best_are_printed_and_the_others_counted(result: Make):
    runs = [result(f"run{i:02}", 0.9 - i / 100) for i in range(SHOWN + 5)]
    headlines = headlines_of([], tables(runs), {})
    text = headlines_text(headlines, 80)
    assert f"The best {SHOWN} of {SHOWN + 5} runs." in text
    assert [f"run{i:02}" in text for i in (0, SHOWN - 1, SHOWN)] == [True, True, False]
    assert len(headlines.tables[0].rows) == len(runs), "all of them are kept"


def test_markup_in_a_name_is_printed_as_it_is(result: Make):
    name = "[red]run[/red]:smile:"
    assert name in headlines_text(headlines_of([], tables([result(name)]), {}), 80)


def test_a_report_without_results_has_no_tables(tmp_path: Path):
    write_report([], [], [], tmp_path)
    assert headlines_text(read_headlines(tmp_path)) == ""

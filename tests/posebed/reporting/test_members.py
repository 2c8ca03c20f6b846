"""A run with several members wherever a run is shown: its mean with the spread, and its members on demand."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.reporting.compare import summary, tables
from posebed.reporting.figures import figures
from posebed.reporting.site import write_report
from posebed.reporting.trace import trace
from posebed.scoring.result import BY_KEYPOINT, Result

Make = Callable[..., Result]
shares = st.lists(st.floats(0.05, 0.95), min_size=2, max_size=5)
reused = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@given(values=shares)
@reused
def test_files_hold_mean_spread_and_every_member(several: Make, result: Make, tmp_path: Path, values: list[float]):
    write_report([several("many", values), result("one", 0.4)], [], [], tmp_path)
    leaders = {line["run"]: line for line in rows_of(tmp_path / "leaders.csv")}
    many, one = leaders["many"], leaders["one"]
    assert (int(many["seeds"]), int(one["seeds"])) == (len(values), 1)
    assert float(many[BY_KEYPOINT]) == pytest.approx(fmean(values))
    assert float(many[f"{BY_KEYPOINT} spread"]) == pytest.approx(stdev(values), abs=1e-12)
    assert one[f"{BY_KEYPOINT} spread"] == ""
    members = rows_of(tmp_path / "members.csv")
    assert [float(line[BY_KEYPOINT]) for line in members if line["run"] == "many"] == values
    assert [line["seed"] for line in members if line["run"] == "many"] == [str(i) for i in range(len(values))]
    assert [(line["seed"], float(line[BY_KEYPOINT])) for line in members if line["run"] == "one"] == [("0", 0.4)]
    for ending in ("md", "tex"):
        text = (tmp_path / f"leaders.{ending}").read_text()
        assert all(f" {column} " in text for column in ("seeds", "spread"))


@given(values=shares)
@reused
def test_the_page_shows_means_with_their_spread_and_members_on_demand(
    several: Make, tmp_path: Path, values: list[float]
):
    run = several("many", values)
    page = write_report([run], [], [], tmp_path).read_text()
    plain = re.sub(r"<[^>]+>", "", page)
    assert f"{fmean(values):.3f} ± {stdev(values):.3f}" in plain
    details = re.findall(r'<details class="seeds">.*?</details>', page, re.DOTALL)
    assert len(details) == 1 and f"{len(values)} seeds" in details[0]
    for member in run.members:
        assert f"<dt>seed {member.seed}</dt><dd>{member.scores[BY_KEYPOINT]:.3f}</dd>" in details[0]
        for fact in (member.result, member.fingerprint, member.checkpoint_hash):
            assert fact in page
    assert "± " in summary(tables([run]))[1]


def test_a_run_of_one_seed_has_no_spread_and_no_members_to_open(result: Make, tmp_path: Path):
    page = write_report([result("one")], [], [], tmp_path).read_text()
    assert 'class="seeds"' not in page and "±" not in page
    facts = trace(result("one", seed=4))
    assert "Members" not in facts and ("seed", "4") in facts["Model and data"]


def test_the_trace_of_a_run_names_all_its_members(several: Make):
    facts = trace(several("many", [0.1, 0.2]))
    assert ("seeds", "0, 1") in facts["Model and data"]
    assert [name for name, _ in facts["Members"]] == ["seed 0", "seed 1"]
    assert "checkpoint" not in dict(facts["Origin"])


@given(values=shares)
@reused
def test_charts_have_a_small_dot_for_every_member_within_their_frame(several: Make, result: Make, values: list[float]):
    (table,) = tables([several("many", values), result("one", 0.4)])
    drawn = {figure.name: figure for figure in figures(table)}
    for name, side in (("intervals", "cx"), ("cost", "cy")):
        dots = re.findall(r'<circle class="member[^>]*>', drawn[name].svg)
        assert len(dots) == len(values) and "the seeds of a run" in drawn[name].caption
        places = [float(re.findall(rf'{side}="([^"]+)"', dot)[0]) for dot in dots]
        assert all(0 <= place <= 400 for place in places)
        order = sorted(range(len(values)), key=lambda i: values[i] if side == "cx" else -values[i])
        assert [places[i] for i in order] == sorted(places)
    (single,) = tables([result("one", 0.4), result("two", 0.5)])
    assert not any("member" in figure.svg for figure in figures(single))

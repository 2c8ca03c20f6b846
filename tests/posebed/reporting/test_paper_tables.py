"""Published numbers beside ours: what is compared, what is never mixed, and which words are said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.contracts import Claim, Paper, Preset, PresetSpec
from posebed.reporting.paper_tables import PaperRow, Papers, paper_lines, papers
from posebed.reporting.published_claims import DEFINITIONS, Literature
from posebed.reporting.site import write_report
from posebed.reporting.verdicts import TOLERANCE, Cell, Ours
from posebed.scoring.result import Repeat, Result, Score
from posebed.spec_text import Stated

AP = "AP"


def preset(setting: str, value: float, place: str = "Paper, table 1", **changes) -> Preset:
    claims = changes.pop("claims", (Claim("AP-10K", "val", setting, AP, value, place),))
    return Preset(
        **{
            "model": "hrnet",
            "data": {"source": "ap10k", "options": {"split": 1}},
            "split": {"by": "official"},
            "pack": {"crop_size": [256, 256]},
            "config": {"width": 32, "weights": "timm", "flip_test": "shifted"},
            "claims": claims,
            **changes,
        }
    )


PUBLISHED = PresetSpec(
    presets={
        "ours": preset("Ours", 75.8),
        "plain": preset("Plain", 70.0),
        "named": preset("Named", 80.0, protocol={"shots": "0", "told": "names"}),
        "large": preset("Large", 77.9, pack={"crop_size": [384, 384]}),
        "away": preset("Away", 75.0, claims=(Claim("Server", "test", "Away", AP, 75.0, "Paper, table 2"),)),
        "odd": preset("Odd", 1.0, claims=(Claim("AP-10K", "val", "Odd", "Oddness", 1.0, "Paper, table 3"),)),
        "silent": preset("Silent", 0.0, claims=()),
        **{
            f"split{n}": preset("Mean", 0.0, claims=(Claim("MP", "average", "Mean", AP, 60.0, "Other, table 1"),))
            for n in (1, 2)
        },
    },
    ablations={"hrnet": {"parts": ("plain", "silent", "ours")}},
    unmeasured={"Server": "Nobody has its annotations."},
)
PAPER = Paper("A paper", 2025, "arXiv:1", name="Paper")
LITERATURE = Literature(PUBLISHED, {"hrnet": Stated(paper=PAPER, widths={"hrnet": "width"})})

Ran = Callable[..., Result]


@pytest.fixture
def ran(result: Callable[..., Result], score: Callable[..., Score]) -> Ran:
    def made(key: str, value: float = 0.75, size: str = "256 x 256", **changes) -> Result:
        given = {"answered": {"input": size}, "protocol": {"boxes": "annotated"}, **changes}
        definition = given.pop("definition", DEFINITIONS[AP])
        config = {"width": 32, "weights": "timm", "flip_test": "shifted", **given.pop("config", {})}
        scores = [score(AP, value, definition=definition), score("PCK@0.2", value)]
        return result(key, scores=scores, config=config, **given)

    return made


def papers_of(results: list[Result], **repeats: str | Repeat) -> Papers:
    """Of results by what they repeat; of a key without a result the preset is asked for."""
    named = {key: Repeat(preset=r) if isinstance(r, str) else r for key, r in repeats.items()}
    repeating = [result.model_copy(update={"repeats": named.get(result.key)}) for result in results]
    return papers(repeating, LITERATURE, [repeat.preset for repeat in named.values()])


def row_of(of: Papers, setting: str, ablation: str = "") -> PaperRow:
    (row,) = [r for t in of.tables for r in t.rows if (r.setting, t.ablation) == (setting, ablation)]
    return row


def numbers(cell: Cell) -> tuple[float | None, ...]:
    assert cell.ours
    return cell.ours.value, cell.ours.low, cell.ours.high, cell.ours.seeds


@pytest.mark.parametrize(
    ("claimed", "share", "verdict"),
    [
        (75.8, 0.768, "reproduced within 1.00"),
        (75.8, 0.748, "reproduced within 1.00"),
        (75.8, 0.74799, "short by 1.00"),
        (75.8, 0.7469, "short by 1.11"),
        (75.8, 0.8, "above by 4.20"),
        (75.8, 0.758, "reproduced within 0.00"),
        (75.8, 0.75801, "reproduced within 0.01"),
    ],
)
def test_the_tolerance_is_one_point_with_its_border(ran: Ran, claimed: float, share: float, verdict: str):
    cell = row_of(papers_of([ran("run", share)], run="ours"), "Ours", "hrnet parts").cells[AP]
    assert cell.claimed == claimed and cell.ours
    assert cell.ours.value == pytest.approx(100 * share)
    assert cell.verdict() == verdict


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_verdict_goes_with_its_difference(claimed: float, value: float):
    cell = Cell(claimed, Ours(value, None, None))
    difference = cell.difference()
    assert difference is not None
    words, number = cell.verdict().rsplit(" ", 1)
    assert abs(float(number) - abs(difference)) <= 0.0100001
    expected = "reproduced within" if abs(difference) <= TOLERANCE else "above by" if difference > 0 else "short by"
    assert words == expected
    if words == "reproduced within":
        assert abs(difference) <= float(number) + 1e-6, "within is never too little"


def test_mean_and_spread_are_over_seeds(ran: Ran):
    values = (0.75, 0.762, 0.741)
    results = [ran(f"run{seed}", value, seed=seed) for seed, value in enumerate(values)]
    row = row_of(papers_of(results, run0="ours", run1="ours", run2="ours"), "Ours", "hrnet parts")
    assert row.runs == ("run0", "run1", "run2")
    assert numbers(row.cells[AP]) == pytest.approx((100 * fmean(values), 74.1, 76.2, 3))
    single = row_of(papers_of(results[:1], run0="ours"), "Ours", "hrnet parts").cells[AP]
    assert numbers(single) == pytest.approx((75, 73, 77, 1)), "the interval over images"


def of_seeds(run: Ran, key: str, values: dict[int, float]) -> Result:
    """A run with a member per seed."""
    members = [run(key, value, seed=seed) for seed, value in values.items()]
    whole = {"seeds": tuple(values), "members": tuple(member.as_member() for member in members)}
    mean = run(key, fmean(values.values()))
    return members[0].model_copy(update={**whole, "scores": mean.scores})


@given(
    values=st.dictionaries(st.integers(0, 9), st.floats(0.5, 0.9), min_size=2, max_size=5),
    order=st.randoms(use_true_random=False),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_members_of_one_run_stand_as_runs_of_one_seed_each_do(ran: Ran, values: dict[int, float], order):
    seeds = list(values)
    order.shuffle(seeds)
    apart = [ran(f"run{seed}", values[seed], seed=seed) for seed in seeds]
    together = of_seeds(ran, "run", values)
    row = row_of(papers_of(apart, **{run.key: "ours" for run in apart}), "Ours", "hrnet parts")
    joined = row_of(papers_of([together], run="ours"), "Ours", "hrnet parts")
    assert (joined.runs, len(row.runs)) == (("run",), len(values))
    assert numbers(joined.cells[AP]) == pytest.approx(numbers(row.cells[AP]))
    (one, other) = (cells[AP].ours for cells in (joined.cells, row.cells))
    assert one and other and one.spread == pytest.approx(other.spread)


def test_a_mean_over_splits_is_over_the_seeds_that_all_of_them_have(ran: Ran):
    first = of_seeds(ran, "a", {0: 0.5, 1: 0.6, 2: 0.9})
    second = of_seeds(ran, "b", {0: 0.7, 1: 0.6})
    cell = row_of(papers_of([first, second], a="split1", b="split2"), "Mean").cells[AP]
    assert numbers(cell) == pytest.approx((60, 60, 60, 2))


def test_a_claim_between_our_seeds_is_reproduced_and_an_interval_excuses_nothing(ran: Ran):
    spread = papers_of([ran("a", 0.71), ran("b", 0.77, seed=1)], a="ours", b="ours")
    assert row_of(spread, "Ours", "hrnet parts").cells[AP].verdict() == "reproduced within 1.80"
    single = row_of(papers_of([ran("a", 0.74)], a="ours"), "Ours", "hrnet parts").cells[AP]
    assert single.ours and single.ours.high and single.ours.high > 75.8
    assert single.verdict() == "short by 1.80"


def test_what_was_not_run_keeps_claim_and_source(ran: Ran):
    of = papers_of([ran("run")], run="ours", planned="large")
    (table,) = [t for t in of.tables if any(r.setting == "Large" for r in t.rows)]
    cell = row_of(of, "Large").cells[AP]
    assert (table.source, cell.claimed, cell.ours, cell.verdict()) == ("Paper, table 1", 77.9, None, "not run")


def test_rows_of_two_protocols_never_share_a_table(ran: Ran):
    for other in ({"size": "384 x 384"}, {"protocol": {"boxes": "annotated", "annotations": "b.json"}}):
        of = papers_of([ran("a"), ran("b", **other)], a="ours", b="large" if "size" in other else "plain")
        assert not of.deviations
        for table in of.tables:
            assert not {"a", "b"} <= {run for row in table.rows for run in row.runs}


def test_rows_that_are_told_more_stand_in_tables_that_say_so(ran: Ran):
    measured = {"boxes": "annotated", "shots": "0", "told": "names"}
    of = papers_of([ran("a"), ran("b", protocol=measured)], a="ours", b="named")
    assert not of.deviations
    (table,) = [t for t in of.tables if any("b" in row.runs for row in t.rows)]
    assert [row.setting for row in table.rows] == ["Named"]
    assert {("shots", "0"), ("told", "names")} <= {*table.protocol} and not {"shots", "told"} & {*dict(table.details)}
    assert "told: names" in str(paper_lines(of))


def test_a_metric_of_another_definition_has_a_table_of_its_own(ran: Ran):
    of = papers_of([ran("a"), ran("b", definition="Counted otherwise.")], a="ours", b="plain")
    tables = [t for t in of.tables if t.ablation and any(r.runs for r in t.rows)]
    assert [[run for row in t.rows for run in row.runs] for t in tables] in ([["a"], ["b"]], [["b"], ["a"]])
    assert {dict(t.definitions())[AP] for t in tables} == {DEFINITIONS[AP], "Counted otherwise."}


def test_runs_of_one_setting_that_differ_in_more_than_the_seed_are_no_mean(ran: Ran):
    of = papers_of([ran("a", 0.75), ran("b", 0.5, seed=1)], a="ours", b=Repeat(preset="ours", changed="train.epochs 1"))
    rows = [r for t in of.tables if t.ablation for r in t.rows if r.setting == "Ours"]
    assert [(r.changed, r.runs) for r in rows] == [("", ("a",)), ("train.epochs 1", ("b",))]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": {"flip_test": "off"}}, "flip test off instead of shifted"),
        ({"config": {"width": 48}}, "backbone hrnet, width 48 instead of hrnet, width 32"),
        ({"size": "64 x 64"}, "input 64 x 64 instead of 256 x 256"),
        ({"protocol": {"boxes": "detected"}}, "boxes detected instead of annotated"),
        ({"protocol": {"boxes": "annotated", "told": "names"}}, "told names instead of nothing"),
        ({"answered": {"input": "256 x 256", "weights imported from": "x.pth"}}, "weights imported from x.pth"),
    ],
)
def test_a_run_by_another_protocol_stands_beside_no_claim(ran: Ran, changes: dict, reason: str):
    of = papers_of([ran("run", **changes)], run="ours")
    assert of.deviations == {"run": (reason,)}
    assert row_of(of, "Ours", "hrnet parts").cells[AP].verdict() == "not run"


def test_a_run_on_other_data_stands_beside_no_claim(ran: Ran):
    of = papers_of([ran("run")], run=Repeat(preset="ours", apart=("other data",)))
    assert of.deviations == {"run": ("other data",)} and not row_of(of, "Ours", "hrnet parts").runs


def test_a_run_of_a_preset_that_is_not_known_here_stands_beside_no_claim(ran: Ran):
    of = papers_of([ran("run")], run="of-tomorrow")
    assert of.deviations == {"run": ("of-tomorrow is not known here",)}


def test_a_result_shows_the_tables_of_what_it_repeats_by_itself(ran: Ran):
    result = ran("run").model_copy(update={"repeats": Repeat(preset="large")})
    assert papers([result], LITERATURE) == papers([result], LITERATURE, ["large"])
    assert papers([result], LITERATURE).shown


def test_what_cannot_be_measured_is_reported(ran: Ran):
    of = papers_of([ran("a"), ran("b")], a="away", b="odd")
    for setting, metric in (("Away", AP), ("Odd", "Oddness")):
        cell = row_of(of, setting).cells[metric]
        assert (cell.ours, cell.verdict()) == (None, "not measured here")
    (table,) = [t for t in of.tables if t.note]
    assert (table.source, table.note) == ("Paper, table 2", "Nobody has its annotations.")


def test_a_published_mean_is_compared_with_a_mean_over_the_same_runs(ran: Ran):
    part = row_of(papers_of([ran("a", 0.5)], a="split1"), "Mean").cells[AP]
    assert (part.ours, part.verdict()) == (None, "1 of 2 runs")
    whole = row_of(papers_of([ran("a", 0.5), ran("b", 0.71)], a="split1", b="split2"), "Mean")
    assert whole.runs == ("a", "b") and numbers(whole.cells[AP]) == (60.5, None, None, 1)
    assert whole.cells[AP].verdict() == "reproduced within 0.50"


def test_an_ablation_keeps_its_order_and_rows_without_a_known_number(ran: Ran):
    of = papers_of([ran("run", 0.7)], run="silent")
    (table,) = [t for t in of.tables if t.ablation]
    assert [row.setting for row in table.rows] == ["Plain", "silent", "Ours"]
    cell = table.rows[1].cells[AP]
    assert cell.claimed is None and cell.ours and cell.verdict() == ""
    again = [t for t in of.tables if not t.ablation and {"Ours", "Plain"} >= {row.setting for row in t.rows}]
    assert again == [], "it is not shown a second time"


def test_an_ablation_without_a_table_in_common_is_refused():
    wrong = Literature(replace(PUBLISHED, ablations={"hrnet": {"mixed": ("ours", "odd")}}))
    with pytest.raises(ValueError, match="ablation hrnet mixed must have claims of one table"):
        papers([], wrong)


def test_models_may_share_a_paper_but_not_its_name_alone():
    def stating(title: str) -> Literature:
        return Literature(PUBLISHED, {**LITERATURE.models, "other": Stated(paper=replace(PAPER, title=title))})

    assert stating("A paper").papers == {"Paper": PAPER}
    with pytest.raises(ValueError, match="models of the paper 'Paper' must state it alike, but other states 'Another'"):
        papers([], stating("Another"))


def test_papers_of_which_nothing_is_requested_are_only_counted(ran: Ran, tmp_path: Path):
    of = papers_of([ran("run")], run="large")
    assert [(name, paper and paper.title) for name, paper, _ in of.shown] == [("Paper", "A paper")]
    assert of.further_rows() == sum(len(t.rows) for t in of.tables) - 1
    page = write_report([ran("run")], [], [], tmp_path, papers=of).read_text()
    assert f"{of.further_rows()} further published rows, not run" in page
    section = page[page.index('id="papers"') :]
    assert "77.9" in section and "75.8" not in section and 'href="#papers"' in page
    assert "within 1 percent point" in section
    assert (tmp_path / "papers.csv").read_text().count("\n") == 2


def test_without_a_preset_the_page_has_no_papers(ran: Ran, tmp_path: Path):
    page = write_report([ran("run")], [], [], tmp_path, papers=papers_of([ran("run")])).read_text()
    assert 'id="papers"' not in page and not (tmp_path / "papers.csv").exists()


def test_lines_hold_claim_ours_and_protocol(ran: Ran):
    (line,) = paper_lines(papers_of([ran("run", 0.77)], run="large"))
    assert (line["claimed"], line["runs"], line["verdict"]) == (77.9, "", "not run")
    assert line["preset"] == "large" and "input: 384 x 384" in str(line["protocol"])

"""The common ground in words, tables and pictures."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.reporting.common_ground import HARDEST, SHOWN, GroundSection, ground_lines, ground_sections
from posebed.reporting.compare import tables
from posebed.reporting.formats import mean
from posebed.reporting.gallery import GAP, TILE
from posebed.reporting.headlines import headlines_of, read_headlines
from posebed.reporting.site import write_report
from posebed.reporting.sure import NOTHING
from posebed.reporting.terminal import headlines_text
from posebed.scoring.result import Result

Make = Callable[..., Result]

KINDS = [
    Category(
        key, f"{key} of the house", ("left_eye", "right_eye", "tail")[:size], limbs=((0, 1),), flip_pairs=((0, 1),)
    )
    for size, keys in ((3, "cat dog cow pig hen"), (2, "bee fly ant bug eel"))
    for key in keys.split()
]
PICTURE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
PER_KIND = 12
EVIL = "<script>alert()</script>"

SPECS = [*installed().measured()[0].values()]


def record(kind: Category, number: int) -> Record:
    points = np.array([[30, 30, 2], [30, 60, 2], [80, 45, 1]], np.float32)[: len(kind.keypoints)]
    name = f"{kind.key}{number:02}"
    return Record(name, f"{name}.png", 120, 90, kind.key, (20.0, 20.0, 70.0, 50.0), 3500.0, points)


RECORDS = {r.record: r for kind in KINDS for r in (record(kind, i) for i in range(PER_KIND))}


def table(error: float, episodes: bool = True, seed: int = 0) -> Predictions:
    """Errors are as large as ``error`` in the mean, in shares of the box."""
    queries = list(RECORDS.values())
    rng = np.random.default_rng(seed)
    xy = np.zeros((len(queries), 3, 2))
    for row, r in zip(xy, queries, strict=True):
        row[: len(r.keypoints)] = r.keypoints[:, :2] + rng.normal(0, 70 * error, (len(r.keypoints), 2))
    supports = [[RECORDS[f"{r.category}00"]] for r in queries]
    shown = {"episode": range(len(queries)), "supports": supports} if episodes else {}
    return Predictions.from_records(KINDS, queries, xy, np.ones(xy.shape[:2]), **shown)


@pytest.fixture
def agnostic(result: Make) -> Make:
    common = {"task": "category_agnostic", "episodes_hash": "e" * 64, "queries": len(RECORDS)}
    return lambda key, **changes: result(key, **{**common, **changes})


Sections = Callable[..., list[GroundSection]]


def sections_of(
    runs: Mapping[str, tuple[Result, Predictions | list[Predictions]]], reference: str | None = None
) -> list[GroundSection]:
    results = [result for result, _ in runs.values()]
    tables = {result.key: of if isinstance(of, list) else [of] for result, of in runs.values()}
    album = (lambda path: PICTURE), RECORDS
    return ground_sections(
        results, tables.__getitem__, lambda data: album, ScoringConfig(resamples=200), SPECS, reference
    )


@pytest.fixture
def runs(agnostic: Make, result: Make) -> dict[str, tuple[Result, Predictions]]:
    """A good and a bad category-agnostic run, a category-specific one and the floor."""
    return {
        "good": (agnostic("good", model="capeformer"), table(0.02)),
        "bad": (agnostic("bad", model="proto_net"), table(2.0, seed=1)),
        "zero": (result("zero-shot", model="hrnet"), table(0.3, episodes=False, seed=2)),
        "floor": (agnostic("floor", model="mean_pose", floor=True, gflops=None), table(0.3, seed=3)),
    }


def test_words_say_which_differences_are_real(runs: dict):
    [section] = sections_of(runs)
    keys = [run.key for run in section.runs]
    assert keys[0] == "good" and keys[-1] == "bad" and section.runs[section.reference].key == "floor"
    beginnings = {" ".join(sentence.split()[:5]) for sentence in section.words()}
    assert {"good is above floor by", "good is above bad by", "bad is below floor by"} <= beginnings
    assert "zero-shot is not separated from" in beginnings
    assert len(section.words()) == 5


def test_the_reference_is_the_floor_or_the_best_or_whom_the_caller_names(runs: dict):
    def reference(**chosen: str | None) -> str:
        [section] = sections_of(runs, **chosen)
        return section.runs[section.reference].key

    assert reference() == "floor"
    assert reference(reference="zero-shot") == "zero-shot"
    del runs["floor"]
    assert reference() == "good"
    with pytest.raises(LookupError, match=r"but is 'floor'; there is bad, good, zero-shot"):
        reference(reference="floor")


def test_the_page_shows_the_ground_and_links_its_numbers_to_their_runs(runs: dict, tmp_path: Path):
    runs["evil"] = (runs["good"][0].model_copy(update={"key": EVIL}), table(0.4, seed=5))
    sections = sections_of(runs)
    page = write_report([result for result, _ in runs.values()], [], [], tmp_path, grounds=sections).read_text()
    assert '<section class="ground" id="common-ground-1"' in page and 'href="#common-ground-1"' in page
    assert EVIL not in page
    for sentence in sections[0].words():
        assert EVIL in sentence or sentence in page
    assert (tmp_path / "figures/common-ground-1-differences.svg").is_file()
    with (tmp_path / "common_ground.csv").open(newline="") as file:
        assert [line["run"] for line in csv.DictReader(file)] == [run.key for run in sections[0].runs]


def test_without_an_album_all_is_there_but_pictures(runs: dict):
    results, tables = [result for result, _ in runs.values()], {result.key: [of] for result, of in runs.values()}
    [section] = ground_sections(results, tables.__getitem__, None, ScoringConfig(resamples=200), SPECS)
    assert section.hardest == () and ground_lines([section]) == ground_lines(sections_of(runs))


def test_without_a_ground_the_page_has_none(result: Make, tmp_path: Path):
    page = write_report([result("a"), result("b")], [], [], tmp_path).read_text()
    assert "common ground" not in page and not (tmp_path / "common_ground.csv").exists()


def test_a_run_that_misses_queries_is_named_on_the_page(runs: dict, agnostic: Make, tmp_path: Path):
    runs["short"] = (agnostic("short", queries=40), table(0.1).take(np.arange(40)))
    [section] = sections_of(runs)
    assert "short" not in [run.key for run in section.runs]
    page = write_report([result for result, _ in runs.values()], [], [], tmp_path, grounds=[section]).read_text()
    assert "short is left out, since it must answer all 120 queries, but misses 80" in page


def test_lines_hold_every_metric_with_its_difference(runs: dict):
    sections = sections_of(runs)
    lines = {str(line["run"]): line for line in ground_lines(sections)}
    assert set(lines) == {"good", "bad", "zero-shot", "floor"}
    value = {key: {name: v for name, v in line.items() if isinstance(v, int | float)} for key, line in lines.items()}
    for of_run in value.values():
        assert of_run["PCK@0.2"] - value["floor"]["PCK@0.2"] == pytest.approx(of_run["PCK@0.2 difference"])
        assert of_run["AP low"] <= of_run["AP"] <= of_run["AP high"]
        assert of_run["wins"] + of_run["ties"] + of_run["losses"] == len(KINDS)
    assert value["floor"]["NME difference"] == 0 and value["good"]["ms_per_image"] == 3.2


def test_tables_hold_every_category_and_keypoint(runs: dict):
    [section] = sections_of(runs)
    assert list(section.categories()) == sorted(kind.name for kind in KINDS)
    skeletons = {s.categories: list(s.keypoints) for s in section.skeletons}
    assert sorted(skeletons.values()) == [["left_eye", "right_eye"], ["left_eye", "right_eye", "tail"]]
    of_best = [values[0] for s in section.skeletons for values in s.keypoints.values()]
    assert of_best == [1, 1, 1, 1, 1]


def test_the_figure_is_sound_and_names_every_run_but_the_reference(runs: dict):
    [section] = sections_of(runs)
    differences, ranks = section.figures
    texts = ["".join(ElementTree.fromstring(figure.svg).itertext()) for figure in (differences, ranks)]  # noqa: S314
    assert all((key in texts[0]) == (key != "floor") for key in ("good", "bad", "zero-shot", "floor"))
    # Four runs and ten categories: 2.569 times the root of 4 x 5 / 60.
    assert "CD 1.48" in texts[1] and all(key in texts[1] for key in ("good", "bad", "zero-shot", "floor"))
    stated = [float(rank) for rank in re.findall(r"(?<= )(\d\.\d\d)(?=;|\")", ranks.svg)]
    assert stated == sorted(stated) and sum(stated) == pytest.approx(1 + 2 + 3 + 4, abs=0.05)
    reach = [max(j for j, other in enumerate(stated) if other - rank <= 1.48) for rank in stated]
    longest = [end for start, end in enumerate(reach) if end > start and end not in reach[:start]]
    assert ranks.svg.count('class="joined"') == len(longest) > 0, "a bar for each largest group"


def test_hard_queries_show_supports_and_truth_and_every_answer(runs: dict):
    [section] = sections_of(runs)
    assert len(section.hardest) == HARDEST
    for query in section.hardest:
        assert query.truth.size() == (TILE // 2 + GAP + TILE, TILE)
        assert [run for run, _ in query.answers] == list(section.shown)
        assert all(picture.size() == (TILE, TILE) for _, picture in query.answers)


def test_pictures_and_tables_between_runs_stay_small(agnostic: Make):
    many = {f"run{i:02}": (agnostic(f"run{i:02}"), table(0.01 * i, seed=i)) for i in range(SHOWN + 4)}
    many["floor"] = (agnostic("floor", model="mean_pose", floor=True), table(1.0, seed=99))
    [section] = sections_of(many)
    assert section.shown == (*range(SHOWN), len(many) - 1) and section.reference == len(many) - 1
    assert len(section.runs) == len(many) and len(section.words()) == 2 * SHOWN - 1


def test_pictures_of_answers_show_the_prediction(runs: dict):
    [section] = sections_of(runs)
    [query, *_] = section.hardest
    shown = [cv2.imdecode(np.frombuffer(p.image_bytes, np.uint8), cv2.IMREAD_COLOR) for _, p in query.answers]
    assert all(picture is not None for picture in shown)
    assert (shown[0] != shown[-1]).any()


def written(runs: Mapping, folder: Path) -> str:
    return write_report([result for result, _ in runs.values()], [], [], folder, grounds=sections_of(runs)).read_text()


def headlines_on(page: str) -> list[tuple[str, str, str, str]]:
    """Run, family, number and interval of each row of the tables that the page starts with."""
    rows: list[tuple[str, str, str, str]] = []
    for part in re.findall(r'<table class="leaders headlines">.*?</table>', page, re.DOTALL):
        for row in re.findall(r"<tr data-model.*?</tr>", part, re.DOTALL):
            run = html.unescape(re.findall(r'data-value="([^"]*)"', row)[0])
            cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
            value, interval, family, _ = (html.unescape(cell).strip() for cell in cells)
            rows.append((run, family, value, interval))
    return rows


def headlines_in(text: str) -> list[tuple[str, str, str, str]]:
    form = re.compile(r"(\S+) +(specific|agnostic) +(\d\.\d{3}(?: ± \d\.\d{3})?) +(\[.*?\]|none) +\d+")
    lines = [form.fullmatch(line) for line in text.splitlines()]
    return [(run, f"category-{family}", *of) for run, family, *of in (line.groups() for line in lines if line)]


def test_the_page_starts_with_the_common_ground_and_a_sentence_and_protocols_follow(runs: dict, tmp_path: Path):
    page = written(runs, tmp_path)
    places = [
        page.index(part)
        for part in (
            'id="common-ground-1"',
            html.escape(sections_of(runs)[0].sure()),
            'class="leaders headlines"',
            "Which differences in",
            'id="protocol-1"',
            'id="protocol-2"',
        )
    ]
    assert places == sorted(places)
    links = re.findall(r'<a href="#(common-ground-\d|protocol-\d)">', page[: page.index("</nav>")])
    assert links == ["common-ground-1", "protocol-1", "protocol-2"]


def test_a_ground_of_both_families_comes_before_those_of_one(runs: dict, agnostic: Make):
    apart = {"data": "aardvarks", "data_hash": "0" * 32}
    both = sections_of({k: (r.model_copy(update={"key": k}), of) for k, (r, of) in runs.items()})
    alone = {f"a{k}": (agnostic(f"a{k}", **apart), table(0.1 * k)) for k in (1, 2)}
    first, second = sections_of({**alone, **runs})
    assert {run.task for run in first.runs} == {run.task for run in both[0].runs} and len(first.runs) == len(runs)
    assert {run.key for run in second.runs} == set(alone)


EMPTY = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(errors=st.lists(st.floats(0.02, 1.0), min_size=2, max_size=5), seeds=st.integers(1, 3))
@EMPTY
def test_page_terminal_and_file_hold_the_same_figures(
    agnostic: Make, result: Make, several: Make, tmp_path: Path, errors: list[float], seeds: int
):
    specific = several("specific", [0.5] * seeds) if seeds > 1 else result("specific")
    answers = [table(0.2, episodes=False, seed=90 + i) for i in range(seeds)]
    runs: dict[str, tuple[Result, Predictions | list[Predictions]]] = {"specific": (specific, answers)}
    runs |= {f"r{i}": (agnostic(f"r{i}"), table(error, seed=i)) for i, error in enumerate(errors)}
    shown = headlines_on(written(runs, tmp_path))
    headlines = read_headlines(tmp_path)
    assert len(shown) == len(runs) and headlines_in(headlines_text(headlines, 80)) == shown
    (of_ground,) = headlines.tables
    comparison = sections_of(runs)[0].comparison
    for place, (row, (run, _, number, _)) in enumerate(zip(of_ground.rows, shown, strict=True)):
        score = comparison.score(place)
        assert (row.run, row.value, row.low, row.high) == (run, score.value, score.low, score.high)
        assert number == mean(score.value, score.spread) and ("±" in number) == (row.seeds > 1)
        assert row.seeds == (seeds if run == "specific" else 1)


@given(errors=st.lists(st.floats(0.05, 0.5), min_size=2, max_size=5), floor=st.booleans())
@EMPTY
def test_the_sentence_calls_no_run_surely_better_whose_interval_of_differences_holds_0(
    agnostic: Make, errors: list[float], floor: bool
):
    runs = {f"r{i}": (agnostic(f"r{i}"), table(error, seed=i)) for i, error in enumerate(errors)}
    if floor:
        runs["r9"] = (agnostic("r9", model="mean_pose", floor=True), table(0.3, seed=9))
    [section] = sections_of(runs)
    keys = [run.key for run in section.runs]
    pairs = [(i, j) for i in range(len(keys)) for j in range(len(keys)) if i != j]
    for clause in section.sure().removesuffix(".").split("; "):
        better, found, rest = clause.partition("surely better than")
        if not found or "not " in better or better.startswith("no run"):
            continue
        worse = re.split(", but not|, and [^,]* surely worse", rest)[0]
        for i, j in ((i, j) for i, j in pairs if keys[i] in better and keys[j] in worse):
            low = section.comparison.difference(i, j).low
            assert low is not None and low > 0, section.sure()
    assert (section.sure() == NOTHING) == (not any(section.comparison.difference(i, j).sign for i, j in pairs))


def test_of_one_category_nothing_is_sure_and_there_is_no_interval(runs: dict, tmp_path: Path):
    rows = np.arange(PER_KIND)
    one = {key: (result, of.take(rows)) for key, (result, of) in runs.items()}
    page = written(one, tmp_path)
    assert NOTHING in page and {interval for *_, interval in headlines_on(page)} == {"none"}
    text = headlines_text(read_headlines(tmp_path), 80)
    assert NOTHING in text and "There is one category, and so no interval over categories and no test." in " ".join(
        text.split()
    )
    assert headlines_in(text) == headlines_on(page)


def test_runs_that_stand_on_no_ground_are_in_the_table_of_their_protocol(runs: dict, result: Make):
    elsewhere = [result("on-plants", data="plants"), result("detected", protocol={"boxes": "detected"})]
    results = [*(of for of, _ in runs.values()), *elsewhere]
    headlines = headlines_of(sections_of(runs), tables(results), {})
    first, *others = [{row.run for row in table.rows} for table in headlines.tables]
    assert first == {"good", "bad", "zero-shot", "floor"} and others == [{"detected"}, {"on-plants"}]

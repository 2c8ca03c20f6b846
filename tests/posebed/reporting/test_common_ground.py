"""The common ground in words, tables and pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from posebed.config import ScoringConfig
from posebed.records import Category, Record
from posebed.reporting.common_ground import HARDEST, SHOWN, GroundSection, ground_lines, ground_sections
from posebed.reporting.gallery import GAP, TILE
from posebed.reporting.site import write_report
from posebed.scoring.predictions import Predictions
from posebed.scoring.result import Result

Make = Callable[..., Result]

KINDS = [
    Category(key, f"{key} of the house", ("left_eye", "right_eye", "tail")[:size], limbs=((0, 1),))
    for key, size in (("cat", 3), ("dog", 3), ("bee", 2), ("fly", 2))
]
PICTURE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
PER_KIND = 12
EVIL = "<script>alert()</script>"


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


def sections_of(runs: Mapping[str, tuple[Result, Predictions]], reference: str | None = None) -> list[GroundSection]:
    results = [result for result, _ in runs.values()]
    tables = {result.key: [of] for result, of in runs.values()}
    album = (lambda path: PICTURE), RECORDS
    return ground_sections(results, tables.__getitem__, lambda data: album, ScoringConfig(resamples=200), reference)


@pytest.fixture
def runs(agnostic: Make, result: Make) -> dict[str, tuple[Result, Predictions]]:
    """A good and a bad category-agnostic run, a category-specific one and the floor."""
    return {
        "good": (agnostic("good", model="capeformer"), table(0.02)),
        "bad": (agnostic("bad", model="proto_net"), table(2.0, seed=1)),
        "zero": (result("zero-shot", model="hrnet"), table(0.3, episodes=False, seed=2)),
        "floor": (agnostic("floor", model="mean_pose", gflops=None), table(0.3, seed=3)),
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
    [section] = ground_sections(results, tables.__getitem__, None, ScoringConfig(resamples=200))
    assert section.hardest == () and ground_lines([section]) == ground_lines(sections_of(runs))


def test_without_a_ground_the_page_has_none(result: Make, tmp_path: Path):
    page = write_report([result("a"), result("b")], [], [], tmp_path).read_text()
    assert "common ground" not in page and not (tmp_path / "common_ground.csv").exists()


def test_a_run_that_misses_queries_is_named_on_the_page(runs: dict, agnostic: Make, tmp_path: Path):
    runs["short"] = (agnostic("short", queries=40), table(0.1).take(np.arange(40)))
    [section] = sections_of(runs)
    assert "short" not in [run.key for run in section.runs]
    page = write_report([result for result, _ in runs.values()], [], [], tmp_path, grounds=[section]).read_text()
    assert "short is left out, since it must answer all 48 queries, but misses 8" in page


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
    assert section.figure
    text = "".join(ElementTree.fromstring(section.figure.svg).itertext())  # noqa: S314  (our own)
    assert all((key in text) == (key != "floor") for key in ("good", "bad", "zero-shot", "floor"))


def test_hard_queries_show_supports_and_truth_and_every_answer(runs: dict):
    [section] = sections_of(runs)
    assert len(section.hardest) == HARDEST
    for query in section.hardest:
        assert query.truth.size() == (TILE // 2 + GAP + TILE, TILE)
        assert [run for run, _ in query.answers] == list(section.shown)
        assert all(picture.size() == (TILE, TILE) for _, picture in query.answers)


def test_pictures_and_tables_between_runs_stay_small(agnostic: Make):
    many = {f"run{i:02}": (agnostic(f"run{i:02}"), table(0.01 * i, seed=i)) for i in range(SHOWN + 4)}
    many["floor"] = (agnostic("floor", model="mean_pose"), table(1.0, seed=99))
    [section] = sections_of(many)
    assert section.shown == (*range(SHOWN), len(many) - 1) and section.reference == len(many) - 1
    assert len(section.runs) == len(many) and len(section.words()) == 2 * SHOWN - 1


def test_pictures_of_answers_show_the_prediction(runs: dict):
    [section] = sections_of(runs)
    [query, *_] = section.hardest
    shown = [cv2.imdecode(np.frombuffer(p.image_bytes, np.uint8), cv2.IMREAD_COLOR) for _, p in query.answers]
    assert all(picture is not None for picture in shown)
    assert (shown[0] != shown[-1]).any()

"""Learning curves on their way into ``params.yaml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.params import Params, read_params
from posestages.cli import app
from posestages.commands.curve import curve_entries, numbers
from posestages.commands.presets import add

CATALOG = installed()
PARAMS = """\
data: {mixed: {source: coco_folder, path: data/menagerie/mixed}}
splits:
  1shot: &split {data: mixed, by: category, val: 0.2, test: 0.3, episodes: {shots: 1, queries: 4}}
  three: {<<: *split, episodes: {shots: 3, queries: 4}}
  images: {data: mixed}
packs: {mixed: {data: mixed}}
models:
  proto_net: {config: {backbone: tf_efficientnet_lite0, weights: builtin}}
  mean_pose: {}
runs:
  proto-net-1shot: {model: proto_net, split: 1shot, pack: mixed, seeds: [0, 1], config: {stride: 16}}
  floor: {model: mean_pose, split: 1shot, pack: mixed}
  plain: {model: mean_pose, split: images, pack: mixed}
"""


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    return read_params(Path("params.yaml"))


def test_the_same_weights_are_asked_with_other_numbers_of_supports(params: Params):
    wanted = curve_entries(params, CATALOG, "proto-net-1shot", [1, 3, 10], [])
    add(wanted, Path("params.yaml"))
    after = read_params(Path("params.yaml"))
    assert {*after.runs} - {*params.runs} == {"proto-net-3shot", "proto-net-10shot"}
    assert {*after.splits} - {*params.splits} == {"10shot"}, "an equal split is there for three"
    ten, three = after.runs["proto-net-10shot"], after.runs["proto-net-3shot"]
    assert (ten.init_from, ten.train, ten.method) == ("proto-net-1shot", {"epochs": 0}, "proto-net-1shot")
    assert (ten.seeds, ten.config, three.split) == ((0, 1), {"stride": 16}, "three")
    episodes = after.splits["10shot"].episodes
    assert episodes and (episodes.shots, episodes.queries, after.splits["10shot"].test) == (10, 4, 0.3)


def test_added_twice_nothing_changes(params: Params):
    wanted = curve_entries(params, CATALOG, "proto-net-1shot", [5], [4])
    assert add(wanted, Path("params.yaml"))
    text = Path("params.yaml").read_text()
    again = curve_entries(read_params(Path("params.yaml")), CATALOG, "proto-net-1shot", [5], [4])
    assert add(again, Path("params.yaml")) == [] and Path("params.yaml").read_text() == text


def test_a_floor_has_no_weights_to_start_from(params: Params):
    wanted = curve_entries(params, CATALOG, "floor", [5], [])
    assert wanted["runs"] == {
        "floor-5shot": {"model": "mean_pose", "split": "5shot", "pack": "mixed", "method": "floor"}
    }


def test_training_sizes_are_trained_anew_on_few_pictures(params: Params):
    wanted = curve_entries(params, CATALOG, "plain", [], [5, 20])
    assert [split["few_shot"] for split in wanted["splits"].values()] == [5, 20]
    run = wanted["runs"]["plain-5images"]
    assert run == {"model": "mean_pose", "split": "images-5images", "pack": "mixed", "method": "plain"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["proto-net-1shot", "--shots", "0,1"], "--shots must be 1 or more for proto-net-1shot, since proto_net finds"),
        (["plain", "--shots", "1"], "--shots must be asked of a category-agnostic run, but plain is shown no supports"),
        (
            ["floor", "--shots", "one"],
            "--shots must be whole numbers with commas between them, such as 1,3,5; each must be",
        ),
        (["floor", "--train-images", "0,5"], "--train-images must be 1 or more, but is 0"),
        (["floor"], "a curve must be given --shots or --train-images, but got neither"),
        (["nothing", "--shots", "1"], "runs must have an entry 'nothing', but has"),
    ],
)
def test_what_has_no_meaning_is_refused(params: Params, words: list[str], sentence: str):
    with pytest.raises((ValueError, LookupError), match=sentence):
        app(["curve", *words], standalone_mode=False)
    assert Path("params.yaml").read_text() == PARAMS


def test_a_model_that_is_shown_no_supports_has_the_point_of_zero_shots(params: Params, monkeypatch: pytest.MonkeyPatch):
    spec = CATALOG.model("proto_net")
    monkeypatch.setitem(vars(spec), "protocol", lambda config: {"shots": "0", "told": "keypoint names"})
    with pytest.raises(ValueError, match="must have another number than that of proto-net-1shot itself"):
        curve_entries(params, CATALOG, "proto-net-1shot", [0], [])
    with pytest.raises(ValueError, match="--shots must be 0 for proto-net-1shot, since proto_net is shown no"):
        curve_entries(params, CATALOG, "proto-net-1shot", [0, 5], [])


def test_numbers_are_sorted_and_each_counts_once():
    assert numbers("5, 1,5", "--shots") == [1, 5]

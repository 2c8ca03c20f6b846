"""Presets on their way into ``params.yaml``, and their dry run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from posebed.params import Params, read_params
from posestages.benchmark import read_project
from posestages.cli import app
from posestages.commands.dry_run import alike, rehearse
from posestages.commands.presets import add, all_presets, as_yaml, combined, entries, inserted
from posestages.prepare import main as prepare

TUNED = "prompt-pose-vit-b-coco-ap10k-20shot"


def presets(*words: str) -> None:
    app(["presets", *words], standalone_mode=False)


def test_the_list_names_every_preset(capsys: pytest.CaptureFixture[str]):
    presets()
    printed = capsys.readouterr().out
    assert all(name in printed for name in all_presets())
    assert "PCK@0.2 83.53" in printed and "none known" in printed


def test_all_presets_stand_in_one_file_of_parameters():
    text = as_yaml(combined(list(all_presets())))
    params = Params.model_validate(yaml.safe_load(text))
    assert set(params.runs) == set(all_presets())
    for name, run in params.runs.items():
        preset = all_presets()[name]
        assert run.preset == name and run.boxes == preset.boxes
        assert params.packs[run.pack].crop_size == tuple(preset.pack["crop_size"])
        split = params.splits[run.split]
        assert split.few_shot == preset.split.get("few_shot")
        assert (split.episodes and split.episodes.shots) == preset.split.get("episodes", {}).get("shots")


def test_a_fine_tuned_preset_brings_the_run_that_it_starts_from():
    found = entries(TUNED)
    assert list(found["runs"]) == ["prompt-pose-vit-b-coco", TUNED]
    assert found["runs"][TUNED]["init_from"] == "prompt-pose-vit-b-coco"


def test_seeds_are_members_of_one_run_unless_few_records_are_drawn_with_each():
    params = Params.model_validate(combined([TUNED], [0, 2]))
    start, first, other = params.runs
    assert (start, first, other) == ("prompt-pose-vit-b-coco", TUNED, f"{TUNED}-seed2")
    assert [run.seeds for run in params.runs.values()] == [(0, 2), (0,), (2,)]
    assert {params.runs[first].init_from, params.runs[other].init_from} == {start}
    assert [params.splits[params.runs[key].split].seed for key in (first, other)] == [0, 2]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_every_seed_is_that_of_one_member_and_of_its_draw(seeds: list[int]):
    for name in (TUNED, "hrnet-w32-ap10k", "prompt-pose-vit-b-coco"):
        params = Params.model_validate(entries(name, seeds))
        runs = [run for run in params.runs.values() if run.preset == name]
        assert [seed for run in runs for seed in run.seeds] == [*dict.fromkeys(seeds)]
        for run in runs:
            split = params.splits[run.split]
            assert run.seeds == (split.seed,) if split.few_shot else split.seed == 0
    with pytest.raises(ValueError, match="one seed or more"):
        entries(TUNED, [])


def test_adding_keeps_every_line_that_was_there(project: Path):
    path = project / "params.yaml"
    before = "# mine\n" + path.read_text().replace("runs:\n", "# runs of mine\nruns:  # here\n")
    path.write_text(before)
    new = add(combined([TUNED]), path)
    after = path.read_text().splitlines()
    assert [line for line in before.splitlines() if line not in after] == []
    assert len(after) == len(before.splitlines()) + len(new)
    params = read_params(path)
    assert "baseline" in params.runs and TUNED in params.runs
    assert add(combined([TUNED]), path) == []
    assert path.read_text().splitlines() == after


def test_an_entry_that_says_something_else_is_not_overwritten(project: Path):
    path = project / "params.yaml"
    add(combined([TUNED]), path)
    moved = path.read_text().replace("datasets/ap10k", "elsewhere/ap10k")
    path.write_text(moved)
    assert add(combined([TUNED]), path) == [], "data may lie elsewhere"
    other = moved.replace("few_shot: 20}", "few_shot: 10}")
    path.write_text(other)
    with pytest.raises(ValueError, match=r"splits\.ap10k-split1-20shot must be .*few_shot: 20"):
        add(combined([TUNED]), path)
    assert path.read_text() == other


@pytest.mark.parametrize("text", ["{}", "{runs: {}}", "{scoring: {resamples: 10}, runs: {}}"])
def test_a_file_in_braces_is_not_added_to(tmp_path: Path, text: str):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ValueError, match="must have its sections on lines of their own"):
        add(entries("simple-baseline-r50-coco"), tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "runs:\n",
        "runs: {}\n",
        "runs: {}  # none yet\nscoring: {}\n",
        "runs: {a: {b: 1}}\nscoring: {}\n",
        "runs:\n  a: {b: 1}",
        "runs:\n    a:\n        b: 1\n        # of a\n\n# of scoring\nscoring: {}\n",
        "scoring: {}\n# the end\n",
    ],
)
def test_an_entry_finds_its_section_in_any_form_of_yaml(text: str):
    before = yaml.safe_load(text) or {}
    after = yaml.safe_load(inserted(text, "runs", "new", {"x": [1, 2], "y": "z"}))
    assert after.pop("runs") == {**(before.pop("runs", None) or {}), "new": {"x": [1, 2], "y": "z"}}
    assert after == before
    assert [
        line
        for line in text.splitlines()
        if line.strip().startswith("#") and line not in inserted(text, "runs", "n", {})
    ] == []


AWKWARD = """\
data:
    zoo:   {source: coco_folder,path: zoo}   # mine
packs: # of mine
  small: {data: zoo,  # a word within
          crop_size: [ 64, 64 ]}
  'odd': &odd
      data: "zoo"\x20\x20
      crop_size: [64, 64,]


# The runs.
runs:
      a: {commit: 9e45538, lr: 1.0e-3, n: ~}
      # of b
      b: >
        folded
        text

# the end
"""
CHECKOUT = Path(__file__).parents[3]
WRITTEN = {path.name: path.read_text() for path in (CHECKOUT / "params.yaml", *CHECKOUT.glob("examples/*.yaml"))}


@pytest.mark.parametrize("text", [AWKWARD, *WRITTEN.values()], ids=["awkward", *WRITTEN])
def test_an_entry_in_a_section_of_lines_is_one_line_more_and_no_other_one_changes(text: str):
    for section in re.findall(r"^(\w+): *(?:#.*)?$", text, re.MULTILINE):
        lines = inserted(text, section, "brand-new", {"x": 1}).split("\n")
        (place,) = (number for number, line in enumerate(lines) if "brand-new" in line)
        assert [*lines[:place], *lines[place + 1 :]] == text.split("\n")


@given(st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("xyz"), st.integers()), max_size=3))
def test_entries_added_one_by_one_make_the_whole(sections: dict[str, dict[str, int]]):
    text = ""
    for section, of_section in sections.items():
        for key, value in of_section.items():
            text = inserted(text, section, key, {"v": value})
    wanted = {s: {k: {"v": v} for k, v in of.items()} for s, of in sections.items() if of}
    assert (yaml.safe_load(text) or {}) == wanted


def test_data_that_is_not_there_is_reported_with_its_source(project: Path, capsys: pytest.CaptureFixture[str]):
    presets("hrnet-w32-ap10k", "--add")
    printed = " ".join(capsys.readouterr().out.split())
    assert "AP-10K must lie in datasets/ap10k" in printed and "github.com/AlexTheBad/AP-10K" in printed
    with pytest.raises(ValueError, match=r"AP-10K must lie in datasets/ap10k .* get it from"):
        prepare(["ap10k-split1"])


def test_a_run_is_trained_after_those_that_it_starts_from(project: Path):
    add(combined([TUNED]), project / "params.yaml")
    graph = read_project().graph
    for before, after in (
        ("train prompt-pose-vit-b-coco seed 0", f"train {TUNED} seed 0"),
        (f"train {TUNED} seed 0", f"predict {TUNED} seed 0"),
        (f"predict {TUNED} seed 0", f"score {TUNED}"),
    ):
        assert before in graph.tasks[after].needs


def test_an_unknown_preset_is_reported_with_close_names():
    with pytest.raises(LookupError, match=r"close ones: .*kitpose-e2c4-w32-ap10k"):
        presets("kitpose-e2c4-w33-ap10k")


def test_listing_presets_imports_no_torch():
    listed = "from posestages.cli import app; app(['presets'], standalone_mode=False)"
    code = f"import sys; {listed}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_presets_that_differ_in_the_part_of_the_data_alone_share_a_dry_run():
    groups = [group for group in alike(list(all_presets())) if group[0].startswith("fmmp-")]
    assert [len(group) for group in groups] == [5, 5, *[1] * 7], "five splits each, and the seven ablations"


def test_a_super_category_that_is_held_out_is_a_split_of_its_own():
    actual = Params.model_validate(entries("cape-former-r50-mp100-human-face-1shot"))
    split = actual.splits["mp100-split1-human-face-1shot"]
    assert (split.by, split.test, split.val) == ("category", ("human face",), 0.1)


@pytest.mark.parametrize(
    "name",
    ["fmmp-r50-mp100-split2-1shot", "sdpnet-r50-mp100-split1-5shot", "cape-former-r50-mp100-vehicle-1shot"],
)
def test_a_dry_run_shows_episodes_where_a_preset_has_them(name: str, tmp_path: Path):
    done = rehearse(name, tmp_path)
    assert done.parameters > 30e6 and done.size == (64, 64)
    assert done.losses and all(value > 0 for value in done.losses.values())


@pytest.mark.parametrize(
    "name",
    ["hrnet-w32-animal-kingdom", "kitpose-e2c5-w32-animal-pose", "simple-baseline-r50-coco-ap10k-20shot"],
)
def test_a_dry_run_makes_a_step_and_an_answer(name: str, tmp_path: Path):
    done = rehearse(name, tmp_path)
    assert done.parameters > 20e6
    assert done.losses and all(value > 0 for value in done.losses.values())

"""Parameters of the form before runs had seeds, rewritten: nothing that they say is lost, nor a comment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.jobs.graph import start_seed
from posebed.params import Params, read_params
from posebed.yamlfile import parse_yaml, yaml_text
from posestages.commands.migrate import migrate, migrated

DATA = """\
# The data.
data: {zoo: {source: coco_folder, path: zoo}}
splits: {zoo: {data: zoo}, five: {data: zoo, val: [ a , 'b' ]}}  # as they were
packs:
    small: {data: zoo,
            crop_size: [64, 64]}
models: {hrnet: {}, kitpose: {config: &config {parts: 3}}}
"""


def former_members(content: Mapping[str, Any]) -> Counter[str]:
    """What decides the numbers of every run, one by one."""
    runs = {key: run for name in ("runs", "finetunes", "tuned") for key, run in (content.get(name) or {}).items()}

    def settings(key: str) -> dict[str, Any]:
        own: dict[str, Any] = {"seed": 0, **runs[key]}
        own |= {"init_from": settings(own["init_from"])} if "init_from" in own else {}
        return own | ({"params_from": own["params_from"].removeprefix("search@")} if "params_from" in own else {})

    return Counter(json.dumps(settings(key), sort_keys=True) for key in runs)


def present_members(content: Mapping[str, Any]) -> Counter[str]:
    params = Params.model_validate(content)

    def settings(key: str, seed: int) -> dict[str, Any]:
        own = {name: value for name, value in content["runs"][key].items() if name != "seeds"} | {"seed": seed}
        if start := own.get("init_from"):
            own["init_from"] = settings(str(start), start_seed(params.runs[str(start)], seed))
        return own

    return Counter(
        json.dumps(settings(key, seed), sort_keys=True) for key, run in params.runs.items() for seed in run.seeds
    )


def members_stay(before: str) -> str:
    """The text after, of which the members are those of before."""
    after, lines = migrated(before)
    was, now = parse_yaml(before, "before"), parse_yaml(after, "after") or {}
    assert present_members(now) == former_members(was)
    rest = [name for name in was if name not in ("runs", "finetunes", "tuned", "searches")]
    assert all(now[name] == was[name] for name in rest)
    assert len(lines) >= sum(former_members(was).values())
    assert migrated(after) == (after, [])
    return after


def entry(draw: st.DrawFn, number: int, keys: list[str], section: str) -> dict[str, Any]:
    run: dict[str, Any] = {
        "model": draw(st.sampled_from(["hrnet", "kitpose"])),
        "split": draw(st.sampled_from(["zoo", "zoo", "five"])),
        "pack": "small",
    }
    run |= {"init_from": draw(st.sampled_from(keys))} if section == "finetunes" else {}
    run |= {"params_from": "search@found", "model": "kitpose"} if section == "tuned" else {}
    run |= draw(st.sampled_from([{}, {"seed": 0}, {"seed": 1}, {"seed": 2}, {"seed": number}]))
    return run | draw(st.sampled_from([{}, {}, {"config": {"parts": 3}}, {"train": {"lr": 1e-3, "epochs": 2}}]))


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Texts of the former form in blocks or in lines, with comments and anchors; and the comments."""
    comments: list[str] = []

    def comment(before: str = "", after: str = "") -> str:
        if draw(st.booleans()):
            return ""
        comments.append(f"# remark {len(comments)}.")
        return f"{before}{comments[-1]}{after}"

    names = [f"{stem}{end}" for stem in "abc" for end in ("", "-0", "-1", "-2", "-seed1", "-seed2", "-s1")]
    keys = draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=9))
    there: list[str] = []
    runs: dict[str, dict[str, dict[str, Any]]] = {"runs": {}, "finetunes": {}, "tuned": {}}
    for number, key in enumerate(keys):
        section = draw(st.sampled_from([*runs])) if number else "runs"
        runs[section][key] = entry(draw, number, there, section)
        there.append(key)
    sections: dict[str, str] = {}
    for name, of in runs.items():
        step = draw(st.sampled_from([2, 4]))
        lines = comment("", "\n")
        if not of or draw(st.integers(0, 5)) == 0:
            lines += f"{name}: {yaml_text(of, flow=True)}" + comment("  ") + "\n"
        else:
            lines += f"{name}:" + comment(" ") + "\n"
        for key, run in of.items() if "{" not in lines else ():
            lines += comment(" " * step, "\n") + f"{' ' * step}{key}:"
            if draw(st.booleans()):
                lines += f" {yaml_text(run, flow=True)}" + comment("  ") + "\n"
                continue
            lines += comment("  ") + "\n"
            for field, value in run.items():
                lines += f"{' ' * 2 * step}{yaml_text({field: value}, flow=True)[1:-1]}"
                lines += comment("  ") + "\n" + comment(" " * 2 * step, "\n")
        sections[name] = lines + draw(st.sampled_from(["", "\n"]))
    search = "searches:\n  found:\n    model: kitpose\n    split: zoo\n    cpus_per_trial: 2" + comment("  ") + "\n"
    search += "    pack: small\n    budget: {trials: 3}\n" + draw(st.sampled_from(["", "    gpus_per_trial: 0.5\n"]))
    sections["searches"] = search
    order = draw(st.permutations(list(sections)))
    text = comment("", "\n\n") + DATA + "".join(sections[name] for name in order) + comment("", "\n")
    return anchored(text, draw(st.booleans())), comments


def anchored(text: str, apart: bool) -> str:
    """With equal training settings written once, and aliases for the others."""
    if not apart:
        text = text.replace("config: {parts: 3}", "config: *config")
    first, settings, rest = text.partition("train: {lr: 0.001, epochs: 2}")
    return (
        f"{first}train: &own{settings[6:]}{rest.replace(settings, 'train: *own')}" if settings and not apart else text
    )


@given(files())
def test_every_run_is_a_member_with_its_settings_and_every_comment_stays(file: tuple[str, list[str]]):
    before, comments = file
    after = members_stay(before)
    assert DATA in after
    assert [words for words in comments if words not in after] == []
    (found,) = parse_yaml(after, "after")["searches"].values()
    resources = found.pop("resources")
    assert (resources["cpus"], found["budget"]) == (2, {"trials": 3})
    assert resources.get("gpus", 0.5) == 0.5 and not [name for name in found if "per_trial" in name]


RUN = "model: hrnet, split: zoo, pack: small"


@pytest.mark.parametrize(
    ("runs", "after"),
    [
        (
            f"  a-0: {{{RUN}, seed: 0}}\n  a-1: {{{RUN}, seed: 1}}",
            {"a": {"seeds": [0, 1]}},
        ),
        (f"  a: {{{RUN}}}\n  a-seed1: {{{RUN}, seed: 1}}", {"a": {"seeds": [0, 1]}}),
        (f"  a-s5: {{{RUN}, seed: 5}}\n  a-s4: {{{RUN}, seed: 4}}", {"a": {"seeds": [5, 4]}}),
        (f"  a-50: {{{RUN}}}\n  a-50-1: {{{RUN}, seed: 1}}", {"a-50": {"seeds": [0, 1]}}),
        (f"  one: {{{RUN}}}\n  two: {{{RUN}, seed: 1}}", {"one": {"seeds": [0, 1]}}),
        (
            f"  a: {{{RUN}, boxes: detected}}\n  a-0: {{{RUN}}}\n  a-1: {{{RUN}, seed: 1}}",
            {"a": {"boxes": "detected"}, "a-0": {"seeds": [0, 1]}},
        ),
        (f"  a: {{{RUN}}}\n  b: {{{RUN}}}\n  c: {{{RUN}, seed: 1}}", {"a": {"seeds": [0, 1]}, "b": {}}),
        (
            f"  a: {{{RUN}, train: {{lr: 1}}}}\n  b: {{{RUN}, train: {{lr: 1.0}}, seed: 1}}",
            {"a": {"train": {"lr": 1}}, "b": {"train": {"lr": 1.0}, "seeds": [1]}},
        ),
    ],
)
def test_runs_that_differ_in_their_seed_alone_are_one_named_by_what_they_share(runs: str, after: dict[str, Any]):
    text = members_stay(f"{DATA}runs:\n{runs}\ntuned: {{}}\n")
    plain = {"model": "hrnet", "split": "zoo", "pack": "small"}
    assert parse_yaml(text, "after")["runs"] == {key: {**plain, **own} for key, own in after.items()}


MIXED = """
# The category-agnostic methods on built-in pictures.
data: {mixed: {source: coco_folder, path: data/menagerie/mixed}}
splits:
  1shot: &split
    data: mixed
    by: category
    episodes: {shots: 1, queries: 10, episodes: 15, val_episodes: 8}
  5shot: {<<: *split, episodes: {shots: 5, queries: 10, episodes: 15, val_episodes: 8}}
packs:
  mixed: {data: mixed, crop_size: [128, 128]}

models:
  mean_pose: {}
  # As the model has it by default.
  proto_net: {train: {epochs: 8}}

runs:
  floor-1shot: {model: mean_pose, split: 1shot, pack: mixed}
  fine-1shot-0: {model: proto_net, split: 1shot, pack: mixed, config: &fine {stride: 16, distance: cosine}}
  fine-1shot-1: {model: proto_net, split: 1shot, pack: mixed, config: *fine, seed: 1}

# The same weights with more supports.
finetunes:
  fine-5shot-0: {init_from: fine-1shot-0, model: proto_net, split: 5shot, pack: mixed, train: {epochs: 0}}
  fine-5shot-1: {init_from: fine-1shot-1, model: proto_net, split: 5shot, pack: mixed, seed: 1, train: {epochs: 0}}

# Small searches.
searches:
  proto:
    model: proto_net
    split: 1shot
    pack: mixed
    budget: {trials: 6}
    gpus_per_trial: 0.5  # two share one

# Runs with the best parameters that a search found.
tuned:
  proto: {params_from: search@proto, model: proto_net, split: 1shot, pack: mixed}

scoring: {resamples: 1000, seed: 0}
"""
MIXED_RUNS = """
runs:
  floor-1shot: {model: mean_pose, split: 1shot, pack: mixed}
  fine-1shot: {model: proto_net, split: 1shot, pack: mixed, seeds: [0, 1], config: &fine {stride: 16, distance: cosine}}

  # The same weights with more supports.
  fine-5shot: {init_from: fine-1shot, model: proto_net, split: 5shot, pack: mixed, seeds: [0, 1], train: {epochs: 0}}

  # Runs with the best parameters that a search found.
  proto: {params_from: proto, model: proto_net, split: 1shot, pack: mixed}

# Small searches.
searches:
  proto:
    model: proto_net
    split: 1shot
    pack: mixed
    budget: {trials: 6}
    resources: {gpus: 0.5}  # two share one

scoring: {resamples: 1000, seed: 0}
"""


def test_a_file_keeps_its_look():
    assert members_stay(MIXED) == MIXED.split("\nruns:")[0] + MIXED_RUNS


def test_empty_sections_leave_and_their_comments_stay():
    sections = "finetunes: {}  # none yet\nsearches: {}\n\n# Best ones.\ntuned: {}\n\nscoring: {}\n"
    after = members_stay(f"{DATA}\nruns:\n  a: {{{RUN}, seed: 0}}  # mine\n\n{sections}")
    head = f"{DATA}\nruns:\n  a: {{{RUN}, seeds: [0]}}  # mine\n"
    assert after == head + "  # none yet\n  # Best ones.\n\nsearches: {}\n\nscoring: {}\n"


def test_runs_follow_what_they_start_from():
    runs = f"runs:\n  a-0: {{{RUN}}}\n  a-1: {{{RUN}, seed: 1}}\n"
    started = "".join(f"  b-{n}: {{init_from: a-{n}, {RUN}, seed: {n}, train: {{epochs: 1}}}}\n" for n in range(2))
    found = parse_yaml(members_stay(f"{DATA}{runs}finetunes:\n{started}"), "after")["runs"]
    assert {key: (run["seeds"], run.get("init_from")) for key, run in found.items()} == {
        "a": ([0, 1], None),
        "b": ([0, 1], "a"),
    }


def test_a_start_of_another_seed_keeps_runs_apart():
    runs = f"runs:\n  a-0: {{{RUN}}}\n  a-1: {{{RUN}, seed: 1}}\n"
    text = members_stay(f"{DATA}{runs}finetunes:\n  b: {{init_from: a-1, {RUN}, train: {{epochs: 1}}}}\n")
    found = parse_yaml(text, "after")["runs"]
    assert list(found) == ["a-0", "a-1", "b"] and found["b"]["init_from"] == "a-1"


def test_runs_that_inherit_from_one_another_are_written_from_their_values():
    text = f"{DATA}runs:\n  a-0: &a  # first\n    {RUN.replace(', ', chr(10) + '    ')}\n    seed: 3\n"
    text += "  # second\n  a-1: {<<: *a, seed: 4}\n  other: {<<: *a, split: five}\n  same: *a\n"
    after = members_stay(text)
    assert parse_yaml(after, "after")["runs"]["other"]["seeds"] == [3]
    assert "# first" in after and "# second" in after


def test_anchors_keep_what_they_stand_for_wherever_entries_go():
    text = (
        f"finetunes:\n  b: {{init_from: a, {RUN}, config: &wide {{width: 4}}}}\n{DATA}"
        f"runs:\n  a: {{{RUN}, seed: 2, config: *wide}}\n"
        "searches:\n  s: {model: hrnet, split: zoo, pack: small, budget: {trials: 1}, train: &short {epochs: 1}}\n"
        f"tuned:\n  c: {{params_from: search@s, {RUN}, train: *short}}\n"
    )
    assert "train: &short" in members_stay(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        f"{DATA}runs:\n  a: {{{RUN}, seeds: [1, 2]}}  # mine\n",
        f"{DATA}runs:\r\n  a: {{{RUN}}}\r\n",
        "{runs: {}}",
    ],
)
def test_a_text_in_the_present_form_stays_as_it_is(text: str):
    assert migrated(text) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        f"{{data: {{zoo: {{source: coco_folder, path: zoo}}}}, splits: {{zoo: {{data: zoo}}}}, packs: {{small: "
        f"{{data: zoo, crop_size: [64, 64]}}}}, models: {{hrnet: {{}}}}, runs: {{a: {{{RUN}, seed: 1}}}}}}",
        f"---\n{DATA}\nruns: {{a: {{{RUN}, seed: 1}}}}\n...\n",
        f"{DATA}runs:\n  ? a\n  : {{{RUN}, seed: 1}}\n",
        f"\ufeff{DATA}runs:\n  a: {{{RUN}, seed: 1}}",
        f"{DATA}tuned: {{}}",
        f"tuned: {{}}\n{DATA}",
        f"{DATA}runs:\n  'null':\n      <<: {{{RUN}}}\n      seed: 7\n",
        f"{DATA}runs:\r\n  a: {{{RUN}, seed: 1}} # one\r\n".replace("\n", "\r\n").replace("\r\r", "\r"),
    ],
)
def test_any_form_of_yaml_is_rewritten(text: str):
    after = members_stay(text)
    assert ("\r\n" in after) == ("\r\n" in text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finetunes: [1]", "finetunes must be entries with settings each"),
        ("tuned: {a: {}}\nruns: {a: {}}", "must share no key, but there is runs.a, tuned.a"),
        ("runs: {a: {seed: 1, seeds: [2]}}", "runs.a.seed must be a whole number in the place of seeds"),
        ("runs: {a: {seed: x}}", "runs.a.seed must be a whole number .* but is 'x'"),
        ("searches: {a: {cpus_per_trial: 1, resources: {}}}", "searches.a must state resources or"),
        ("runs: [", "the file must be YAML"),
        (f"{DATA}runs: {{a: {{seed: 1, model: lost}}}}", "runs.a.split"),
        (f"{DATA}finetunes: {{a: {{init_from: lost, {RUN}}}}}", "runs.a.init_from must name an entry"),
        (f"{DATA}finetunes: {{a: {{init_from: b, {RUN}}}, b: {{init_from: a, {RUN}}}}}", "leads back to itself"),
    ],
)
def test_what_is_unsound_is_refused_and_left(text: str, message: str, tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        migrate(path)
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"] and path.read_text() == text


def test_a_file_is_rewritten_once_and_its_former_text_kept(tmp_path: Path):
    path, kept = tmp_path / "params.yaml", tmp_path / "params.yaml.former"
    text = f"{DATA}runs:\n  a: {{{RUN}}}\n  a-1: {{{RUN}, seed: 1}}\n  z: {{{RUN}, boxes: detected}}\n"
    path.write_text(text)
    assert migrate(path) == ["runs.a: seed 0 of runs.a", "runs.a-1: seed 1 of runs.a", "runs.z: as it was"]
    assert read_params(path).runs["a"].seeds == (0, 1) and kept.read_text() == text
    after = path.read_bytes()
    assert migrate(path) == [f"{path} is in the present form; it stays as it is."]
    assert path.read_bytes() == after
    path.write_text(text + "# more\n")
    with pytest.raises(ValueError, match=r"params\.yaml\.former must not be there"):
        migrate(path)
    assert path.read_text() == text + "# more\n" and kept.read_text() == text
    with pytest.raises(ValueError, match="must be a file of parameters"):
        migrate(tmp_path / "none.yaml")

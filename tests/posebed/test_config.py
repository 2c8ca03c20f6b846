"""Parameters: read once, refused whole, with every mistake told."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from dvc.utils import dict_filter
from dvc_data.hashfile.meta import Meta
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from posebed import config
from posebed.catalog import installed
from posebed.config import Section, TrainConfig, merged
from posebed.params import Params, read_params

GOOD = """
data: {zoo: {source: coco_folder, path: zoo}}
splits: {zoo: {data: zoo}}
packs: {small: {data: zoo, crop_size: [64, 48]}}
models: {mean_pose: {}}
runs:
  floor: {model: mean_pose, split: zoo, pack: small}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_what_is_not_set_takes_its_default(tmp_path: Path):
    params = read_params(written(tmp_path, GOOD))
    assert params.packs["small"].crop_size == (64, 48)
    assert params.packs["small"].padding == 1.25
    assert params.data["zoo"].invalid == "refuse"


def test_all_mistakes_are_reported_at_once(tmp_path: Path):
    text = GOOD.replace("crop_size: [64, 48]", "crop_size: [64, 0], colour: red").replace("source: coco_folder, ", "")
    with pytest.raises(ValueError, match=r"packs\.small\.crop_size") as error:
        read_params(written(tmp_path, text))
    message = str(error.value)
    assert "packs.small.colour" in message
    assert "data.zoo.source" in message


SECTIONS = [kind for kind in vars(config).values() if isinstance(kind, type) and issubclass(kind, Section)]
ALL_SECTIONS = [*SECTIONS, *(installed().model(name).config for name in installed().models)]


@pytest.mark.parametrize("section", ALL_SECTIONS)
def test_true_counts_as_no_number(section: type[Section]):
    """Python takes true for 1."""
    for name, field in section.model_fields.items():
        if not re.search("bool|Any", str(field.annotation)):
            for value in (True, [False], [[64, True]]):
                with pytest.raises(ValidationError) as error:
                    section.model_validate({name: value})
                assert name in {mistake["loc"][0] for mistake in error.value.errors()}, name


@pytest.mark.parametrize("section", ALL_SECTIONS)
def test_what_is_of_another_kind_is_refused_and_breaks_nothing(section: type[Section]):
    for value in (True, 3, 2.5, None, "x", b"x", [], [1, "a"], {1: 2}, {"a": {}}):
        for content in (value, *({name: value} for name in section.model_fields)):
            with suppress(ValidationError):
                section.model_validate(content)


def test_true_as_a_number_is_told_by_its_place(tmp_path: Path):
    text = GOOD.replace("crop_size: [64, 48]", "crop_size: [64, 48], padding: true")
    with pytest.raises(ValueError, match=r"packs\.small\.padding: Input should be a number, but is True"):
        read_params(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split: zoo", "split: lost", "runs.floor.split must name an entry, but is 'lost'; there is zoo"),
        ("model: mean_pose,", "model: lost,", "runs.floor.model must name an entry"),
        ("packs: {small: {data: zoo", "packs: {small: {data: lost", "packs.small.data must name an entry"),
        ("floor:", "'two words':", "runs.two words"),
        ("runs:", "submissions: {floor: {file: a.json, split: zoo, pack: small}}\nruns:", "must have a key of its own"),
        ("runs:", "submissions: {a: {file: /a.json, split: zoo, pack: small}}\nruns:", "file must lie within the"),
        ("runs:", "submissions: {a: {file: a.csv, split: zoo, pack: small}}\nruns:", "end with .parquet or .json"),
        ("runs:", "submissions: {a: {file: a.json, split: b, pack: small}}\nruns:", "a.split must name an entry"),
        ("runs:", "submissions: {a: {file: a.json, split: zoo, pack: small, shots: 1}}\nruns:", "shots must be left"),
    ],
)
def test_names_that_refer_to_nothing_are_refused(tmp_path: Path, old: str, new: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_params(written(tmp_path, GOOD.replace(old, new)))


def test_split_and_pack_of_different_data_are_refused():
    two = {"a": {"source": "coco_folder", "path": "a"}, "b": {"source": "coco_folder", "path": "b"}}
    with pytest.raises(ValidationError, match="must take split and pack of the same data"):
        Params.model_validate(
            {
                "data": two,
                "splits": {"s": {"data": "a"}},
                "packs": {"p": {"data": "b"}},
                "models": {"m": {}},
                "runs": {"r": {"model": "m", "split": "s", "pack": "p"}},
            }
        )


SEARCH = """
searches: {best: {model: mean_pose, split: zoo, pack: small, budget: {trials: 1}}}
"""
STARTED = """  second: {init_from: first, model: mean_pose, split: zoo, pack: small}
  first: {init_from: floor, model: mean_pose, split: zoo, pack: small}
"""


def test_runs_start_from_one_another_in_any_order(tmp_path: Path):
    params = read_params(written(tmp_path, GOOD + STARTED))
    assert list(params.runs) == ["floor", "second", "first"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("init_from: floor", "init_from: lost", "runs.first.init_from must name an entry, but is 'lost'"),
        ("init_from: floor", "init_from: second", "runs.second.init_from must lead to another run, but leads back"),
        ("init_from: floor", "init_from: first", "runs.first.init_from must lead to another run, but leads back"),
        ("first, model: mean_pose", "first, model: lost", r"runs\.second\.model must name an entry"),
    ],
)
def test_starts_that_lead_nowhere_are_refused(tmp_path: Path, old: str, new: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_params(written(tmp_path, GOOD + STARTED.replace(old, new)))


keys = st.sampled_from(["size", "nfiles", "sizes", "a"]) | st.integers(0, 2)
free = st.dictionaries(
    st.sampled_from(["size", "nfiles", "Size", "a", "b.size"]),
    st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3)),
    max_size=3,
)


@given(options=free, config=free, space=free)
def test_whatever_the_run_cache_of_dvc_ignores_is_refused_and_nothing_else(options: Any, config: Any, space: Any):
    content = yaml.safe_load(GOOD + SEARCH)
    content["data"]["zoo"]["options"] = options
    content["models"]["mean_pose"]["config"] = config
    content["searches"]["best"]["space"] = space
    with TemporaryDirectory() as folder:
        path = written(Path(folder), yaml.safe_dump(content))
        if dict_filter(content, [Meta.PARAM_SIZE, Meta.PARAM_NFILES]) == content:
            read_params(path)
        else:
            with pytest.raises(ValueError, match=r"DVC's run cache ignores parameters named (size|nfiles)"):
                read_params(path)


def test_all_names_that_dvc_ignores_are_listed_with_the_other_mistakes(tmp_path: Path):
    text = GOOD.replace("crop_size: [64, 48]", "size: [64, 48], colour: red")
    text = text.replace("path: zoo", "path: zoo, options: {skeletons: {size: {sigmas: [1]}}, files: [{nfiles: 2}]}")
    text += "menagerie: {zoo: {set: mixed, size: 64}, nfiles: {}}\n"
    with pytest.raises(ValueError, match="size") as error:
        read_params(written(tmp_path, text))
    lines = str(error.value).splitlines()
    starts = [
        "data.zoo.options.skeletons.size must have another name: ",
        "data.zoo.options.files.0.nfiles must have another name: ",
        "packs.small.size must be named crop_size: ",
        "menagerie.zoo.size must be named side: ",
        "menagerie.nfiles must have another name: ",
        "packs.small.colour: Extra inputs",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(f"params.yaml: {start}")


def test_a_file_that_holds_itself_is_refused(tmp_path: Path):
    text = GOOD + "menagerie: {zoo: &zoo {set: mixed, again: *zoo, size: 3}}\n"
    with pytest.raises(ValueError, match="aliases counted as what they stand for"):
        read_params(written(tmp_path, text))


@pytest.mark.parametrize("text", ["runs: [", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_not_plain_yaml_is_refused(tmp_path: Path, text: str):
    with pytest.raises(ValueError, match="must be YAML"):
        read_params(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "former"),
    [
        ("finetunes: {}", "a section finetunes"),
        ("tuned:\n", "a section tuned"),
        ("runs: {a: {seed: 1}, b: {seeds: [1]}}", "runs.a.seed"),
        (
            "searches: {s: {cpus_per_trial: 1, gpus_per_trial: 1}}",
            "searches.s.cpus_per_trial, searches.s.gpus_per_trial",
        ),
    ],
)
def test_the_form_before_runs_had_seeds_is_refused_with_the_way_out(tmp_path: Path, text: str, former: str):
    with pytest.raises(ValueError, match=rf"with seeds, but has {former}; `posebed migrate` rewrites it"):
        read_params(written(tmp_path, text))


@pytest.mark.parametrize(
    ("seeds", "message"), [("[]", "at least 1 item"), ("[1, 2, 1]", "seeds must differ"), ("[x]", "valid integer")]
)
def test_seeds_are_different_whole_numbers(tmp_path: Path, seeds: str, message: str):
    with pytest.raises(ValueError, match=rf"runs\.floor\.seeds.*{message}"):
        read_params(written(tmp_path, GOOD.replace("pack: small}", f"pack: small, seeds: {seeds}}}")))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="there is none"):
        read_params(tmp_path / "params.yaml")


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 16))
def test_micro_batches_of_all_workers_make_up_the_batch(batch: int, workers: int, micro: int):
    try:
        steps = TrainConfig(batch_size=batch, workers=workers, micro_batch=micro).accumulation()
    except ValidationError as error:
        assert batch % (workers * micro)
        assert "must be a multiple" in str(error)
    else:
        assert steps * workers * micro == batch


@given(st.integers(1, 96), st.integers(1, 4), st.integers(1, 4), st.none() | st.integers(1, 8))
def test_micro_batches_of_every_number_of_workers_make_up_the_batch(
    batch: int, fewest: int, more: int, micro: int | None
):
    """They are as large for all numbers, so that a worker normalises over as many pictures."""
    numbers = range(fewest, fewest + more + 1)
    try:
        train = TrainConfig(batch_size=batch, workers={"min": numbers[0], "max": numbers[-1]}, micro_batch=micro)
    except ValidationError as error:
        assert any(batch % (number * (micro or 1)) for number in numbers)
        assert "must be a multiple of micro_batch x every number of workers" in str(error)
    else:
        sizes = {batch / (train.accumulation(number) * number) for number in numbers}
        assert sizes == {micro or batch // math.lcm(*numbers)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"workers": {"min": 2, "max": 2}}, "workers.min must be below workers.max, but they are 2 and 2"),
        ({"workers": {"min": 1, "max": 2}, "zero": 1}, "zero must be 0 where the number of workers may change"),
        ({"checkpoint_seconds": 0}, "greater than 0"),
    ],
)
def test_settings_of_machines_that_come_and_go_are_refused_where_they_cannot_hold(settings: dict[str, Any], words: str):
    with pytest.raises(ValidationError, match=words):
        TrainConfig(**settings)


def test_later_layers_win_key_by_key():
    assert merged({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}}, {"b": {"z": 4}}) == {
        "a": {"x": 1, "y": 3},
        "b": {"z": 4},
    }


def test_the_message_of_many_mistakes_is_short_and_counts_the_rest(tmp_path: Path):
    entry = "{model: mean_pose, split: lost, pack: small}"
    runs = "".join(f"  run-{number}: {entry}\n" for number in range(300))
    with pytest.raises(ValueError, match=r"and 280 more") as many:
        read_params(written(tmp_path, GOOD.split("runs:")[0] + f"runs:\n{runs}"))
    splits = "".join(f"  s{number}: {{data: zoo}}\n" for number in range(300))
    with pytest.raises(ValueError, match=r"there is s0, .* and 290 more") as choices:
        read_params(written(tmp_path, GOOD.replace("splits: {zoo: {data: zoo}}", f"splits:\n{splits}")))
    with pytest.raises(ValueError, match=r"packs\.small\.crop_size") as value:
        read_params(written(tmp_path, GOOD.replace("[64, 48]", str([1] * 9000))))
    assert all(len(str(error.value)) < 5000 for error in (many, choices, value))


def test_numbers_and_words_of_params_are_what_dvc_reads(tmp_path: Path):
    train = "train: {lr: 1e-4, epochs: 010, sync_batchnorm: no}, config: {flip_test: off}"
    run = read_params(written(tmp_path, GOOD.replace("pack: small}", f"pack: small, {train}}}"))).runs["floor"]
    assert (run.train, run.config) == ({"lr": 1e-4, "epochs": 10, "sync_batchnorm": "no"}, {"flip_test": "off"})
    assert TrainConfig.model_validate(run.train).sync_batchnorm is False


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path):
    text = GOOD + "packs: {}\n"
    with pytest.raises(ValueError, match="must have every key once, but packs stands in lines 4 and 8"):
        read_params(written(tmp_path, text))

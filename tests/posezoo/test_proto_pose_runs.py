"""ProtoPose through the pipeline: rounds of test episodes, and what its runs may be compared with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from experiments import experiment_of
from posebed.catalog import installed
from posebed.data.pack import Pack
from posebed.data.queries import queries_of
from posebed.data.splits import read_split
from posebed.experiment import Experiment
from posebed.inference import predict
from posebed.inference.trained_model import open_trained
from posebed.params import read_params
from posebed.places import PARAMS, member_folder, prepared_folder, split_folder
from posebed.predictions import PREDICTIONS, Predictions, read_predictions
from posebed.provenance import origin
from posebed.reporting.compare import tables
from posebed.training import validate
from posebed.training.log import FolderLog
from posebed.training.loop import epochs
from posebed.training.process_group import ProcessGroup
from posebed.training.rounds import rounds_of
from posebed.training.training_stream import training_stream
from posebed.training.transfer import initial_model
from posebed.training.validate import Validation
from posestages import split
from posestages.score import score
from posestages.tasks import predict_member
from posestages.train_without_ray import train_without_ray
from posezoo.proto_pose import NamedPrompts

CATALOG = installed()
TINY = "weights: none, backbone: test_vit, width: 64, depth: 2, heads: 2, steps: 3, copies: 1"
KINDS = ("named", "fresh", "support")
RUNS = "".join(f"  {k}: {{model: proto_pose, split: two, pack: small, config: {{prompts: {k}}}}}\n" for k in KINDS)


@pytest.fixture(scope="module")
def trained(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project with ten test episodes of two categories, and trained runs."""
    folder = tmp_path_factory.mktemp("rounds") / "project"
    shutil.copytree(prepared_project, folder)
    episodes = "{shots: 1, queries: 3, episodes: 5, val_episodes: 2}"
    two = f"  two: {{data: quads, by: category, val: [cow], test: [fox, horse], episodes: {episodes}}}\n"
    model = (
        f"  proto_pose: {{config: {{{TINY}}}, train: {{epochs: 2, draws: 8, batch_size: 4, checkpoint_every: 1}}}}\n"
    )
    text = (folder / "params.yaml").read_text()
    text = text.replace("packs:\n", f"{two}packs:\n").replace("models:\n", f"models:\n{model}")
    text = text.replace(
        "  prototypes: {model: proto_net, split: held-out", f"{RUNS}  prototypes: {{model: proto_net, split: two"
    )
    (folder / "params.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        split.split(read_params(PARAMS), "two", prepared_folder("quads"), split_folder("two"))
        for key in (*KINDS, "prototypes"):
            train_without_ray(key)
            predict_member(key, 0, CATALOG)
        yield folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def predictions(key: str) -> Predictions:
    return read_predictions(member_folder(key, 0) / PREDICTIONS)


def by_query(table: Predictions) -> dict[tuple[str, int], np.ndarray]:
    return {
        (record, int(episode)): xy for record, episode, xy in zip(table.record, table.episode, table.xy, strict=True)
    }


@pytest.mark.services
def test_a_round_is_an_episode_of_each_category(here: Path):
    experiment = experiment_of("named")
    pack, parts = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    queries = queries_of(experiment.task, pack, parts, "test")
    fewer = [query for query in queries if query.episode != queries[-1].episode]
    for asked, alone in ((queries, 0), (fewer, 1)):
        rounds = rounds_of(pack, asked)
        assert Counter(query for of in rounds for query in of) == Counter(asked)
        shown = [{(int(pack.category[q.row]), q.episode) for q in of} for of in rounds]
        assert all(len(of) == len({category for category, _ in of}) for of in shown)
        assert Counter(len(of) for of in shown) == Counter({2: 5 - alone, 1: alone})


@pytest.mark.services
@pytest.mark.parametrize("key", KINDS)
def test_all_queries_are_answered_alike_however_they_are_batched(key: str, here: Path, monkeypatch: pytest.MonkeyPatch):
    table, other = predictions(key), predictions("prototypes")
    assert by_query(table).keys() == by_query(other).keys()
    assert len(table) == 2 * 5 * 3
    experiment = experiment_of(key)
    monkeypatch.setattr(predict, "BATCH", 2)
    again = predict.answer(
        open_trained(member_folder(key, 0) / "train", CATALOG),
        Pack.open(experiment.pack_folder),
        read_split(experiment.split_folder),
        "test",
    )
    expected = by_query(table)
    for query, xy in by_query(again.predictions).items():
        np.testing.assert_allclose(xy, expected[query], atol=0.05)
    assert again.cost.ms_per_image > 0


@pytest.mark.services
def test_runs_that_are_told_names_stand_in_tables_of_their_own_with_both_averages(here: Path):
    results = [score(k, read_params(PARAMS), CATALOG, origin(prepared_folder("quads"))) for k in (*KINDS, "prototypes")]
    told = {
        tuple(row.result.key for row in table.rows): dict(table.protocol.measured).get("told")
        for table in tables(results)
    }
    assert {frozenset(keys) for keys in told} == {
        frozenset({"named"}),
        frozenset({"fresh"}),
        frozenset({"support", "prototypes"}),
    }
    assert told["named",] == "keypoint names, trained on the supports of all test categories"
    for result in results:
        assert {"PCK@0.2", "PCK@0.2 by index", "mPCK@.05-.20 by index"} <= {s.metric for s in result.scores}


@pytest.mark.services
def test_workers_share_the_rounds_of_a_validation(here: Path, monkeypatch: pytest.MonkeyPatch):
    experiment = experiment_of("named")
    pack, parts = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    model = open_trained(member_folder("named", 0) / "train", CATALOG).model

    class Engine:
        module = step_module = model

    answers = list[torch.Tensor]()
    monkeypatch.setattr(validate, "summed", lambda values, group: answers.append(values.clone()) or values)
    validation = Validation(experiment, pack, parts)
    for size in (1, 2):
        for rank in range(size):
            validation(Engine(), ProcessGroup(rank, size, torch.device("cpu")))
    whole, *shares = answers
    torch.testing.assert_close(sum(shares), whole)
    assert all(share.any() for share in shares)


def start_of(experiment: Experiment, pack: Pack) -> NamedPrompts:
    model, _ = initial_model(experiment, pack.setting())
    assert isinstance(model, NamedPrompts)
    return model.train()


@pytest.mark.services
def test_training_moves_the_rows_of_its_categories_alone(here: Path):
    experiment = experiment_of("named")
    pack = Pack.open(experiment.pack_folder)
    before = start_of(experiment, pack).banks
    after = load_file(member_folder("named", 0) / "train/last.safetensors")["banks.vectors"]
    changed = {before.keys[row][0] for row in (before.vectors != after).any(1).nonzero().flatten().tolist()}
    assert changed == {category.family for category in pack.categories if category.key == "tiger"}


@pytest.mark.services
def test_a_training_that_was_stopped_goes_on_to_the_same_weights_and_prompts(here: Path, tmp_path: Path):
    experiment = experiment_of("named")
    whole, parts = (FolderLog(tmp_path / name, name) for name in ("whole", "parts"))
    assert len(list(epochs(experiment, whole))) == 2
    next(epochs(experiment, parts))
    assert len(list(epochs(experiment, parts))) == 2
    one, other = (load_file(tmp_path / name / "checkpoint/last.safetensors") for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.services
@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_two_workers_keep_the_mean_of_what_each_moved(here: Path, engine: str):
    train = f"{{workers: 2, engine: {engine}, epochs: 1, draws: 4, batch_size: 4, precision: float32}}"
    config = "{prompts: named, drop_path: 0.0}"
    run = f"  {engine}: {{model: proto_pose, split: two, pack: small, config: {config}, train: {train}}}\n"
    (here / "params.yaml").write_text((here / "params.yaml").read_text() + run)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "posestages.train_without_ray", engine]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    experiment = experiment_of(engine)
    pack, parts = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    moved = list[torch.Tensor]()
    for rank in (0, 1):
        model = start_of(experiment, pack)
        (batch,) = training_stream(experiment, pack, parts, ProcessGroup(rank, 2, torch.device("cpu")), 1)
        moved.append(model.moved_buffers(model(batch), batch)["banks.vectors"])
    assert not torch.equal(*moved)
    after = load_file(member_folder(engine, 0) / "train/last.safetensors")["banks.vectors"]
    torch.testing.assert_close(after, sum(moved) / 2, atol=1e-5, rtol=1e-5)

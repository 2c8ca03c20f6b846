"""The floors are computed: equal to NumPy over any records, whatever the seed and the training settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from experiments import experiment_of, searched_experiment
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.data.crop import apply_affine
from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.jobs.room import Share
from posebed.jobs.worker import Request
from posebed.jobs.workplace import SharedProject
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.scoring.result import read_curve
from posestages.benchmark import read_project
from posestages.tasks import predict_member, train
from posestages.train_without_ray import train_without_ray

CATALOG = installed()
SIZE = (64, 128)
FLOORS = [name for name in sorted(CATALOG.models) if CATALOG.model(name).compute]


@dataclass(frozen=True)
class Poses:
    """N records of one skeleton of K keypoints; and a category with more, to which they are padded."""

    xy: np.ndarray
    weight: np.ndarray
    aspect: np.ndarray


@st.composite
def poses(draw: Any, keypoints: int | None = None, least: int = 1) -> Poses:
    count, keypoints = draw(st.integers(least, 12)), keypoints or draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = (rng.random((count, keypoints)) < draw(st.floats(0, 1))).astype(float)
    # Few shapes, so that some records lie equally near.
    aspect = rng.choice([0.25, 0.5, 1.0, 2.0, 4.0, 30 / 7], count)
    # As the loader gives them: float32, and 0 where unlabelled.
    xy = (rng.uniform(-20, 150, (count, keypoints, 2)) * weight[..., None]).astype(np.float32)
    return Poses(xy, weight, aspect)


def floor(name: str, keypoints: int) -> tuple[Any, Any]:
    spec = CATALOG.model(name)
    names = tuple(map(str, range(keypoints)))
    return spec.model(spec.config(), Setting(SIZE, keypoints, (Category("any", "any", names),))), spec


def batch(aspect: np.ndarray, keypoints: int) -> Batch:
    count, zero = len(aspect), torch.zeros(len(aspect), dtype=torch.int64)
    unknown = Keypoints(torch.zeros(count, keypoints, 2), torch.zeros(count, keypoints))
    return Batch(torch.zeros(count, 3, *SIZE), unknown, zero, zero, aspect=torch.from_numpy(aspect))


def answers(name: str, training: Poses, aspect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a category-specific run: points and confidences."""
    model, spec = floor(name, training.xy.shape[1])
    spec.compute(
        model, Keypoints(*map(torch.from_numpy, (training.xy, training.weight))), torch.from_numpy(training.aspect)
    )
    return decoded(model, batch(aspect, training.xy.shape[1]))


def answers_shown(name: str, supports: Poses, aspect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a category-agnostic run that is shown the same supports for every query."""
    model, _ = floor(name, supports.xy.shape[1])
    query = batch(aspect, supports.xy.shape[1])
    shots = (len(aspect), len(supports.xy))
    shown = {name: torch.from_numpy(value).expand(len(aspect), *value.shape) for name, value in vars(supports).items()}
    episode = EpisodeBatch(
        **vars(query),
        support_image=torch.zeros(*shots, 3, *SIZE),
        support=Keypoints(shown["xy"], shown["weight"].float()),
        support_aspect=shown["aspect"],
    )
    return decoded(model, episode)


def decoded(model: Any, queries: Batch) -> tuple[np.ndarray, np.ndarray]:
    points = model.decode(model(queries), queries)
    return points.xy.numpy(), points.weight.numpy()


def expected(name: str, training: Poses, aspect: float) -> np.ndarray:
    """Keypoint by keypoint, in the plainest way; the centre of the crop where no record shows it."""
    result = np.tile(np.array(SIZE[::-1]) / 2, (training.xy.shape[1], 1))
    for k in range(training.xy.shape[1]):
        shows = training.weight[:, k] > 0
        if shows.any():
            difference = np.abs(np.log(training.aspect) - math.log(aspect))
            chosen = shows if name == "mean_pose" else shows & (difference == difference[shows].min())
            result[k] = training.xy[chosen, k].astype(np.float64).mean(0)
    return result


@pytest.mark.parametrize("answer", [answers, answers_shown])
@pytest.mark.parametrize("name", FLOORS)
@given(training=poses(), aspect=st.lists(st.sampled_from([0.2, 0.5, 0.7, 1.0, 3.0, 4.0]), min_size=1, max_size=4))
def test_a_floor_is_what_numpy_computes(answer: Any, name: str, training: Poses, aspect: list[float]) -> None:
    points, confidence = answer(name, training, np.array(aspect))
    for row, own in enumerate(aspect):
        np.testing.assert_allclose(points[row], expected(name, training, own), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(confidence > 0, np.tile(training.weight.any(0), (len(aspect), 1)))


@given(poses(least=2), st.data())
def test_records_that_lie_equally_near_are_averaged_whatever_their_order(training: Poses, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(training.xy)))))
    turned = Poses(training.xy[order], training.weight[order], training.aspect[order])
    aspect = np.array([0.5, 1.0, 1.5])
    np.testing.assert_allclose(*(answers("nearest_box", each, aspect)[0] for each in (training, turned)), atol=1e-9)


@pytest.fixture
def with_floors(project: Path) -> Path:
    """A project with both floors in both families."""
    runs = "".join(
        f"  {name}-{split}: {{model: {name}, split: {split}, pack: small}}\n"
        for name in FLOORS
        for split in ("quads", "held-out")
    )
    params = project / "params.yaml"
    text = params.read_text().replace("  mean_pose: {}\n", "  mean_pose: {}\n  nearest_box: {}\n")
    params.write_text(text.replace("runs:\n", f"runs:\n{runs}"))
    return project


def closed_form(split: str) -> np.ndarray:
    """(K, 2), the mean of the training records in pixels of their crops."""
    pack = Pack.open(Path("data/packs/small"))
    rows = [pack.row[record] for record in read_split(Path("data/splits") / split).records("train")]
    xy, shown = apply_affine(pack.affine[rows], pack.keypoints[rows, :, :2]), pack.keypoints[rows, :, 2:] > 0
    return (xy * shown).sum(0) / shown.sum(0)


def test_the_floor_of_a_project_is_the_mean_whatever_the_settings(with_floors: Path) -> None:
    params = with_floors / "params.yaml"
    key, plain = "mean_pose-quads", "  mean_pose: {}\n"
    for settings in (
        "{}",
        "{train: {epochs: 7, batch_size: 3, lr: 5.0, augment: {rotation: 60, flip: 1.0, scale: 0.5}}}",
    ):
        text = params.read_text()
        params.write_text(
            text.replace(plain, f"  mean_pose: {settings}\n").replace("pack: small}", "pack: small, seeds: [5]}", 1)
        )
        train_without_ray(key)
        weights = load_file(f"runs/{key}/seed-5/train/best.safetensors")
        np.testing.assert_allclose(weights["mean"] * (64, 64), closed_form("quads"), rtol=0, atol=1e-9)
        params.write_text(text)


def test_floors_are_computed_without_a_cluster_and_predict_in_both_families(with_floors: Path) -> None:
    import ray

    project = read_project()
    for key in (f"{name}-{split}" for name in FLOORS for split in ("quads", "held-out")):
        task = project.graph.tasks[f"train {key} seed 0"]
        here = SharedProject(Path.cwd())
        train(Request(task, project.params, project.catalog, here, {}, publisher=None, share=Share(1, False)))
        predict_member(key, 0, CATALOG)
        assert read_curve(with_floors / f"runs/{key}/seed-0/train/curve.json") == []
        assert (with_floors / f"runs/{key}/seed-0/predicted/predictions.parquet").is_file()
    assert not ray.is_initialized() and not Path(".posebed/jobs").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "runs:\n",
            "runs:\n  again: {init_from: floor, model: mean_pose, split: quads, pack: small}\n",
            r"runs\.again\.init_from must be left out for mean_pose, which is computed",
        ),
        (
            "searches: {}",
            "searches: {best: {model: mean_pose, split: quads, pack: small, budget: {trials: 2}}}",
            r"searches\.best\.model must be one that is trained, but mean_pose is computed",
        ),
    ],
)
def test_what_has_no_meaning_for_a_floor_is_refused(project: Path, old: str, new: str, message: str) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        experiment_of("again") if "again" in new else searched_experiment("best")


def test_poses_that_are_alike_in_their_boxes_are_met_by_the_floor(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posebed.params import read_params
    from posebed.places import pack_folder, prepared_folder, split_folder
    from posebed.provenance import origin
    from posestages import pack, prepare, score, split
    from posestages.commands.migrate import migrate

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    case = cases / "floor-not-mean"
    (tmp_path / "photographs").symlink_to(case / "photographs")
    text = (case / "params.yaml").read_text().replace("size:", "crop_size:")
    (tmp_path / "params.yaml").write_text(text)
    migrate(tmp_path / "params.yaml")
    params = read_params(tmp_path / "params.yaml")
    prepare.prepare(params, "beast", prepared_folder("beast"))
    split.split(params, "beast", prepared_folder("beast"), split_folder("beast"))
    pack.pack(params, "beast", prepared_folder("beast"), pack_folder("beast"))
    train_without_ray("mean")
    predict_member("mean", 0, CATALOG)
    assert score.score("mean", params, CATALOG, origin(prepared_folder("beast"))).score("PCK@0.05").value == 1.0

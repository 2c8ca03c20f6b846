"""A small project in which everything that posebed writes lies: data, splits, a pack, trained runs with results and
checkpoints, a search, a submission, a published run. Its files are what the doors of ``doors_artefacts`` damage."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

PARAMS = """
menagerie:
  quads: {set: quadrupeds, images: 48, side: 80, categories: [tiger, horse, cow, fox]}
data:
  quads: {source: coco_folder, path: data/menagerie/quads}
splits:
  quads: {data: quads, val: 0.2, test: 0.2}
  held-out:
    data: quads
    by: category
    val: [cow]
    test: [fox]
    episodes: {shots: 1, queries: 3, episodes: 4, val_episodes: 2}
packs:
  small: {data: quads, crop_size: [64, 64]}
models:
  mean_pose: {}
  simple_baseline:
    config: {backbone: test_resnet, weights: none, channels: 8, flip_test: "off"}
    train: {epochs: 2, batch_size: 8, checkpoint_every: 1, precision: float32}
  proto_net:
    config: {backbone: test_resnet, weights: none}
    train: {epochs: 1, batch_size: 4, draws: 8, checkpoint_every: 1, precision: float32}
scoring: {resamples: 100}
searches:
  tuned: {model: simple_baseline, split: quads, pack: small, budget: {trials: 2}, only: [train.lr]}
runs:
  floor: {model: mean_pose, split: quads, pack: small}
  baseline: {model: simple_baseline, split: quads, pack: small}
  prototypes: {model: proto_net, split: held-out, pack: small}
  continued: {model: simple_baseline, split: quads, pack: small, init_from: baseline}
  best: {model: simple_baseline, split: quads, pack: small, params_from: tuned, seeds: [1]}
submissions: {}
"""
SUBMITTED, PUBLISHED = Path("answers.json"), Path("published")


def build(folder: Path) -> None:
    """Make the project in an empty folder."""
    import cv2
    import numpy as np

    import posebed
    from posebed.params import read_params
    from posebed.places import menagerie_folder, pack_folder, prepared_folder, split_folder
    from posestages import draw, identities, pack, prepare, report, split
    from posestages.commands import mirror
    from posestages.commands.publish import publish

    (folder / "params.yaml").write_text(PARAMS)
    params = read_params(folder / "params.yaml")
    with chdir(folder):
        draw.draw(params, "quads", menagerie_folder("quads"))
        prepare.prepare(params, "quads", prepared_folder("quads"))
        for key in params.splits:
            split.split(params, key, prepared_folder("quads"), split_folder(key))
        pack.pack(params, "small", prepared_folder("quads"), pack_folder("small"))
        _search()
        project = posebed.Project.open(".")
        for key in ("floor", "baseline", "prototypes"):
            project.run(key).train()
        identities.main([])
        mirror.track(*report.read_all(params))
        publish("baseline", PUBLISHED)
        _answers()
        cv2.imwrite("picture.png", np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))


def _search() -> None:
    """A finished search, in the form that one leaves; nothing is searched."""
    from posebed.places import run_folder
    from posebed.scoring.search_result import Measured, SearchResult, Trial, write_search

    def trial(number: int, rate: float, validation: float) -> Trial:
        curve = (Measured(epoch=1, validation=validation, device_seconds=1.0),)
        params = {"train.lr": rate}
        return Trial(number=number, state="complete", params=params, validation=validation, curve=curve, epochs=1)

    result = SearchResult(
        key="search@tuned",
        study="search@tuned-0123456789abcdef",
        model="simple_baseline",
        task="category_specific",
        data="quads",
        split="quads",
        pack="small",
        seed=0,
        settings={"budget": {"trials": 2}, "sampler": "tpe", "scheduler": "none", "epochs": 2},
        space={"train.lr": "1e-05 to 0.01"},
        trials=(trial(0, 0.001, 0.5), trial(1, 0.002, 0.6)),
    )
    write_search(result, run_folder("search@tuned"))


def _answers() -> None:
    """What the baseline predicts, as answers that were made elsewhere."""
    import json

    from posebed.places import member_folder
    from posebed.predictions import PREDICTIONS, read_predictions

    table = read_predictions(member_folder("baseline", 0) / PREDICTIONS)
    answers = [
        {
            "record": str(table.record[row]),
            "keypoints": [
                float(number)
                for (x, y), sure in zip(table.xy[row], table.confidence[row], strict=True)
                for number in (x, y, sure)
            ],
        }
        for row in range(len(table))
    ]
    SUBMITTED.write_text(json.dumps(answers))


if __name__ == "__main__":
    import sys

    build(Path(sys.argv[1]))

"""Stage ``predict``: the run's answers on the test part, in image pixels.

Usage: python -m posestages.predict KEY
"""

from __future__ import annotations

import torch

from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.files import writing_folder
from posebed.inference.predict import answer
from posebed.inference.trained_model import open_trained
from posebed.scoring.predictions import write_predictions
from posebed.scoring.result import write_cost
from posebed.training.run_folder import read_about
from posestages.stage import PREDICTIONS, only_key, pack_folder, run, run_folder, split_folder


def predict(key: str) -> None:
    """Write ``runs/KEY/predicted``: ``predictions.parquet`` and ``cost.json``."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = run_folder(key) / "train"
    about = read_about(folder)
    pack, split = Pack.open(pack_folder(about["pack"])), read_split(split_folder(about["split"]))
    # A run whose weights were imported knows no categories.
    trained = open_trained(folder, device, pack.setting())
    answers = answer(trained, pack, split, "test")
    with writing_folder((run_folder(key) / PREDICTIONS).parent) as out:
        write_predictions(answers.predictions, out / PREDICTIONS.name)
        write_cost(answers.cost, out / "cost.json")


def main(arguments: list[str]) -> None:
    predict(only_key(arguments))


if __name__ == "__main__":
    run(main)

"""How good a model is that no training changes: a trial of a search is this and nothing more."""

from __future__ import annotations

import torch

from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.experiment import Experiment
from posebed.inference.predict import answer
from posebed.inference.trained_model import Trained
from posebed.scoring.measuring import value_of
from posebed.training.untrained import untrained_model


def untrained_validation(experiment: Experiment) -> float:
    """``train.judged_by`` on the validation part, as ``training.validate`` measures it; supports are encoded once per
    episode. Raises as ``untrained_model``."""
    pack, split = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = untrained_model(experiment).to(device).eval()
    about = {"boxes": "annotated"}  # as in every validation
    trained = Trained(model, pack.setting(), experiment.task, device, about, curve=())
    predictions = answer(trained, pack, split, "val").predictions
    return value_of(experiment.train.judged_by, experiment.judge, predictions)

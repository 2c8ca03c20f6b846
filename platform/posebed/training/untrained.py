"""The model of a run without epochs: computed from the training records, or taken from another run as it is."""

from __future__ import annotations

import torch

from posebed.contracts import Task
from posebed.data.crop import apply_affine
from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.experiment import Experiment
from posebed.pose import Keypoints
from posebed.training.pose_module import PoseModule
from posebed.training.training_stream import training_rows
from posebed.training.transfer import initial_model


def untrained_model(experiment: Experiment) -> PoseModule:
    """The model with its final weights, on the CPU. Raises as ``initial_model``.

    Seed, batches and augmentation have no part in it: every labelled training record counts once, as its exact crop
    shows it.
    """
    pack = Pack.open(experiment.pack_folder)
    model, _ = initial_model(experiment, pack.setting())
    compute = experiment.spec.compute
    if compute and experiment.task is Task.CATEGORY_SPECIFIC:
        rows = training_rows(pack, read_split(experiment.split_folder))
        annotated = pack.keypoints[rows]
        xy, labelled = apply_affine(pack.affine[rows], annotated[..., :2]), annotated[..., 2] > 0
        poses = Keypoints(torch.as_tensor(xy), torch.as_tensor(labelled).double())
        compute(model, poses, torch.as_tensor(pack.aspect[rows]))
    return model

"""Whether exported files find keypoints where the model itself finds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from posebed.contracts import Task
from posebed.inference.trained_model import Trained
from posebed.pose import Batch, EpisodeBatch
from posebed.records import Category
from posebed.training.pose_module import decoded

LIMIT = 1e-4
"""Of a difference in coordinates, as a share of the scale: the longer side of the box, in pixels of the crop."""
FAINT = 0.01
"""Of the largest confidence. Peaks below that are noise, whose place rounding decides; they are left out."""


class File(Protocol):
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Agreement:
    crops: int
    coordinates: float
    """The largest difference, as a share of the scale."""
    confidence: float
    """The largest difference."""
    keypoints: int
    """Compared."""
    faint: int
    """Left out."""

    def __str__(self) -> str:
        left = f"; {self.faint} of hardly any confidence left out" if self.faint else ""
        return (
            f"the largest difference of {self.keypoints} keypoints in {self.crops} crops is {self.coordinates:.1e} of "
            f"the scale in coordinates and {self.confidence:.1e} in confidence{left}"
        )


def agreement(trained: Trained, files: Sequence[File], batches: Iterable[Batch]) -> Agreement:
    """Compare answers on batches, the rows of each of which have the same category and supports.

    Args:
        files: ``model`` alone, or ``support`` and ``query``.

    Raises:
        ValueError: they differ by more than ``LIMIT``, or the model finds no keypoint.
    """
    each = [_compared(trained, files, batch) for batch in batches]
    apart, in_confidence, confidence = (np.concatenate([one[part].ravel() for one in each]) for part in range(3))
    sure = confidence > FAINT * confidence.max(initial=0.0)
    total = Agreement(
        crops=sum(len(one[0]) for one in each),
        coordinates=float(np.max(apart[sure], initial=0.0)),
        confidence=float(np.max(in_confidence)),
        keypoints=int(sure.sum()),
        faint=int((~sure & (confidence > 0)).sum()),
    )
    if not total.keypoints:
        raise ValueError("the model must find a keypoint in the crops that a file is checked on, but finds none")
    if not (total.coordinates <= LIMIT and np.isfinite(total.confidence)):
        raise ValueError(f"an exported file must agree with its model to {LIMIT:.0e} of the scale, but {total}")
    return total


@torch.no_grad()
def _compared(trained: Trained, files: Sequence[File], batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, K) of the category's keypoints: the differences in coordinates, as shares of the scale, and in confidence,
    and the model's confidence."""
    if trained.task is Task.CATEGORY_SPECIFIC:  # where every category has the same skeleton
        batch = replace(batch, category=torch.zeros_like(batch.category))
    category = trained.setting.categories[int(batch.category[0])]
    count = len(category.keypoints)
    pose = decoded(trained.model, trained.model(batch), batch)
    given = arrays_of(batch, category)
    for file in files:
        given |= file(given)
    xy, confidence = pose.xy[:, :count].double().numpy(), pose.weight[:, :count].float().numpy()
    scale = max(trained.setting.size) / trained.about["padding"]
    apart = np.abs(given["xy"][:, :count] - xy).max(2) / scale
    return apart, np.abs(given["confidence"][:, :count] - confidence), confidence


def arrays_of(batch: Batch, category: Category) -> dict[str, np.ndarray]:
    """Inputs of graphs, as ``graphs.AXES`` lists them, of a batch whose rows have the same supports."""
    given = {"image": batch.image.numpy()}
    if batch.aspect is not None:
        given["aspect"] = batch.aspect.double().numpy()
    if not isinstance(batch, EpisodeBatch):
        return given
    count = len(category.keypoints)
    given |= {
        "support_image": batch.support_image[0].numpy(),
        "support_xy": batch.support.xy[0, :, :count].float().numpy(),
        "support_weight": batch.support.weight[0, :, :count].float().numpy(),
        "links": np.array(category.limbs or [(-1, -1)], np.int64).reshape(-1, 2),
    }
    if batch.support_aspect is not None:
        given["support_aspect"] = batch.support_aspect[0].double().numpy()
    return given

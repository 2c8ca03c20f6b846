"""A trained model on a film: frames are decoded and cropped by a thread of its own, beside the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from posebed.data.film import Film, Frame, ahead
from posebed.inference.pictures import BATCH, Box, Crop, Supports, crop_of, poses_in_crops
from posebed.inference.poses import Poses
from posebed.inference.trained_model import Trained

BoxesOf = Callable[[Frame], "list[Box]"]
"""The boxes of a frame, each of which overlaps it; none where nothing is to be found there."""
MOST_FRAMES = 256
"""That are looked at in one go, should they have no box."""


def poses_in_film(
    trained: Trained, film: Film, boxes_of: BoxesOf, shown: Supports | None = None, every: int = 1, first: int = 0
) -> Iterator[tuple[int, Poses]]:
    """The poses in the frames that are looked at, some frames at a time, in order: the number of the last of these
    frames, and the poses in them.

    Args:
        every, first: as of ``Film.frames``.

    Raises:
        ValueError: a box misses its frame, the film cannot be opened any more, or the model's answer is not finite.
    """
    category, name = trained.setting.categories[0], str(film.path)
    keypoints = len(category.keypoints)
    for looked in ahead(_looks(trained, film, boxes_of, every, first)):
        xy, confidence = np.zeros((0, keypoints, 2)), np.zeros((0, keypoints), np.float32)
        if looked.crops:
            xy, confidence = poses_in_crops(trained, looked.crops, shown)
        count = len(looked.crops)
        box = np.array(looked.boxes, float).reshape(-1, 4)
        frame, seconds = np.array(looked.frame, int), np.array(looked.seconds, float)
        yield looked.last, Poses(category, (name,) * count, frame, seconds, box, xy, confidence)


@dataclass
class _Looked:
    """Some frames, with as many boxes as make up a batch of the model."""

    last: int = 0
    frame: list[int] = field(default_factory=list[int])
    """Of each box."""
    seconds: list[float] = field(default_factory=list[float])
    boxes: list[Box] = field(default_factory=list[Box])
    crops: list[Crop] = field(default_factory=list[Crop])


def _looks(trained: Trained, film: Film, boxes_of: BoxesOf, every: int, first: int) -> Iterator[_Looked]:
    looked, frames = _Looked(), 0
    for frame in film.frames(every, first):
        for box in boxes_of(frame):
            looked.frame.append(frame.number)
            looked.seconds.append(frame.seconds)
            looked.boxes.append(box)
            looked.crops.append(crop_of(trained, frame.picture, box))
        looked.last, frames = frame.number, frames + 1
        if len(looked.crops) >= BATCH or frames == MOST_FRAMES:
            yield looked
            looked, frames = _Looked(), 0
    if frames:
        yield looked

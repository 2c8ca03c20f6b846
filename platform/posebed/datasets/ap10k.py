"""AP-10K: 54 species of 23 families with one skeleton, in three random divisions of 7 : 1 : 2.

Papers train on train-split1 and report val-split1, so that test-split1 chooses checkpoints here; toolboxes also
report test-split1, which ``report: test`` does. Pictures were gathered from earlier sets too, Animal-Pose among them:
who trains on those has seen some of AP-10K.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from posebed.annotations.coco_file import CocoFile
from posebed.annotations.released_layouts import Reported, read_published
from posebed.annotations.skeleton import mirrored_pairs
from posebed.contracts import DatasetSpec
from posebed.records import Category, Dataset

_NAMES = (
    *("left_eye", "right_eye", "nose", "neck", "root_of_tail"),
    *("left_shoulder", "left_elbow", "left_front_paw", "right_shoulder", "right_elbow", "right_front_paw"),
    *("left_hip", "left_knee", "left_back_paw", "right_hip", "right_knee", "right_back_paw"),
)
SKELETON = Category(
    key="animal",
    name="animal",
    keypoints=_NAMES,
    limbs=(
        *((0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10)),
        *((4, 11), (11, 12), (12, 13), (4, 14), (14, 15), (15, 16)),
    ),
    flip_pairs=mirrored_pairs(_NAMES),
    sigmas=(
        *(0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062),
        *(0.107, 0.087, 0.089, 0.107, 0.087, 0.089),
    ),
    # Without right_front_paw, which the code of KITPose and the toolboxes count to the lower body.
    upper_body=(0, 1, 2, 3, 5, 6, 7, 8, 9),
)


class Options(Reported):
    split: Literal[1, 2, 3] = 1


def read(options: Options, path: Path) -> Dataset:
    """Read one of the three divisions, or a single annotation file of any name.

    Raises:
        ValueError: files are missing.
    """
    files = [
        CocoFile(f"annotations/ap10k-{name}-split{options.split}.json", "data", part=part)
        for part, name in options.parts().items()
    ]
    return read_published(SPEC, options, path, files, "annotations/ap10k-{train,val,test}-split{1,2,3}.json and data/")


SPEC = DatasetSpec(
    title="AP-10K",
    options=Options,
    read=read,
    licence="CC BY 4.0 by its README, non-commercial use only by the MMPose documentation; the two disagree",
    source="ap-10k.zip, which the README of github.com/AlexTheBad/AP-10K links to",
    skeleton=SKELETON,
)

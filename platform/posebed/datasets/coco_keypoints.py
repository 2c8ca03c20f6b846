"""COCO keypoints 2017: people with 17 keypoints.

COCO publishes no labels of its test pictures, and papers report val2017: that is the part ``test``. There is no part
``val``: the official split takes it from train2017, so that what is reported chooses no checkpoint. The scale of OKS
is the area of the segment, as everywhere with COCO.
"""

from __future__ import annotations

from pathlib import Path

from posebed.annotations.coco_file import CocoFile
from posebed.annotations.detections import with_detections
from posebed.annotations.released_layouts import folder_or_zip, read_published
from posebed.annotations.skeleton import mirrored_pairs
from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec
from posebed.records import Category, Dataset

_NAMES = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
SKELETON = Category(
    key="person",
    name="person",
    keypoints=_NAMES,
    family="person",
    limbs=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9)),
        *((8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    flip_pairs=mirrored_pairs(_NAMES),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
    upper_body=tuple(range(11)),
)


class Options(PictureOptions):
    detections: str | None = None
    """File of a detector's boxes on val2017 below the dataset's folder, such as
    ``COCO_val2017_detections_AP_H_56_person.json``. They become further records of the part ``test``. People without
    labelled keypoints and crowd regions then stay in that part, so that poses found there count neither as right nor
    as wrong."""


def read(options: Options, path: Path) -> Dataset:
    """Read train2017 and val2017, or a single annotation file of any name.

    Raises:
        ValueError: files are missing.
    """
    files = [
        CocoFile(
            "annotations/person_keypoints_train2017.json",
            "train2017",
            part="train",
            unlabelled="skip",
        ),
        CocoFile(
            "annotations/person_keypoints_val2017.json",
            "val2017",
            part="test",
            unlabelled="keep" if options.detections else "skip",
        ),
    ]
    layout = "annotations/person_keypoints_{train,val}2017.json, train2017/ and val2017/"
    dataset = read_published(SPEC, options, path, files, layout)
    if options.detections is None:
        return dataset
    pictures = folder_or_zip(path, "val2017")
    return with_detections(dataset, options.detections, "test", {"1": SKELETON}, lambda i: f"{pictures}/{i:0>12}.jpg")


SPEC = DatasetSpec(
    title="COCO keypoints 2017",
    options=Options,
    read=read,
    licence="annotations CC BY 4.0; each picture under the Flickr licence that the annotation file names for it",
    source="cocodataset.org/#download: train2017.zip, val2017.zip and annotations_trainval2017.zip",
    skeleton=SKELETON,
)

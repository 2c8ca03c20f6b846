"""What posebed uses of faster-coco-eval, whose own types leave dictionaries open."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np

# Any: the fields of an annotation are numbers, texts and lists, as in COCO's files.
_Entries = Sequence[Mapping[str, Any]]

class COCO:
    dataset: Mapping[str, _Entries]
    def __init__(self, annotation_file: Mapping[str, _Entries]) -> None: ...
    def loadRes(self, resFile: _Entries) -> COCO: ...

class _Curves(TypedDict):
    precision: np.ndarray
    """(thresholds, recalls, categories, areas, limits)"""
    recall: np.ndarray
    """(thresholds, categories, areas, limits)"""

class _Params:
    catIds: Sequence[int]

class COCOeval_faster:
    params: _Params
    eval: _Curves
    ious: Mapping[tuple[int, int], np.ndarray | list[float]]
    """By numbers of image and category: (predictions, truths)."""
    cocoDt: COCO
    def __init__(
        self, cocoGt: COCO, cocoDt: COCO, iouType: Literal["keypoints"], kpt_oks_sigmas: list[float]
    ) -> None: ...
    def evaluate(self) -> None: ...
    def accumulate(self) -> None: ...

"""The package keeps to posebed's contract."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.testing import DatasetSuite, MetricSuite, ModelSuite


class TestTemplateNet(ModelSuite):
    models = ("template_net",)


class TestLabelmeBeetles(DatasetSuite):
    dataset = "labelme_beetles"

    def write_example(self, folder: Path) -> None:
        corners = {"head": (30, 5), "left_elytron": (15, 20), "right_elytron": (45, 20), "tip": (30, 38)}
        shapes = [{"label": name, "shape_type": "point", "points": [[*at]]} for name, at in corners.items()]
        shapes.append({"label": "box", "shape_type": "rectangle", "points": [[50, 39], [10, 3]]})
        for name in "ab":
            Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(folder / f"{name}.png")
            content = {"imagePath": f"{name}.png", "imageWidth": 60, "imageHeight": 40, "shapes": shapes}
            (folder / f"{name}.json").write_text(json.dumps(content))


class TestBrier(MetricSuite):
    module = "lab_poses.brier"

    @classmethod
    def worked_cases(cls):
        return {"Brier@0.2": [(answered(off=0, confidence=0.9), 0.01), (answered(off=90, confidence=0.9), 0.81)]}


def answered(off: float, confidence: float) -> Predictions:
    """One point in a box with a side of 100 pixels."""
    query = Record("a", "a.png", 200, 200, "dot", (0, 0, 101, 101), 10201, np.array([[20, 20, 2]], np.float32))
    xy = np.array([[[20.0 + off, 20.0]]])
    return Predictions.from_records([Category("dot", "dot", ("dot",))], [query], xy, np.full((1, 1), confidence))

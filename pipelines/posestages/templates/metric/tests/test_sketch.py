"""sketch keeps to the contract of posebed's metrics."""

import numpy as np

from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.testing import MetricSuite


def one_query(off: float) -> Predictions:
    """Two points in a box with a side of 100 pixels, one of which is predicted so many pixels off."""
    truth = np.array([[20, 20, 2], [80, 80, 2]], np.float32)
    query = Record("a", "a.png", 200, 200, "thing", (0, 0, 101, 101), 10201, truth)
    xy = truth[None, :, :2] + [[[off, 0], [0, 0]]]
    return Predictions.from_records([Category("thing", "thing", ("one", "other"))], [query], xy, np.ones((1, 2)))


class TestSketch(MetricSuite):
    module = "sketch.metric"

    @classmethod
    def worked_cases(cls):
        return {"sketch": [(one_query(19), 1.0), (one_query(21), 0.0)]}

"""OKS-AP as a metric; how instances are matched is tested in ``test_oks``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posebed.metrics.average_precision import SPEC
from posebed.predictions import Predictions
from posebed.scoring.drawn import drawn_predictions
from posebed.testing import MetricSuite


class TestAveragePrecision(MetricSuite):
    module = "posebed.metrics.average_precision"

    @classmethod
    def worked_cases(cls) -> dict[str, list[tuple[Predictions, float]]]:
        """Twenty instances, ten of them of medium size and ten large, all found, and the surest half of them."""
        table = drawn_predictions(0, queries=20, categories=1, noise=0.0)
        table = replace(table, area=np.where(np.arange(20) % 2, 50.0**2, 200.0**2), score=np.linspace(1, 0.5, 20))
        table = replace(table, counts=table.counts | (np.arange(table.counts.shape[1]) == 0))
        half = replace(table, xy=np.where(np.arange(20)[:, None, None] < 10, table.xy, np.float32(1e6)))
        # The surest ten are right: precision 1 up to a recall of 0.5, 51 of the 101 points, and 0 beyond.
        found = {"AR": 0.5} | dict.fromkeys(("AP", "AP50", "AP75", "AP_M", "AP_L"), 51 / 101)
        return {metric.name: [(table, 1.0), (half, found[metric.name])] for metric in SPEC.metrics}

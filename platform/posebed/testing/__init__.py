"""The contract's tests, for the author of a model, dataset or metric.

In a test module of the plugin, for pytest::

    from posebed.testing import ModelSuite

    class TestSketch(ModelSuite):
        models = ("sketch",)
"""

from posebed.testing.datasets import DatasetSuite
from posebed.testing.metrics import MetricSuite
from posebed.testing.models import ModelSuite

__all__ = ["DatasetSuite", "MetricSuite", "ModelSuite"]

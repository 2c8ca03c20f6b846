"""sketch keeps to the contract of posebed's models."""

from posebed.testing import ModelSuite


class TestSketch(ModelSuite):
    models = ("sketch",)

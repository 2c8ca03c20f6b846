"""posebed: the engine of a benchmark for pose-estimation models. It imports no model."""

__version__ = "0.1.0"

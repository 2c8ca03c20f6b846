"""posebed: the engine of a benchmark for pose-estimation models. It knows no model by name."""

__version__ = "0.1.0"

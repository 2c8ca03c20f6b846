"""Trained models as files that run without posebed: ONNX, and torch's ``.pt2``."""

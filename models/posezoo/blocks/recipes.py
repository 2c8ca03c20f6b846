"""Training recipes that several models share. Presets read them, too, and therefore they are plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANIMALS: Mapping[str, Any] = {
    "epochs": 210,
    "batch_size": 512,
    "optimizer": "adam",
    "lr": 5e-4,
    "warmup_steps": 500,
    "decay_at": (170 / 210, 200 / 210),
    "augment": {"scale": 0.5, "rotation": 40.0, "flip": 0.5, "half_body": 0.3},
}
"""SimpleBaseline's and HRNet's on animals (mmpose's AP-10K configurations)."""

EPISODES: Mapping[str, Any] = {
    "epochs": 200,
    "batch_size": 16,
    "optimizer": "adam",
    "lr": 1e-5,
    "warmup_steps": 1000,
    "decay_at": (0.8, 0.9),
    "augment": {"scale": 0.15, "rotation": 15.0},
}
"""CapeFormer's and GraphCape's on MP-100."""

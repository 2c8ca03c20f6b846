"""A cluster that grows and shrinks by itself: which machines it may come to have, and what it is asked for.

Ray's autoscaler sees what is submitted to the cluster. Here tasks are submitted when there is room for them, so that it
would see no need.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from posebed.config import Positive, Section, sentence
from posebed.jobs.room import Room
from posebed.yamlfile import yaml_of

import ray  # isort: skip
from ray.autoscaler.sdk import request_resources  # isort: skip

MACHINES = "POSEBED_MACHINES"
MOST_ASKED = 1_000
"""Places that are asked for at a time."""
REPEAT_SECONDS = 5.0
"""A request of Ray Train takes the place of one that was made before."""


class MachineConfig(Section):
    """Machines that are alike."""

    count: Positive = 1
    cpus: Positive
    gpus: int = Field(default=0, ge=0)
    memory_gb: float = Field(default=0.0, ge=0)

"""A model once it is built: an ``nn.Module`` and a ``PoseModel`` at once, which Python has no type for but a class of
both."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from posebed.config import Section
from posebed.contracts import PoseModel, Setting, SomeModelSpec

# Any: a name decides which model it is, and so what batches and predictions it takes.


class PoseModule(nn.Module, PoseModel[Any, Any]):
    """The type alone: models do not name it as their base. A computed model has no ``losses``."""


def build(spec: SomeModelSpec, config: Section, setting: Setting) -> PoseModule:
    """Build a model of the spec, whose config it must be.

    Raises:
        LookupError: weights that the config names are not there.
        ValueError: the model refuses its setting.
    """
    return cast(PoseModule, spec.model(config, setting))

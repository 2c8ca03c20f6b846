"""A model once it is built: an ``nn.Module`` and a ``PoseModel`` at once, which Python has no type for but a class of
both."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import psutil
from torch import Tensor, nn
from torch.nn.modules import module as registering
from torch.nn.parameter import is_lazy

from posebed.config import Section
from posebed.contracts import PoseModel, Setting, SomeModelSpec
from posebed.listing import amount
from posebed.pose import Batch, Keypoints

_MOST_PARTS = 50_000
"""Layers and tensors of a model: the largest have some thousand."""

# Any: a name decides which model it is, and so what batches and predictions it takes.


class PoseModule(nn.Module, PoseModel[Any, Any]):
    """The type alone: models do not name it as their base. A computed model has no ``losses``."""


class TooLargeError(ValueError):
    """A model has more parts, or takes more memory, than it may."""


def build(spec: SomeModelSpec, config: Section, setting: Setting, most_bytes: int | None = None) -> PoseModule:
    """Build a model of the spec, whose config it must be.

    Args:
        most_bytes: that its tensors may take, the machine's memory unless given.

    Raises:
        LookupError: weights that the config names are not there.
        TooLargeError: before memory is taken for the whole of it.
        ValueError: the model refuses its setting, or its own code fails.
    """
    try:
        with _bounded(psutil.virtual_memory().total if most_bytes is None else most_bytes):
            return cast(PoseModule, spec.model(config, setting))
    except (LookupError, ValueError):
        raise
    except Exception as error:
        name = getattr(spec.model, "__qualname__", "the model")
        height, width = setting.size
        raise ValueError(
            f"{name} must be built for {setting.keypoints} keypoints in crops of {height} x {width}, but raises "
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error


@contextmanager
def _bounded(most_bytes: int) -> Generator[None]:
    """End the building of a model at the first layer or tensor that is too much."""
    parts = taken = 0

    def count(_: nn.Module, name: str, part: nn.Module | Tensor | None) -> None:
        nonlocal parts, taken
        parts += 1
        taken += part.nbytes if isinstance(part, Tensor) and not is_lazy(part) else 0
        if taken > most_bytes:
            raise TooLargeError(f"the model's numbers must fit into {amount(most_bytes)}, but take more")
        if parts > _MOST_PARTS:
            raise TooLargeError(f"the model must have at most {_MOST_PARTS} layers and tensors, but has more")

    handles = [
        registering.register_module_parameter_registration_hook(count),
        registering.register_module_buffer_registration_hook(count),
        registering.register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def losses_of(model: PoseModule, prediction: Any, batch: Batch) -> dict[str, Tensor]:
    """
    Raises:
        ValueError: they are no named scalars.
    """
    losses = dict(model.losses(prediction, batch))
    shapes = {name: tuple(loss.shape) for name, loss in losses.items()}
    if not losses or any(shapes.values()):
        raise ValueError(f"losses of {type(model).__name__} must be named scalars, but are {shapes or 'none'}")
    return losses


def decoded(model: PoseModule, prediction: Any, batch: Batch) -> Keypoints:
    """
    Raises:
        ValueError: they are no points with confidences, one for every keypoint of the batch.
    """
    pose, wanted = model.decode(prediction, batch), tuple(batch.keypoints.weight.shape)
    shapes = tuple(pose.xy.shape), tuple(pose.weight.shape)
    if shapes != ((*wanted, 2), wanted):
        raise ValueError(
            f"decode of {type(model).__name__} must give points {(*wanted, 2)} and confidences {wanted}, but gives "
            f"{shapes[0]} and {shapes[1]}"
        )
    return pose

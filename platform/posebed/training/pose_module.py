"""A model once it is built: an ``nn.Module`` and a ``PoseModel`` at once, which Python has no type for but a class of
both."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from posebed.config import Section
from posebed.contracts import PoseModel, Setting, SomeModelSpec
from posebed.pose import Batch, Keypoints

# Any: a name decides which model it is, and so what batches and predictions it takes.


class PoseModule(nn.Module, PoseModel[Any, Any]):
    """The type alone: models do not name it as their base. A computed model has no ``losses``."""


def build(spec: SomeModelSpec, config: Section, setting: Setting) -> PoseModule:
    """Build a model of the spec, whose config it must be.

    Raises:
        LookupError: weights that the config names are not there.
        ValueError: the model refuses its setting, or its own code fails.
    """
    try:
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

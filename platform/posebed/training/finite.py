"""Which layer of a model is the first to overflow or to divide 0 by 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, cast

from torch import nn

from posebed.pose import Batch, tensors_of


def first_not_finite(model: nn.Module, batch: Batch, autocast: AbstractContextManager[object]) -> str | None:
    """Repeat the forward pass of a batch; return the name of the first module whose output is not finite. Dropout is
    drawn anew, and running statistics move: for a training that ends.

    None where all are finite, and where weights already are not: then every name would mislead.

    Args:
        autocast: what the pass is made in.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        return None
    found: list[str] = []

    def looking(name: str) -> Any:
        def look(module: nn.Module, inputs: object, output: object) -> None:
            if not found and not all(bool(each.isfinite().all()) for each in tensors_of(output)):
                found.append(name)

        return look

    with ExitStack() as hooks, autocast:
        for name, module in cast("Iterator[tuple[str, nn.Module]]", model.named_modules()):
            hooks.callback(module.register_forward_hook(looking(name or type(model).__name__)).remove)
        model(batch)
    return found[0] if found else None

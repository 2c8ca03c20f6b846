"""State dictionaries: read from the files of training frameworks, and copied into a module name by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeGuard, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from posebed.listing import shortened

State = Mapping[str, Tensor]


def read_checkpoint(path: Path) -> State:
    """Tensors of a file by name, without the wrappers and the prefix that training frameworks put around a model.

    Raises:
        LookupError: there is no such file.
        ValueError: it holds something else than tensors.
    """
    if not path.is_file():
        raise LookupError(f"weights must be a file, but {path} is none")
    content: object
    if path.suffix == ".safetensors":
        content = safetensors.torch.load_file(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            raise ValueError(f"{path} must hold tensors alone, but holds objects that run code when read") from error
    state = content
    if _is_mapping(content):
        state = next((content[w] for w in _WRAPPERS if _is_mapping(content.get(w))), content)
    if not _is_state(state):
        raise ValueError(f"{path} must hold a state dictionary, alone or under {', '.join(_WRAPPERS)}, but does not")
    return within(state, "module.")


def _is_mapping(content: object) -> TypeGuard[Mapping[str, object]]:
    # A pickle may name things by numbers.
    return isinstance(content, Mapping) and all(
        isinstance(name, str) for name in cast(Mapping[object, object], content)
    )


def _is_state(content: object) -> TypeGuard[State]:
    return _is_mapping(content) and all(isinstance(t, Tensor) for t in content.values())


_WRAPPERS = ("best_state_dict", "state_dict", "model")
"""Names under which training frameworks keep a model's tensors, the best first."""


def within(state: State, prefix: str) -> State:
    """The part under a prefix, where there is one, else all."""
    part = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return part or state


def fill(module: nn.Module, state: State, spare: Iterable[str], source: str) -> None:
    """Copy a state dictionary into a module that uses the same names; every tensor of the module must be in it.

    Args:
        spare: beginnings of the names that may be left over, such as a classifier's.
        source: what the weights are called in a refusal.

    Raises:
        ValueError: names are missing or left over, or shapes differ.
    """
    own = module.state_dict()
    # Older files lack the counters of batches, which change nothing where the momentum is fixed.
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    left_over = [n for n in state if n not in own and not n.startswith(tuple(spare))]
    if missing or left_over:
        raise ValueError(
            f"weights {source!r} must hold the module's tensors by name, but of {len(own)} there are missing "
            f"{shortened(missing, 4)}, and unexpected {shortened(left_over, 4)}"
        )
    shared = {name: state[name] for name in own if name in state}
    unlike = [f"{n} {tuple(t.shape)} for {tuple(own[n].shape)}" for n, t in shared.items() if t.shape != own[n].shape]
    if unlike:
        raise ValueError(f"weights {source!r} must have the module's shapes, but have {shortened(unlike, 4)}")
    module.load_state_dict(shared, strict=False)

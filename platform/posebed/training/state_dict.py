"""State dictionaries: read from the files of training frameworks, and copied into a module name by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeGuard, cast
from zipfile import ZipFile, is_zipfile

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
    content: object = _read(path)
    state = content
    if _is_mapping(content):
        state = next((content[w] for w in _WRAPPERS if _is_mapping(content.get(w))), content)
    if not _is_state(state) or not state:
        raise ValueError(f"{path} must hold a state dictionary, alone or under {', '.join(_WRAPPERS)}, but does not")
    if wrong := [name for name, tensor in state.items() if not _is_plain(tensor)]:
        raise ValueError(f"{path} must hold plain tensors of finite numbers, but does not in {shortened(wrong, 4)}")
    return within(state, "module.")


def _read(path: Path) -> object:
    """What a file of tensors holds.

    Raises:
        ValueError: it is damaged, or of another kind.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise ValueError(f"{path} must be a file of weights, but is empty; download it again")
    if start.lstrip()[:1] == b"<":
        raise ValueError(f"{path} must be a file of weights, but is a web page; download the file itself")
    kind = "safetensors" if path.suffix == ".safetensors" else "a file that torch.save wrote"
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _must_be_stored(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch remarks on foreign files is no news to whoever brings them
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise ValueError(f"{path} must hold tensors alone, but holds objects that run code when read") from error
        raise ValueError(f"{path} must be {kind}, but is none, or damaged; download it again") from error
    except Exception as error:  # whatever parsers of foreign bytes raise, it tells of the file
        found = "is a TorchScript program" if "TorchScript" in str(error) else "is none, or damaged"
        advice = "export its state dictionary" if "TorchScript" in str(error) else "download it again"
        raise ValueError(f"{path} must be {kind}, but {found}; {advice}") from error


def _must_be_stored(path: Path) -> None:
    """Refuse what would take more memory than the file has bytes: torch stores its members as they are."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError("compressed")


def _is_plain(tensor: Tensor) -> bool:
    """Whether the tensor has its own finite numbers: it is not sparse, nor on torch's device without numbers, nor few
    numbers over and over."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes() and bool(tensor.isfinite().all())


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
    whole = [n for n, t in shared.items() if own[n].is_floating_point() and not t.is_floating_point()]
    if whole:
        raise ValueError(f"weights {source!r} must be floating-point, but are {shared[whole[0]].dtype} in {whole[0]}")
    module.load_state_dict(shared, strict=False)

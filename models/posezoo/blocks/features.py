"""Backbones from timm: feature maps at chosen strides, with nothing behind them that a map does not need.

timm takes seconds to import, since torchvision loads torch's compiler; models of their own trunks do without it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from posebed.config import Positive, Section
from posebed.training.state_dict import State, fill
from posezoo.blocks.pointwise import quicken_pointwise
from posezoo.blocks.weights import read_weights


class BackboneConfig(Section):
    """Of a model with a backbone from timm."""

    backbone: str = "resnet50.tv_in1k"
    """A model of timm, with or without the tag of its weights, such as ``resnet50.tv_in1k`` or
    ``vit_base_patch16_clip_quickgelu_224.openai``."""
    weights: str = "timm"
    """ImageNet weights: ``timm``, another of timm's tags, ``builtin`` (for ``tf_efficientnet_lite0``), the path of
    a file, or ``none``."""


class MapConfig(BackboneConfig):
    """Of a model that works on one map."""

    stride: Positive = 32
    """Stride of the backbone's map that is used."""


def resized_positions(state: State, trunk: Any) -> State:
    """A vision transformer's weights with the table of positions (1, N, C), of a square, for the trunk's grid of
    patches; what stands for no patch stays."""
    positions = state.get("pos_embed")
    if positions is None or positions.shape == trunk.pos_embed.shape:
        return state
    from timm.layers.pos_embed import resample_abs_pos_embed

    grid_size = trunk.patch_embed.grid_size
    others = 0 if getattr(trunk, "no_embed_class", False) else trunk.num_prefix_tokens
    return {**state, "pos_embed": resample_abs_pos_embed(positions, grid_size, num_prefix_tokens=others)}


class Features(nn.Module):
    """A timm model cut after the last map that is asked for. Its parameters keep timm's names, under ``trunk.``.

    A transformer's maps are its patch tokens as its blocks leave them; other tokens are dropped.
    """

    channels: tuple[int, ...]
    """Of each map."""
    strides: tuple[int, ...]
    """Of each map, in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of the pictures in 0..1 that the weights were trained on."""

    def __init__(
        self,
        backbone: str,
        weights: str,
        strides: Sequence[int],
        size: tuple[int, int] | None = None,
        *,
        blocks: Sequence[int] = (),
        final_norm: bool = False,
        resized: Callable[[State, Any], State] = resized_positions,
        **settings: Any,
    ) -> None:
        """
        Args:
            backbone: timm's name of a model.
            weights: as in ``weights.read_weights``.
            strides: from fine to coarse.
            size: height and width of the pictures, for backbones that are built for one size. Their tables of
                positions are resized from those of the weights.
            blocks: in the place of strides, a transformer's blocks counted from its end, the last of which is -1.
            final_norm: keep the normalisation behind the last block, and apply it to the maps.
            resized: from the weights' state dictionary and the trunk to one of the trunk's shapes.
            settings: of timm's model, such as ``drop_path_rate``.

        Raises:
            LookupError: no such backbone or weights, or a backbone without these blocks or maps at these strides.
            ValueError: weights of another architecture.
        """
        import timm
        from timm.models import get_pretrained_cfg_value

        super().__init__()
        name = _name(backbone, weights)
        if size and get_pretrained_cfg_value(name, "fixed_input_size"):
            settings["img_size"] = size
        trunk: Any = timm.create_model(name, **settings)
        complete = set(trunk.state_dict())
        info = trunk.feature_info
        self.indices = _blocks(info, blocks, backbone) if blocks else _indices(info, strides, backbone)
        self.channels = tuple(info[i]["num_chs"] for i in self.indices)
        self.strides = tuple(info[i]["reduction"] for i in self.indices)
        self.mean, self.std = trunk.pretrained_cfg["mean"], trunk.pretrained_cfg["std"]
        trunk.prune_intermediate_layers(self.indices, prune_norm=not final_norm, prune_head=True)
        state = read_weights(weights, name)
        if state is not None:
            fill(trunk, resized(state, trunk), complete, weights)
        quicken_pointwise(trunk)
        self.trunk, self.final_norm = trunk, final_norm

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised (B, 3, H, W) to one (B, C, H / stride, W / stride) per stride."""
        return self.trunk.forward_intermediates(
            image, indices=self.indices, norm=self.final_norm, intermediates_only=True
        )


def grid(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width of a map at a stride.

    Raises:
        ValueError: the crop is no whole number of cells high and wide.
    """
    if size[0] % stride or size[1] % stride:
        raise ValueError(f"height and width of the crop must be multiples of {stride}, but are {size[0]} x {size[1]}")
    return size[0] // stride, size[1] // stride


def _name(backbone: str, weights: str) -> str:
    """timm's name of the architecture, with the tag of the weights where they have one."""
    import timm

    if not timm.is_model(backbone):
        close = ", ".join(difflib.get_close_matches(backbone, timm.list_models())) or "timm.list_models()"
        raise LookupError(f"backbone must be a model of timm, but is {backbone!r}; close to it is {close}")
    if not timm.is_model(weights):
        return backbone
    if weights.partition(".")[0] != backbone.partition(".")[0]:
        raise ValueError(f"weights must be of the backbone {backbone!r}, but are {weights!r}")
    return weights


def _indices(info: Sequence[dict[str, Any]], strides: Sequence[int], backbone: str) -> list[int]:
    """Of the maps that the backbone offers, the deepest at each stride."""
    deepest = {entry["reduction"]: index for index, entry in enumerate(info)}
    if not set(strides) <= set(deepest):
        raise LookupError(
            f"stride must be one of {', '.join(map(str, deepest))}, which {backbone} has, but is "
            f"{', '.join(map(str, strides))}"
        )
    return [deepest[stride] for stride in strides]


def _blocks(info: Sequence[dict[str, Any]], blocks: Sequence[int], backbone: str) -> list[int]:
    """Blocks that count from the end as the backbone numbers them, in its order."""
    strides = {entry["reduction"]: 0 for entry in info}
    if len(strides) > 1:
        raise LookupError(
            f"block must be of a transformer whose blocks have one map each, but {backbone} has maps of the strides "
            f"{', '.join(map(str, strides))}; say stride"
        )
    if lost := [block for block in blocks if not -len(info) <= block < 0]:
        raise LookupError(f"block must be one of {-len(info)} to -1, which {backbone} has, but is {lost[0]}")
    return sorted({len(info) + block for block in blocks})

"""Prompts: keypoint names behind a template, embedded by a frozen language model, and attending to one another."""

from __future__ import annotations

import torch
from open_clip.transformer import QuickGELU, Transformer
from torch import Tensor, nn

from posebed.contracts import Setting
from posezoo.blocks.text import TextEncoder

# K keypoints, k learnt vectors, D the joint space of pictures and texts


def keypoint_names(setting: Setting) -> list[str]:
    """One name per keypoint, as words; padded keypoints have an empty one.

    Raises:
        ValueError: keypoints without names, or categories that name them differently.
    """
    return [_name(setting, index) for index in range(setting.keypoints)]


def _name(setting: Setting, index: int) -> str:
    called = {c.keypoints[index] for c in setting.categories if index < len(c.keypoints)}
    if len(called) > 1:
        raise ValueError(
            "a model that reads keypoint names must have one skeleton for all categories, but keypoint "
            f"{index} is called {', '.join(sorted(called))}"
        )
    for name in called:
        if not any(letter.isalpha() for letter in name):
            raise ValueError(
                f"a model that reads keypoint names must have names with letters, but keypoint {index} is "
                f"called {name!r}"
            )
    return " ".join("".join(called).replace("_", " ").split())


class Prompts(nn.Module):
    """The template's learnt vectors, and the frozen language model that reads names behind them.

    The language model runs once per batch where the vectors learn. Otherwise it runs once, and again after
    ``train()``, after weights were loaded and after a move to another device or type.
    """

    contexts: nn.Parameter | None

    def __init__(self, encoder: TextEncoder, learnt: int, std: float, joint: int) -> None:
        """``learnt`` vectors, drawn from a normal distribution cut at twice its ``std``; ``joint`` is D, which a
        learnt layer projects to where the language model's embeddings are of another width."""
        super().__init__()
        self.encoder = encoder
        vectors = nn.init.trunc_normal_(torch.empty(1, learnt, encoder.width), std=1, a=-2, b=2)
        self.contexts = nn.Parameter(std * vectors) if learnt else None
        self.projection = nn.Identity() if encoder.joint == joint else nn.Linear(encoder.joint, joint)
        self._kept: Tensor | None = None
        self.register_load_state_dict_post_hook(_forget)

    def forward(self) -> Tensor:
        """(K, D)"""
        if self.contexts is not None and (self.training or torch.is_grad_enabled()):
            return self.projection(self.encoder(self.contexts[0]))
        if self._kept is None:
            with torch.inference_mode(False), torch.no_grad():
                none = torch.empty(0, self.encoder.width, device=next(self.encoder.parameters()).device)
                # An element of a parameter wants gradients even here.
                self._kept = self.encoder(none if self.contexts is None else self.contexts.detach()[0])
        return self.projection(self._kept)

    def train(self, mode: bool = True) -> Prompts:
        self._kept = None
        return super().train(mode)

    def _apply(self, *args, **kwargs) -> Prompts:
        self._kept = None
        return super()._apply(*args, **kwargs)


def _forget(prompts: Prompts, incompatible_keys: object) -> None:
    prompts._kept = None


class PromptEncoder(nn.Module):
    """Lets prompts attend to one another: CLIP's residual attention blocks with 8 heads, without a mask and without
    positions, then a layer norm."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.transformer = Transformer(width, layers, heads=8, act_layer=QuickGELU)
        self.ln_final = nn.LayerNorm(width)

    def forward(self, prompts: Tensor) -> Tensor:
        """(K, D) to (K, D)."""
        return self.ln_final(self.transformer(prompts[None])[0])

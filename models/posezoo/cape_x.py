"""CapeX: GraphCape that is told what a keypoint is in words instead of by support pictures.

A frozen language model reads the description of each keypoint, which takes the place of the features that GraphCape
pools from supports. Supports are still drawn: they decide which descriptions are given.

Left open by the paper and settled here as in the released code, or otherwise where it says so:

- Descriptions are given of the keypoints that the first support shows, however many supports there are.
- A keypoint's name, with spaces for underscores, is its description. The authors wrote lists for 25 categories of
  MP-100, whose files name keypoints by numbers: give them under ``descriptions``.
- Equal descriptions get equal tokens: without a graph their keypoints are found at one place.
- The released code cuts texts after 77 tokens. Here longer ones are refused.
- Heatmaps of the loss have a sigma of one cell, GraphCape's two.
- Of the language models the multilingual BERT is left out, and of the tables that on MP-78.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from posebed.config import Share
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice
from posezoo import graph_cape
from posezoo.blocks.descriptions import READERS, Descriptions, OwnTexts, TextEncoder, texts_of
from posezoo.blocks.recipes import EPISODES
from posezoo.blocks.two_stage import LEARNING_RATES, SMALL, SPACE, Support
from posezoo.graph_cape import GraphCape

# B batch, K keypoints, D channels of what the language model says


class Config(graph_cape.Config):
    text_encoder: TextEncoder = "gte"
    """The language model: gte-base-en-v1.5 as published, CLIP's with ViT-B/32, or all-MiniLM-L6-v2, which needs no
    hub."""
    text_weights: str = "published"
    """Weights of the language model: ``published``, which for gte and CLIP come from a hub; a tag of open_clip's for
    CLIP; the path of a file for both; ``builtin`` for MiniLM, as ``published``; or ``none``."""
    tune_text: bool = False
    """Train the language model, too."""
    descriptions: OwnTexts = {}
    """Texts instead of names: of a keypoint by its name, or, by a category's key or name, of its keypoints, by their
    names or as a list in their order."""
    unit_length: bool = True
    """Divide what the language model says of a keypoint by its length."""
    description_dropout: Share = 0.0
    """Share of the descriptions that training leaves out, with their keypoints."""


class CapeX(GraphCape):
    def __init__(self, config: Config, setting: Setting) -> None:
        texts = [texts_of(category, config.descriptions) for category in setting.categories]
        reader = READERS[config.text_encoder](config.text_weights)
        super().__init__(config, setting, reader.width)
        self.codec = replace(self.codec, sigma=1.0)
        self.descriptions = Descriptions(reader, texts, setting.keypoints, config.tune_text)
        self.unit_length, self.description_dropout = config.unit_length, config.description_dropout

    def encode_support(self, batch: EpisodeBatch) -> Support:
        """What is said of the keypoints that the first support shows. No picture is looked at."""
        shown = self.shown(batch)
        _, mask = self.codec.encode(Keypoints(shown.xy[:, 0], shown.weight[:, 0]))
        if self.training and self.description_dropout:
            mask = mask * (torch.rand_like(mask) >= self.description_dropout)
        return Support(self.query_proj(self.said_of(batch.category, mask)), mask)

    def said_of(self, category: Tensor, mask: Tensor) -> Tensor:
        """What the language model says of the keypoints, (B, K, D), 0 where the mask (B, K) is."""
        said = self.descriptions(category, mask.shape[1])
        return (functional.normalize(said, dim=2) if self.unit_length else said) * mask[..., None]


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """GraphCape's names, the projection and the language model apart. Of CLIP the release holds the picture's tower,
    which nothing uses."""
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(_TEXT)}
    text = {name.removeprefix(_TEXT): tensor for name, tensor in state.items() if name.startswith(_TEXT)}
    return {
        **{_own_name(name): tensor for name, tensor in graph_cape.released(config, rest).items()},
        **{f"descriptions.reader.tower.{n}": tensor.float() for n, tensor in text.items() if not _UNUSED.match(n)},
    }


_TEXT = "text_backbone."
_UNUSED = re.compile(r"visual\.|logit_scale$|pooler\.|embeddings\.position_ids$")


def _own_name(name: str) -> str:
    return name.replace("text_proj.", "query_proj.")


def protocol(config: Config) -> Mapping[str, str]:
    """Supports give no picture, and names are given instead."""
    return {"shots": "0", "told": "keypoint names"}


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=CapeX,
    space={
        "model.graph": Choice("pre", "post", "both", "off"),
        "model.unit_length": Choice(True, False),
        "model.description_dropout": Choice(0.0, 0.15, 0.5),
        **SPACE,
        "train.lr": LEARNING_RATES,
    },
    paper=Paper(
        "CapeX: Category-Agnostic Pose Estimation from Textual Point Explanation",
        2025,
        "arXiv:2406.00384",
        name="CapeX",
    ),
    answering=("backbone", "weights", "width", "text_encoder", "text_weights"),
    train=EPISODES,
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    protocol=protocol,
    released=released,
    small={**SMALL, "map_stride": 8, "drop_path": 0.0, "text_encoder": "minilm", "text_weights": "none"},
    exceptions={
        "the_order_of_the_keypoints_does_not_matter": "a keypoint is what its name says, in whatever place a support "
        "shows it; with names in another order the points come in that order",
    },
    not_exported="reads the names of keypoints by a language model, for which such a file has no input",
)

"""CapeX of its authors. The language model is not part of the reference: what it says of a description is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from parity_adapters.case import Case, Outputs
from parity_adapters.episodes import built, episode_of
from parity_adapters.graphcape import STAGES, config_of, stages_of
from parity_adapters.two_stage import compared
from posebed.data.codecs import HeatmapCodec
from posezoo.blocks.descriptions import READERS, Reader
from posezoo.graph_cape import adjacency

UNCOVERED: set[str] = set()
LANGUAGE_MODELS = {"gte-base-en-v1.5": "gte", "CLIP ViT-B/32": "clip"}


class Drawn(Reader):
    """Says of description number n, from 1 on, what was drawn for it, and nothing of others."""

    longest = 1

    def __init__(self, said: Tensor) -> None:
        """``said`` is (descriptions, D)."""
        super().__init__()
        self.said, self.width = functional.pad(said, (0, 0, 1, 0)), said.shape[1]

    def words(self, texts: Sequence[str]) -> list[list[int]]:
        return [[int(text or 0)] for text in texts]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.said[ids[:, 0]]


def outputs(case: Case) -> Outputs:
    given, shots = case.constructor, case.spec["shots"]
    texts = [case.draw(f"text_s{shot}") for shot in range(shots)]
    # The reference averages what it is told with each support. With ours that is the same, and so the mean is told.
    said = texts[0] if shots == 1 else functional.normalize(torch.stack(texts), dim=3).mean(0)
    language_model = LANGUAGE_MODELS[given["text_encoder"]]
    config = {
        **config_of(case),
        "heatmap_weight": given["heatmap_loss_weight"],
        "text_encoder": language_model,
        "descriptions": _numbers(case.spec["batch"], case.spec["K"]),
        "unit_length": shots == 1,
    }
    with patch.dict(READERS, {language_model: lambda weights: Drawn(said.flatten(0, 1))}):
        model, released = built("cape_x", config, case)
    assert given["text_width"] == said.shape[2] == model.query_proj.in_features
    depths = [len(stage.blocks) for stage in model.backbone.trunk.layers]
    assert given["depths"] == depths, f"depths must be {depths}, but are {given['depths']}"
    model.codec = HeatmapCodec(model.size, (model.size[0] // 4, model.size[1] // 4), case.spec["sigma"], "dark")
    batch = episode_of(case)
    result, calls = compared(model, case, batch, released, STAGES)
    mask = batch.support.weight[:, 0]
    return {
        **result,
        **stages_of(calls),
        "backbone_feature(img_q)": calls["input_proj"][0][0][0],
        "mask_s": mask,
        "text_tokens": calls["query_proj"][0][0][0],
        "support_tokens(text_proj)": calls["query_proj"][0][1],
        "adjacency": adjacency(model.linked[batch.category], mask),
    }


def _numbers(categories: int, keypoints: int) -> dict[str, list[str]]:
    """As descriptions of each category, numbers from 1 on."""
    return {f"c{c}": [str(1 + c * keypoints + k) for k in range(keypoints)] for c in range(categories)}

"""Descriptions of keypoints, and the language models that read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posebed.records import Category
from posezoo.blocks.descriptions import READERS, Descriptions, MiniLMReader, TextEncoder, texts_of
from posezoo.blocks.gte import Gte, rotary_frequencies
from posezoo.cape_x import Config

NAMES = ("left_ear", "right_ear", "nose", "tail")
CATEGORY = Category("cat", "cat", NAMES)
FIRST = torch.zeros(1, dtype=torch.int64)

TEXTS: Mapping[str, tuple[dict[str, Any], list[str]]] = {
    "names": ({}, ["left ear", "right ear", "nose", "tail"]),
    "a keypoint's": ({"nose": "tip of the snout"}, ["left ear", "right ear", "tip of the snout", "tail"]),
    "a category's": ({"nose": "a", "cat": {"nose": "b"}}, ["left ear", "right ear", "b", "tail"]),
    "a list": ({"cat": ("a", "b", "c", "c")}, ["a", "b", "c", "c"]),
    "another category's": ({"dog": ("a",)}, ["left ear", "right ear", "nose", "tail"]),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_keypoint_s_description_is_the_nearest_text_there_is(case: str) -> None:
    own, expected = TEXTS[case]
    assert texts_of(CATEGORY, Config.model_validate({"descriptions": own}).descriptions) == expected


REFUSED: Mapping[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "numbers": (("0", "1"), {}, "names that say which is which, .* called '0', '1'"),
    "a number among names": (("nose", "1"), {}, "called '1'"),
    "numbered": (("kp_1", "kp_2"), {}, "called 'kp_1', 'kp_2'"),
    "empty": (("", "nose"), {}, "called ''"),
    "too few": (NAMES, {"cat": ("a",)}, "one text for each of its 4 keypoints, but are 1"),
    "unknown": (NAMES, {"cat": {"ear": "a"}}, "must be of its keypoints .*, but name ear"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_names_that_describe_nothing_and_texts_that_do_not_fit_are_refused(case: str) -> None:
    names, own, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence):
        texts_of(replace(CATEGORY, keypoints=names), own)


def test_numbered_keypoints_with_texts_are_taken() -> None:
    numbered = replace(CATEGORY, keypoints=("0", "1"))
    assert texts_of(numbered, {"cat": ("nose", "tail")}) == ["nose", "tail"]


def test_a_text_that_is_longer_than_the_language_model_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="must have at most 77 tokens, but that of 'ear ear"):
        Descriptions(READERS["clip"]("none"), [["nose", "ear " * 80]], 2, tuned=False)


@pytest.mark.parametrize("text_encoder", ["gte", "clip"])
def test_without_a_hub_its_weights_are_refused(text_encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(LookupError, match=r"must come from .*hub, but it could not be reached"):
        READERS[text_encoder]("published")


def test_texts_of_other_lengths_beside_it_change_nothing_of_a_text() -> None:
    for reader in (MiniLMReader("published").eval(), READERS["clip"]("none").eval()):
        short = Descriptions(reader, [["nose"]], 1, tuned=False)
        beside = Descriptions(reader, [["tip of the left hind paw", "nose"]], 2, tuned=False)
        torch.testing.assert_close(short(FIRST, 1)[0, 0], beside(FIRST, 2)[0, 1], rtol=1e-4, atol=1e-5)


def test_minilm_finds_texts_of_like_meaning_near_each_other() -> None:
    texts = ["left front paw", "left forefoot", "beak"]
    descriptions = Descriptions(MiniLMReader("published"), [texts], 3, tuned=False)
    said = nn.functional.normalize(descriptions(FIRST, 3)[0], dim=1)
    paw_foot, paw_beak = (said[0] @ said[1:].T).tolist()
    assert paw_foot > paw_beak + 0.1


def test_gte_is_that_of_transformers() -> None:
    """But for the frequencies of the positions, which transformers has no name for."""
    gte = pytest.importorskip("transformers.models.gte", reason="a later version of transformers has it")
    torch.manual_seed(0)
    ours = Gte(width=64, heads=4, layers=2, inner=96).eval()
    config = gte.GteConfig(
        vocab_size=30528,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        type_vocab_size=0,
        rope_parameters={"rope_type": "default", "rope_theta": 5e5},
    )
    theirs = gte.GteModel(config).eval()
    theirs.rotary_emb.inv_freq.copy_(rotary_frequencies(16))
    theirs.load_state_dict(names_of_transformers(ours.state_dict()))
    ids, mask = torch.randint(0, 30000, (3, 7)), torch.arange(7) < torch.tensor([4, 7, 7])[:, None]
    expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours(ids, mask)[mask], expected[mask], rtol=1e-4, atol=1e-5)


def names_of_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.replace("encoder.layer", "layers").replace("attention.o_proj", "self_attn.o_proj")
        name = name.replace("attn_ln", "post_attention_layernorm").replace("mlp_ln", "post_mlp_layernorm")
        if "qkv_proj" in name:
            names = [name.replace("attention.qkv_proj", f"self_attn.{part}_proj") for part in "qkv"]
        elif "up_gate_proj" in name:
            names = [name.replace("up_gate_proj", f"{part}_proj") for part in ("up", "gate")]
        else:
            names = [name]
        named |= dict(zip(names, tensor.chunk(len(names)), strict=True))
    return named


def test_positions_of_gte_turn_by_the_frequencies_of_its_scaling() -> None:
    """Worked out by hand for four channels: (500,000 x 2) ^ (-0, -1/2), both divided by 2 ^ (2/4)."""
    torch.testing.assert_close(rotary_frequencies(4), torch.tensor([1.0, 1e-3]) / 2**0.5)

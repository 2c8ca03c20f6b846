"""FMMP of its authors, whose cases state the draws of the mixup."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from parity_adapters.case import Case, Outputs, generator, in_default_precision
from parity_adapters.episodes import watched
from parity_adapters.heatmap_models import Released
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.blocks.coordinates import to_shares
from posezoo.blocks.keypoint_padding import KeypointPadding, Mode, Padding, in_order
from posezoo.fmmp import FMMP, Located

CATALOG = installed()
UNCOVERED: set[str] = set()
PADDING = {"mixup": "mixup", "eqdiv": "equal", "zero": "zero"}
LISTED = 16
"""Length of the reference's lists of neighbours, of which it uses the first."""


def outputs(case: Case) -> Outputs:
    model, released = built(case)
    batch = episode_of(case)
    return given(model, batch) | compared(model, case, batch, released)


def built(case: Case) -> tuple[FMMP, Released]:
    there, spec = case.constructor, CATALOG.model("fmmp")
    config = spec.config(
        weights="none",
        backbone=there["backbone"].partition(",")[0].lower().replace("-", ""),
        width=there["d_model"],
        heads=there["nhead"],
        points=there["npoint"],
        feed_forward=there["dim_feedforward"],
        dropout=0.0,
        layers=there["num_decoder_layers"],
        reuse_layers=there["reuse_layers"],
        references=there["side_head"],
        slots=case.spec["K"],
        padding=PADDING[case.spec["padding"]],
        test_padding=PADDING[case.spec["padding"]],
        hidden_neighbours=True,
        query_neighbours="last",
        reversed_chains=True,
    )
    categories = tuple(
        Category(
            f"c{n}", f"c{n}", tuple(f"k{k}" for k in range(c["real_keypoints"])), limbs=tuple(map(tuple, c["skeleton"]))
        )
        for n, c in enumerate(case.spec["categories"])
    )
    setting = Setting(tuple(case.spec["image_size"]), max(len(c.keypoints) for c in categories), categories)
    model = spec.model(config, setting)
    # The reference's pictures are drawn as the network sees them.
    model.normalise, model.padding = nn.Identity(), StatedDraws(case, setting)
    released = partial(spec.released, config)
    model.load_state_dict(dict(released(case.state)))
    return model.eval(), released


class SinglePadding(Padding):
    """The reference mixes points in float32, whatever the model computes in."""

    def fill(self, keypoints: Keypoints) -> Keypoints:
        filled = super().fill(Keypoints(keypoints.xy.float(), keypoints.weight))
        return Keypoints(filled.xy.to(keypoints.xy), filled.weight)


class StatedDraws(KeypointPadding):
    """A padding whose mixup takes the case's draws: the shares by slot, the links in the order of the free slots."""

    def __init__(self, case: Case, setting: Setting) -> None:
        super().__init__(setting, case.spec["K"], reverse=True)
        self.case = case

    def forward(self, category: Tensor, mode: Mode) -> Padding:
        padding = self.along(category, *self._stated(category)) if mode == "mixup" else super().forward(category, mode)
        return SinglePadding(padding.ends, padding.share.float(), padding.mixed, padding.links)

    def _stated(self, category: Tensor) -> tuple[Tensor, Tensor]:
        link, share = torch.full((len(category), self.slots), -1), torch.zeros(len(category), self.slots)
        for n, (count, limbs) in enumerate(zip(self.count.tolist(), self.limbs.tolist(), strict=True)):
            share[n] = torch.from_numpy(self._draw(f"lam{n}").random(self.slots))
            chosen = self._draw(f"sel{n}").integers(limbs, size=self.slots)
            link[n, count:] = torch.from_numpy(chosen)[: self.slots - count]
        return in_order(link, share)

    def _draw(self, name: str) -> np.random.Generator:
        return generator(f"input:{self.case.name}/{name}")


def episode_of(case: Case) -> EpisodeBatch:
    images = case.draw("imgs")
    counts = [category["real_keypoints"] for category in case.spec["categories"]]
    xy = torch.zeros(*images.shape[:2], max(counts), 2)
    weight = torch.zeros(xy.shape[:3])
    for b, count in enumerate(counts):
        for g in range(images.shape[1]):
            xy[b, g, :count] = case.draw(f"kp{b}_{g}")[:count]
            weight[b, g, :count] = in_default_precision(case.draw(f"hide{b}_{g}") >= case.spec["hide"])
    rows = torch.arange(len(images))
    support = Keypoints(xy[:, :-1], weight[:, :-1])
    return EpisodeBatch(images[:, -1], Keypoints(xy[:, -1], weight[:, -1]), rows, rows, images[:, :-1], support)


def given(model: FMMP, batch: EpisodeBatch) -> dict[str, Tensor]:
    """Points, visibility and neighbours of supports and query."""
    padding = model.padding(batch.category, model.config.test_padding)
    points = padding.fill(
        Keypoints(
            to_shares(torch.cat([batch.support.xy, batch.keypoints.xy[:, None]], 1), model.size),
            torch.cat([batch.support.weight, batch.keypoints.weight[:, None]], 1),
        )
    )
    visible = points.weight > 0
    neighbours = padding.neighbours(visible, LISTED, hidden_too=True)
    tables = torch.stack([neighbours, hops(padding.links, visible, neighbours)], 2)
    return {
        "in/points": points.xy,
        "in/visibles": points.weight,
        "in/head_ref": tables,
        "in/category_keypoint_num": model.padding.count[batch.category],
    }


def hops(links: Tensor, visible: Tensor, neighbours: Tensor) -> Tensor:
    """How many links away each listed keypoint is, 0 where it only fills the list."""
    ways = in_default_precision(links.isfinite()[:, None] & visible[..., None])
    reach = torch.eye(links.shape[1]).expand_as(ways)
    distance = 1 - reach
    for _ in range(LISTED):
        reach = in_default_precision((reach + reach @ ways) > 0)
        distance = distance + (1 - reach)
    return distance.gather(3, neighbours)


def compared(model: FMMP, case: Case, batch: EpisodeBatch, released: Released) -> dict[str, Tensor]:
    """Inner outputs, points, losses and gradients, of one pass over the pictures."""
    layers = range(model.config.layers)
    names = {
        **{f"backbone.trunk.layer{n}": f"backbone.layer{n}" for n in (2, 3, 4)},
        **{f"pyramid.laterals.{n}": f"lateral{n}" for n in range(len(model.pyramid.laterals))},
        **{f"support_miners.{n}": f"support_layer{n}(last shot)" for n in layers},
        **{f"query_miners.{n}": f"query_layer{n}" for n in layers},
        "support_miners.0.deform_attn": "support_layer0.deform_attn(shot 0)",
        "query_miners.0.deform_attn": "query_layer0.deform_attn",
    }
    predictions: list[Located] = []
    calls = watched(model, list(names), lambda: predictions.append(model(batch)))
    shots, episodes = {"(last shot)": -1, "(shot 0)": 0}, batch.support.weight.shape[:2]
    result = {ours: calls[name][0][1] for name, ours in names.items()}
    for name, tensor in result.items():
        if name.startswith("lateral"):
            tensor = tensor.permute(0, 3, 1, 2)
        if name.startswith(("lateral", "backbone")):
            # Here all supports stand before all queries, there each sample's pictures stand together.
            supports = tensor[: -len(batch)].unflatten(0, episodes)
            result[name] = torch.cat([supports, tensor[-len(batch) :, None]], 1).flatten(0, 1)
        for place, shot in shots.items():
            if name.endswith(place):
                result[name] = tensor.unflatten(0, episodes)[:, shot]
    return {
        **result,
        "coords_per_layer": predictions[0].points,
        **trained(model, case, batch, released, predictions[0]),
    }


def trained(model: FMMP, case: Case, batch: EpisodeBatch, released: Released, prediction: Located) -> dict[str, Tensor]:
    losses = model.losses(prediction, batch)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    return {
        "train/l1_loss_real": losses["location"].detach(),
        "train/l1_loss_mix": losses["mixup"].detach(),
        "train/total": total.detach(),
        **gradients(case, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, released),
    }


def gradients(case: Case, own: Mapping[str, Tensor], released: Released) -> dict[str, Tensor]:
    """By the reference's names. What are several tensors there and one here is told apart by marking the one asked for
    before the mapping."""
    result = {"train/grad_norm_all": torch.stack([g.double().norm() for g in own.values()]).norm()}
    for key in (k for k in case.spec["outputs"] if k.startswith("train/grad/")):
        name = key.removeprefix("train/grad/")
        marked = released({n: torch.full_like(t, n == name, dtype=torch.bool) for n, t in case.state.items()})
        place = next(p for p, mark in marked.items() if mark.any())
        result[key] = own[place][marked[place]].view_as(case.state[name])
    return result

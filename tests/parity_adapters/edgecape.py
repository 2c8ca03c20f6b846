"""EdgeCape of its authors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from parity_adapters.case import Case, Functions, Outputs, must_be_known, weight
from parity_adapters.episodes import built, episode_of
from parity_adapters.heatmap_models import Released
from parity_adapters.two_stage import evaluated, trained
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.blocks.edges import EdgeWeights, StructuralAttention, similarity, walks
from posezoo.blocks.graph import gathered, given_links, linked_pairs, with_loops
from posezoo.blocks.patch_tokens import resized
from posezoo.edge_cape import Config, EdgeCape, Reconstructed, kept_keypoints, released

UNCOVERED: set[str] = set()


def outputs(case: Case) -> Outputs:
    model, released = built("edge_cape", config_of(case), case)
    batch = episode_of(case)
    depth, layers = len(model.backbone.trunk.blocks), len(model.decoder.layers)
    blocks = {f"backbone.block{i}(img_q)": f"backbone.trunk.blocks.{i}" for i in range(depth)}
    biases = {f"markov_bias_layer{i}": f"decoder.layers.{i}.self_attn.structural" for i in range(layers)}
    predictor = ["edge_predictor.layers.0", "edge_predictor.weights"] if model.edge_predictor else []
    used = list(biases.values()) if model.config.uses_bias else []
    result, calls, _ = evaluated(model, batch, [*blocks.values(), *used, *predictor])
    result |= {name: calls[place][-1][1] for name, place in blocks.items()}
    result |= {name: calls[place][0][1] for name, place in biases.items() if place in used}
    result["backbone_feature(img_q)"] = calls["input_proj"][0][0][0]
    result["backbone.position_code"] = resized(model.backbone.trunk.pos_embed, model.grid)
    return result | _edges(model, batch, calls, case) | _training(model, case, batch, released)


def config_of(case: Case) -> dict[str, Any]:
    """Our settings; those of the reference that we have not are refused by name."""
    given = dict(case.constructor)
    size = {"ViT-S/14": "small", "ViT-B/14": "base", "ViT-L/14": "large"}[given.pop("backbone").removeprefix("DINOv2 ")]
    edges, bias, masked = (given.pop(name) for name in ("learn_skeleton", "markov_bias", "masked_supervision"))
    frozen, weight, share = given.pop("frozen"), given.pop("skeleton_loss_weight"), case.spec.get("mask_ratio")
    assert frozen in (None, "skeleton"), f"frozen must be skeleton or null, but is {frozen}"
    own = {
        "d_model": "width",
        "nhead": "heads",
        "encoder_layers": "encoder_layers",
        "decoder_layers": "decoder_layers",
        "dim_feedforward": "feed_forward",
        "similarity_proj_dim": "similarity_channels",
        "dynamic_proj_dim": "weighting_channels",
        "skeleton_layers": "edge_layers",
        "skeleton_dim_feedforward": "edge_feed_forward",
        "max_hops": "hops",
    }
    heatmap_weight = given.pop("heatmap_loss_weight") or 0.0
    must_be_known(given, own)
    return {
        "backbone": f"vit_{size}_patch14_dinov2",
        "heatmap_weight": heatmap_weight,
        "stage": "bias" if frozen else "joint" if edges or bias or masked else "base",
        "predicted_edges": edges,
        "structural_bias": bias,
        "edge_slots": case.spec["K"],
        "reconstruction_weight": weight if masked and share is not None else 0.0,
        "mask_share": share or 0.0,
        **{own[name]: value for name, value in given.items()},
    }


def _edges(model: EdgeCape, batch: EpisodeBatch, calls: Any, case: Case) -> dict[str, Tensor]:
    support = model.encode_support(batch)
    links = with_loops(support.edges, support.mask)
    result = {"adjacency": links, "markov_powers": walks(links[:, 1], model.config.hops)}
    if model.edge_predictor:
        shots = batch.support.weight.shape[:2]
        keypoints, cells = (part.unflatten(0, shots)[:, 0] for part in calls["edge_predictor.layers.0"][0][1])
        (tokens, _, _), weights = calls["edge_predictor.weights"][0]
        result |= {
            "skeleton.image_tokens_layer0(img_s0)": cells.transpose(0, 1),
            # Behind the keypoints stands one for all padding.
            "skeleton.keypoint_tokens_layer0(img_s0)": keypoints[:, : case.spec["K"]].transpose(0, 1),
            "skeleton.tokens": tokens,
            "skeleton.similarity": similarity(tokens),
            "skeleton.weights": weights,
        }
    return result


def _training(model: EdgeCape, case: Case, batch: EpisodeBatch, released: Released) -> dict[str, Tensor]:
    """Losses and gradients of a training's pass, in which nothing but the masked keypoints is drawn."""
    model.train()
    result: dict[str, Tensor] = {}
    if model.config.reconstructs:
        draws = case.draw("mask")
        model.mask_draws = lambda like: draws
        result["train/keep_mask"] = kept_keypoints(batch.support.weight.prod(1), draws, model.config.mask_share)
    prediction = model(batch)
    result |= trained(model, case, batch, released, prediction)
    if isinstance(prediction, Reconstructed):
        result["train/reconstructed_keypoints"] = prediction.reconstructed.detach()
    with_gradient = sum(name.startswith("train/grad/") for name in result)
    assert with_gradient == case.spec.get("parameters_with_gradient", with_gradient)
    return result


def functions(functions: Functions) -> Outputs:
    spec = functions.spec
    mask = (functions.draw("f0/mask") >= 0.25).to(torch.get_default_dtype())
    given = _given(spec["given_adjacency"], mask)
    weights, result = _weights(functions, given, mask)
    edges = with_loops(weights, mask)
    sequence = (0.7 * functions.draw("f0/sequence")).transpose(0, 1)
    result |= _attention(functions, sequence, mask, walks(edges[:, 1], spec["edge_weights"]["hops"]))
    layer = spec["graph_layer"]
    state = {name: weight(name, shape).to(sequence.dtype) for name, shape, _ in layer["state_dict"]}
    parts = torch.nn.functional.linear(sequence, state["conv.weight"][..., 0], state["conv.bias"])
    for name, links in (("given", with_loops(given, mask)), ("predicted", edges)):
        result[f"graph_layer/{name}"] = gathered(parts, links.transpose(2, 3)).relu().transpose(0, 1)
    for rows, columns in spec["position_code"]["grids_rows_columns"]:
        result[f"position_code/{rows}x{columns}"] = resized(functions.draw("f0/pos"), (rows, columns))
    for size in spec["target_maps"]["sizes"]:
        codec = HeatmapCodec((size, size), (64, 64), spec["target_maps"]["sigma"])
        shown = (functions.draw(f"f0/v{size}") >= 0.2).to(torch.get_default_dtype())
        target, kept = codec.encode(Keypoints(functions.draw(f"f0/kp{size}")[None], shown[None]))
        result |= {f"target_maps/target_{size}": target[0], f"target_maps/weight_{size}": kept[0, :, None]}
    adjacency = {"given_adjacency/hidden": 1 - mask, "given_adjacency/adjacency": with_loops(given, mask)}
    return {name: value.detach() for name, value in (result | adjacency).items()}


def _given(about: Any, mask: Tensor) -> Tensor:
    count = about["K"]
    names = tuple(map(str, range(count)))
    categories = tuple(Category("c", "c", names, limbs=tuple(map(tuple, links))) for links in about["edges"])
    return given_links(linked_pairs(Setting((224, 224), count, categories)), mask)


def _weights(functions: Functions, given: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    about = functions.spec["edge_weights"]
    tokens = (0.5 * functions.draw("f0/tokens") + 0.6 * functions.draw("f0/common")).requires_grad_()
    module = EdgeWeights("zero")
    module.scale.data.fill_(about["scale"])
    module.offset.data.fill_(about["offset"])
    weights = module(tokens, given, mask)
    adjacency = with_loops(weights, mask)
    powers = walks(adjacency[:, 1], about["hops"])
    total = (powers * functions.draw("f0/probe")).sum() + weights.square().sum()
    scale, offset, of_tokens = torch.autograd.grad(total, [module.scale, module.offset, tokens])
    return weights.detach(), {
        "edge_weights/weights": weights,
        "edge_weights/adjacency": adjacency,
        "edge_weights/powers": powers,
        "edge_weights/grad_scale": scale[None, None, None],
        "edge_weights/grad_offset": offset,
        "edge_weights/grad_tokens": of_tokens,
    }


def _attention(functions: Functions, sequence: Tensor, mask: Tensor, powers: Tensor) -> dict[str, Tensor]:
    about = functions.spec["biased_attention"]
    given = about["constructor"]
    attention = StructuralAttention(given["width"], given["heads"], 0.0, given["hops"])
    place = "decoder.layers.0.self_attn."
    state = {f"transformer.{place}{name}": weight(name, shape) for name, shape, _ in about["state_dict"]}
    attention.load_state_dict({n.removeprefix(place): t for n, t in released(Config(), state).items()})
    assert attention.structural is not None
    x, powers = sequence.detach().requires_grad_(), powers.detach().requires_grad_()
    output = attention(x, mask == 0, powers).transpose(0, 1)
    first, second = attention.structural[0].weight, attention.structural[2].weight
    of = torch.autograd.grad((output * functions.draw("f0/probe2")).sum(), [powers, first, second, x])
    names = ("grad_powers", "grad_first_weight", "grad_second_weight", "grad_sequence")
    gradients = dict(zip(names, (*of[:3], of[3].transpose(0, 1)), strict=True))
    bias = attention.structural(powers.permute(1, 2, 3, 0))
    return {f"biased_attention/{name}": value for name, value in {"bias": bias, "output": output, **gradients}.items()}

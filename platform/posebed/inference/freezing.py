"""A model frozen for answers: batch norm is folded into the convolutions before it, and weights lie as kernels read
them. The numbers stay, but for rounding.

Which batch norm follows which convolution is seen in a pass, operation by operation, so that it holds for any model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from posebed.contracts import RoundLearner
from posebed.inference.packed_layers import packed, renewed
from posebed.pose import Batch, tensors_of
from posebed.training.pose_module import PoseModule

BATCH_NORMS = ("aten::native_batch_norm", "aten::cudnn_batch_norm", "aten::miopen_batch_norm")
"""Operations that begin with input, weight, bias, running mean, running variance and whether they train."""
PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d)
CLOSE = 1e-3
"""Largest difference, as a share of the largest number, between a pair and what it was folded into. It is to find
layers that do more than their class says; rounding differs by far less."""

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def frozen(model: PoseModule, batch: Batch) -> PoseModule:
    """A model for answers, which shares with ``model`` all weights but those that are folded, and is never saved.

    ``model``, in eval mode, stays as it is. It is returned itself where it learns in evaluation.

    Args:
        batch: of the model's setting, for the pass in which it is seen what follows what.
    """
    if isinstance(model, RoundLearner):
        return model
    try:
        with _NoGradients(), _Observation() as seen:
            prediction = model(batch)
            seen.keep(prediction)
            model.decode(prediction, batch)
    except _Learns:
        return model
    replaced: dict[nn.Module, nn.Module] = {}
    norms = seen.norms_behind(model)
    for layer in _by_tensor(model, (nn.Linear, _ConvNd), "weight").values():
        for was, becomes in _choices(layer, norms.get(layer)):
            if _plain(was) or _equal(nn.Sequential(*was), nn.Sequential(*becomes), layer):
                replaced |= zip(was, becomes, strict=True)
                break
    return cast(PoseModule, _rebuilt(model, replaced))


def _choices(layer: nn.Module, norm: _BatchNorm | None) -> Iterator[tuple[list[nn.Module], list[nn.Module]]]:
    """Modules that follow one another and what may stand for them, the best first."""
    if norm is not None and isinstance(layer, _ConvNd):
        # What a subclass does behind the normalisation, such as timm's with its activation, are its children.
        rest = nn.Sequential(*(child for child in norm.children() if not isinstance(child, nn.Identity))).eval()
        joined = _joined(layer, norm)
        yield [layer, norm], [packed(joined), rest]
        yield [layer, norm], [joined, rest]
    yield [layer], [packed(layer)]


def _plain(layers: Sequence[nn.Module]) -> bool:
    """Whether all are torch's own, which do what their classes say."""
    return all(type(layer) in PLAIN for layer in layers)


class _Learns(Exception):
    """The model wants gradients, as one does that fits weights to supports."""


class _NoGradients(TorchFunctionMode):
    """Raises ``_Learns`` at the first function that is called with gradients on."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if torch.is_grad_enabled():
            raise _Learns
        return func(*args, **(kwargs or {}))


class _Observation(TorchDispatchMode):
    """Notes what becomes of every convolution's output, and where every batch norm's input comes from. Only operations
    that a layer's own ``forward`` calls count as the layer's: others may take its weight and leave its bias."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._weight_of: Any = WeakTensorKeyDictionary()
        self._uses: dict[int, list[int]] = defaultdict(list)
        """Of the outputs by the weight's id: the running mean's id of a batch norm, or 0 for anything else."""
        self._calls: dict[int, int] = defaultdict(int)
        """By the weight's id."""
        self._inputs: dict[int, list[int]] = defaultdict(list)
        """By the running mean's id the weight's, or 0 where the input is no convolution's output."""
        self._callers: dict[int, set[int]] = defaultdict(set)
        """By the id of the weight or running mean, those of the modules in whose ``forward`` it was used."""
        self._running: list[int] = []
        """Ids of the modules whose ``forward`` is under way, the innermost last."""
        self._hooks = ExitStack()

    def __enter__(self) -> _Observation:
        self._hooks.callback(register_module_forward_pre_hook(self._begun).remove)
        self._hooks.callback(register_module_forward_hook(self._ended, always_call=True).remove)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.close()
        super().__exit__(*error)  # pyright: ignore[reportUnknownMemberType]

    def _begun(self, module: nn.Module, inputs: Any) -> None:
        self._running.append(id(module))

    def _ended(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._running.pop()

    def keep(self, prediction: object) -> None:
        """What is in the prediction was used, by whoever reads it."""
        for tensor in tensors_of(prediction):
            if tensor in self._weight_of:
                self._uses[self._weight_of[tensor]].append(0)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name  # torch offers no other way to tell operations apart
        evaluates = name in BATCH_NORMS and args[3] is not None and not args[5]
        if evaluates:
            self._inputs[id(args[3])].append(self._weight_of.get(args[0], 0))
            self._callers[id(args[3])].add(self._running[-1] if self._running else 0)
        for used in tree_leaves((args, kwargs)):
            if isinstance(used, Tensor) and used in self._weight_of:
                normalised = evaluates and used is args[0]
                self._uses[self._weight_of[used]].append(id(args[3]) if normalised else 0)
        result = func(*args, **(kwargs or {}))
        if name == "aten::convolution":
            self._weight_of[result] = id(args[1])
            self._calls[id(args[1])] += 1
            self._callers[id(args[1])].add(self._running[-1] if self._running else 0)
        return result

    def norms_behind(self, model: nn.Module) -> dict[nn.Module, _BatchNorm]:
        """Of convolutions whose outputs went to one batch norm alone, which got nothing else."""
        convolutions, norms = _by_tensor(model, _ConvNd, "weight"), _by_tensor(model, _BatchNorm, "running_mean")
        behind: dict[nn.Module, _BatchNorm] = {}
        for weight, conv in convolutions.items():
            uses = self._uses[weight]
            alone = uses == uses[:1] * self._calls[weight] and bool(uses)
            if alone and uses[0] in norms and set(self._inputs[uses[0]]) == {weight}:
                norm = norms[uses[0]]
                if self._callers[weight] == {id(conv)} and self._callers[uses[0]] == {id(norm)}:
                    behind[conv] = norm
        return behind


def _by_tensor(model: nn.Module, kind: type[Module] | tuple[type[Module], ...], name: str) -> dict[int, Module]:
    """Modules by the ids of a tensor of theirs that no other module has. Those with hooks are left out: hooks would see
    other numbers."""
    owners: dict[int, list[Module]] = defaultdict(list)
    for part in model.modules():
        inner = vars(part)
        if isinstance(part, kind) and not (inner["_forward_hooks"] or inner["_forward_pre_hooks"]):
            owners[id((inner["_parameters"] | inner["_buffers"]).get(name))].append(
                part
            )  # computed ones are in neither
    return {of: parts[0] for of, parts in owners.items() if of != id(None) and len(parts) == 1}


def _joined(conv: _ConvNd, norm: _BatchNorm) -> _ConvNd:
    """The convolution with a batch norm in its weights."""
    mean, variance = (cast(Tensor, buffer).double() for buffer in (norm.running_mean, norm.running_var))
    scale, shift = (variance + norm.eps).rsqrt(), torch.zeros_like(mean)
    if norm.affine:
        scale, shift = scale * norm.weight, norm.bias.double()
    bias = shift + (mean.neg() if conv.bias is None else conv.bias - mean) * scale
    factor = scale.to(conv.weight.dtype)
    if isinstance(conv, _ConvTransposeNd):  # whose weight is (in, out per group, ...)
        factor = factor.view(conv.groups, 1, -1).expand(-1, conv.in_channels // conv.groups, -1).flatten(0, 1)
    weight = conv.weight * factor.view(*factor.shape, *(1,) * (conv.weight.dim() - factor.dim()))
    tensors = {
        "weight": nn.Parameter(torch.empty_like(conv.weight).copy_(weight), requires_grad=False),
        "bias": nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False),
    }
    return cast(_ConvNd, renewed(conv, type(conv), _parameters=tensors))


def _equal(one: nn.Module, other: nn.Module, layer: Any) -> bool:
    """Whether both give the same for a small random input of the layer's."""
    shape = [2, layer.in_features] if isinstance(layer, nn.Linear) else [1, layer.in_channels]
    if isinstance(layer, _ConvNd):
        shape += [2 * d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(layer.weight)
    a, b = one(x), other(x)
    return a.shape == b.shape and bool((a - b).abs().max() <= CLOSE * a.abs().max())


def _rebuilt(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    """A copy of the modules, but not of their tensors, in which those in ``made`` stand for their originals."""
    if module not in made:
        inner = vars(module)
        children = {name: child and _rebuilt(child, made) for name, child in inner["_modules"].items()}
        tensors = {name: dict(inner[name]) for name in ("_parameters", "_buffers")}
        made[module] = renewed(module, type(module), _modules=children, **tensors)
    return made[module]

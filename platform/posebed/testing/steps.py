"""A model's training step and answer, as a compiler and an accelerator see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._dynamo import lookup_backend
from torch._dynamo.exc import TorchDynamoException
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.func import functional_call
from torch.fx import GraphModule
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils._python_dispatch import TorchDispatchMode

from posebed.contracts import SupportEncoder
from posebed.pose import Batch, Keypoints
from posebed.training.training_step import TrainingStep


class Answer(nn.Module):
    """The pose in evaluation; of a model that encodes supports by themselves, on that way."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()
        self.encodes = isinstance(model, SupportEncoder)

    def forward(self, batch: Any) -> Keypoints:
        if self.encodes:
            return self.model.decode(self.model.locate(batch, self.model.encode_support(batch)), batch)
        return self.model.decode(self.model(batch), batch)


def compiled(module: nn.Module, backend: Literal["eager", "aot_eager"] = "eager") -> Callable[[Batch], Any]:
    """The module as one graph of fixed shapes, of torch's own operations: ``aot_eager`` with a graph of the gradients,
    which takes three times as long. Neither needs a C++ compiler.

    Raises (when called):
        AssertionError: there is no such graph.
    """
    torch.compiler.reset()
    compiler = lookup_backend(backend)

    def of_fixed_shapes(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        for node in graph.graph.nodes:
            if free_unbacked_symbols(node.meta.get("example_value")):
                raise AssertionError(f"a shape or number depends on data: {node.format_node()} {node.stack_trace}")
        return compiler(graph, inputs)

    graph = torch.compile(module, fullgraph=True, dynamic=False, backend=of_fixed_shapes)

    def run(batch: Batch) -> Any:
        try:
            return graph(batch)
        except (TorchDynamoException, RuntimeError) as error:
            raise AssertionError(f"there must be one graph of fixed shapes, but {error}") from error

    return run


def on_stand_in(module: nn.Module, batch: Batch) -> Any:
    """What a module makes of a batch on a CUDA device of which there are but shapes and types: no numbers, so that none
    can be waited for.

    Raises:
        AssertionError: the host asks for numbers of the device, or brings it some.
        NotImplementedError: the module computes gradients, for which torch wants a real device.
    """
    with FakeTensorMode(), _OneDevice():
        state = {n: _stand_in(t) for n, t in (*module.named_parameters(), *module.named_buffers())}
        try:
            return functional_call(module, state, (_stand_in(batch),))
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise AssertionError(_UNSEEN.format(error.func)) from error
        except RuntimeError as error:  # a tensor of another device, or one without numbers
            if "hasPrimaryContext" in str(error):
                raise NotImplementedError("gradients need a real device") from error
            raise AssertionError(f"a step must stay on the device, but {error}") from error


def _stand_in(thing: Any) -> Any:
    if isinstance(thing, Tensor):
        twin = torch.empty_strided(thing.shape, thing.stride(), dtype=thing.dtype, device="cuda")
        return twin.requires_grad_(thing.requires_grad)
    return thing and type(thing)(**{f.name: _stand_in(getattr(thing, f.name)) for f in fields(thing)})


class _OneDevice(TorchDispatchMode):
    """Refuses copies between the host and a device, which wait for each other."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _WITHOUT_SHAPES:
            return torch.empty_like(args[0])
        result = func(*args, **(kwargs or {}))
        if func in _COPIES and result.device != args[_COPIES[func]].device:
            raise AssertionError("numbers must be made on the device, but some are copied to it or from it")
        return result


_COPIES = {torch.ops.aten._to_copy.default: 0, torch.ops.aten.copy_.default: 1}
"""Operations to the place of what they copy."""
_WITHOUT_SHAPES = {torch.ops.aten._sample_dirichlet.default, torch.ops.aten._standard_gamma.default}
"""Operations whose result is like their first argument, which torch only knows by computing it."""


def on_accelerator(module: nn.Module, batch: Batch) -> None:
    """Run a step, with its backward pass, or an answer on the GPU, where torch refuses to wait.

    Raises:
        AssertionError: the host waits for the device.
    """
    module, batch = module.cuda(), batch.to("cuda")
    run_whole(module, batch)  # libraries set themselves up
    torch.cuda.set_sync_debug_mode("error")
    try:
        run_whole(module, batch)
    except RuntimeError as error:
        raise AssertionError(f"the host must not wait for the device, but {error}") from error
    finally:
        torch.cuda.set_sync_debug_mode("default")


def run_whole(module: nn.Module, batch: Batch) -> None:
    result = module(batch)
    if isinstance(module, TrainingStep):
        sum(result[1].values(), torch.zeros(())).backward()


class Unseen(TorchDispatchMode):
    """Refuses the operations whose result the host looks at, on a CPU where there are numbers to look at."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        looks = _LOOKING & {*func.tags} and func is not _INDEX
        masks = func is _INDEX and any(index is not None and index.dtype == torch.bool for index in args[1])
        if looks or masks:
            raise AssertionError(_UNSEEN.format(func))
        return func(*args, **(kwargs or {}))


_INDEX = torch.ops.aten.index.Tensor
_LOOKING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_UNSEEN = "the host must not ask for what the device has computed, as {} does"

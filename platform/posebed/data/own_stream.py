"""Batches of an accelerator are sent and augmented on a stream of their own, beside the kernels of the training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
from torch.cuda import Event

from posebed.pose import tensors_of

BatchT = TypeVar("BatchT")


class OwnStream(Generic[BatchT]):
    """Makes things in one thread, and hands them to the current stream of another. On a CPU it does no more than that:
    there are no streams.

    Pixels are sent from pinned memory, whose blocks torch uses again once a copy out of them is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def make(self, things: Iterator[BatchT]) -> tuple[BatchT | None, Event | None]:
        """The next thing, if there is one, and what says when its kernels are done."""
        if self._stream is None:
            return next(things, None), None
        with torch.cuda.stream(self._stream):
            thing, done = next(things, None), Event()
        done.record(self._stream)
        return thing, done

    def take(self, made: tuple[BatchT | None, Event | None]) -> BatchT | None:
        """The thing, for kernels that are started from now on in this thread."""
        thing, done = made
        if self._stream is not None and done is not None:
            current = torch.cuda.current_stream(self._stream.device)
            current.wait_event(done)
            for tensor in tensors_of(thing):
                tensor.record_stream(current)  # its memory is not given to the next batch before these are done
        return thing

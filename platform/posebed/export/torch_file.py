"""Programs of torch as ``.pt2`` files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from posebed.export.description import Description
from posebed.export.programs import Program
from posebed.files import write_bytes

DESCRIPTION = "posebed.json"
"""The description within the file, one of its extra files."""


def write_torch(program: Program, about: Description, path: Path) -> None:
    """Write a file that ``torch.export.load`` reads."""
    for node in program.exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # places in source files
    program.exported.example_inputs = None
    written = io.BytesIO()  # torch's own writer of files aborts the process where the disk is full
    torch.export.save(program.exported, written, extra_files={DESCRIPTION: json.dumps(about, allow_nan=False)})
    write_bytes(written.getvalue(), path)


class TorchFile:
    """What ``write_torch`` just wrote: torch loads programs by pickle's rules, so not for files from elsewhere."""

    def __init__(self, path: Path) -> None:
        found = {DESCRIPTION: ""}
        self._module = torch.export.load(path, extra_files=found).module()
        self.about = json.loads(found[DESCRIPTION])
        self.inputs, self.outputs = tuple(self.about["inputs"]), tuple(self.about["outputs"])

    @torch.no_grad()
    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Its outputs, from arrays among which are its inputs."""
        found = self._module(*(torch.as_tensor(given[name]) for name in self.inputs))
        return {name: of.numpy() for name, of in zip(self.outputs, found, strict=True)}

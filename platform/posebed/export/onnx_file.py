"""Programs of torch as ONNX files, and such files run by onnxruntime."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from posebed.export.description import KEY, Description, parsed
from posebed.export.programs import Program

LARGEST = 2**31
"""Bytes of an ONNX file that is one file."""


def require(*names: str) -> Any:
    """Import optional dependencies; the last of them."""
    module: Any = None
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f"ONNX files need {name}, which is not installed: pip install posebed[export]") from error
    return module


def write_onnx(program: Program, about: Description, path: Path) -> None:
    """Write one file.

    Raises:
        ValueError: an operation of the model has no form in ONNX, or the weights are too large for one file.
    """
    import torch

    weights = sum(t.numel() * t.element_size() for t in program.exported.state_dict.values())
    if weights >= LARGEST:
        raise ValueError(
            f"an ONNX file must have weights below 2 GiB, but these have {weights / 2**30:.1f}; --to torch"
        )
    with _quiet():
        try:
            # onnxscript's optimizer takes an addition of 1e-8 for one of 0; onnxruntime optimises what it loads.
            written = torch.onnx.export(
                program.exported,
                dynamo=True,
                verbose=False,
                input_names=list(program.inputs),
                output_names=list(program.outputs),
                optimize=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise ValueError(f"{about['model']} must have a form in ONNX, but has none: {reason[:300]}") from error
    assert written is not None
    _name_axes(written.model.graph.inputs, program)
    _forget_places(written.model.graph)
    written.model.metadata_props[KEY] = json.dumps(about, allow_nan=False)
    written.save(path, external_data=False)


def _name_axes(inputs: Any, program: Program) -> None:  # of onnx_ir, which has the exporter's types
    for value in inputs:
        for place, axis in program.axes[value.name].items():
            value.shape[place] = axis


def _forget_places(graph: Any) -> None:
    """Remove the places in source files that the exporter notes with every node."""
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()


class OnnxFile:
    """An ONNX file, run on the processor."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ValueError: onnxruntime is not installed, or the file is none that ``write_onnx`` wrote.
        """
        onnxruntime = require("onnxruntime")
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if not path.is_file():
            raise ValueError(f"{path} must be an ONNX file, but there is none")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no base of their own
            raise ValueError(f"{path} must be an ONNX file, but onnxruntime cannot read it") from error
        self.about = parsed(self._session.get_modelmeta().custom_metadata_map.get(KEY), path)
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Its outputs, from arrays among which are its inputs."""
        found = self._session.run(None, {name: given[name] for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own progress."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

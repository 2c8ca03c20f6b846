"""posebed: a benchmark and hyper-parameter search for pose-estimation models.

What users need in Python is named here and loaded when it is first used: ``Project``, ``load_model``, ``compare``. The
rest of this package is the engine, which imports no model.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from posebed.limits import MOST_PIXELS

# OpenCV reads it once, when it is imported: its decoders of all formats then refuse larger pictures by their headers.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))

__version__ = "0.1.0"

_PLACES = {
    "Project": "posestages.interface",
    "Run": "posestages.interface",
    "compare": "posestages.interface",
    "Model": "posestages.model",
    "load_model": "posestages.model",
    "Poses": "posebed.inference.poses",
}
"""By name and not by import: whoever imports one module of the engine must not depend on all of these."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]

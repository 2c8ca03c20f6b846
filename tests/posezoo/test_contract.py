"""Every model of the zoo keeps to the contract; a new module is collected by itself."""

from __future__ import annotations

from posebed.catalog import installed
from posebed.testing import ModelSuite


class TestZoo(ModelSuite):
    models = sorted(name for name, entry in installed().models.items() if entry.module.startswith("posezoo."))

"""Published results as runs, by name: one module per paper whose tables they stand in."""

from __future__ import annotations

from collections.abc import Mapping

from posebed.contracts import Preset
from posezoo.presets import kitpose, prompt_pose

PRESETS: Mapping[str, Preset] = {**prompt_pose.PRESETS, **kitpose.PRESETS}

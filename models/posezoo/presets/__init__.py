"""Published results as runs, by name: one module per paper, or dataset, whose tables they stand in."""

from __future__ import annotations

from collections.abc import Mapping

from posebed.contracts import Preset
from posezoo.presets import ablations, kitpose, mp100, mp100_ablations, prompt_pose

PRESETS: Mapping[str, Preset] = {
    **prompt_pose.PRESETS,
    **kitpose.PRESETS,
    **mp100.PRESETS,
    **mp100_ablations.PRESETS,
    **ablations.PRESETS,
}

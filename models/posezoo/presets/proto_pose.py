"""ProtoPose on MP-100's five splits, with one and five shots, as its README gives them.

Numbers are averaged over keypoint indices (``PCK@0.2 by index``), over 200 test episodes of its own, which are not the
official ones; here they are drawn with the split's seed. What else differs stands in the model's file. A batch has 60
pictures in 30 or 10 episodes. Its four numbers across super-categories, with ``frozen: 9`` and other schedules, have no
presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from posebed.contracts import Preset, PresetSpec
from posezoo.presets._sources import mp100

PLACE = "ProtoPose README"
METRICS = (*(f"PCK@{t} by index" for t in (0.05, 0.1, 0.15, 0.2)), "mPCK@.05-.20 by index")
ROWS: Mapping[int, tuple[tuple[float, ...], ...]] = {
    1: (
        (57.59, 84.38, 91.76, 94.94, 82.17),
        (57.13, 82.58, 89.97, 93.56, 80.81),
        (59.34, 82.55, 88.72, 91.82, 80.61),
        (47.72, 83.92, 92.47, 95.07, 79.79),
        (61.39, 85.85, 91.55, 94.19, 83.25),
    ),
    5: (
        (63.21, 88.82, 94.7, 97.0, 85.93),
        (62.45, 86.65, 92.77, 95.48, 84.34),
        (66.77, 87.97, 92.35, 94.6, 85.42),
        (53.35, 89.24, 95.76, 97.4, 83.93),
        (68.23, 90.37, 94.51, 96.31, 87.35),
    ),
}
"""By shots, of splits 1 to 5: the values of ``METRICS``."""
CONFIG = {"backbone": "vit_base_patch14_dinov2.lvd142m", "weights": "timm", "flip_test": "plain", "prompts": "named"}
TOLD = "keypoint names, trained on the supports of all test categories"


def _preset(split: int, shots: int) -> Preset:
    source = mp100(split, shots)
    episodes = {"shots": shots, "episodes": 200, "val_episodes": 100}
    claims = source.claims(f"ProtoPose, ViT-B, {shots}-shot", ROWS[shots][split - 1], PLACE, METRICS)
    preset = replace(source, split={"by": "official", "episodes": episodes}).preset(
        "proto_pose", CONFIG, {"batch_size": 60 // (1 + shots)}, claims, convention="udp"
    )
    return replace(preset, protocol={"told": TOLD})


PRESETS: Mapping[str, Preset] = {
    f"proto-pose-b-mp100-split{split}-{shots}shot": _preset(split, shots) for shots in ROWS for split in range(1, 6)
}

SPEC = PresetSpec(presets=PRESETS)

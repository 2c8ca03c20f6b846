"""What the names of keypoints say."""

from __future__ import annotations

import re
from collections.abc import Sequence


def alike_but_for_numbers(names: Sequence[str]) -> bool:
    """Whether they are several, such as kp_1 and kp_2, that say nothing but their number."""
    return len(names) > 1 and len({re.sub(r"[\W\d_]+", "", name) for name in names}) == 1

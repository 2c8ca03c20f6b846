"""The lines of ``cluster/Containerfile``."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
TEXT = (CHECKOUT / "cluster/Containerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each, with continued lines joined."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n", "", lines)
    return [(word, rest.strip()) for word, _, rest in (one.partition(" ") for one in joined.splitlines() if one)]

"""sketch keeps to the contract of posebed's datasets."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from posebed.testing import DatasetSuite


class TestSketch(DatasetSuite):
    dataset = "sketch"

    def write_example(self, folder: Path) -> None:
        entries = []
        for name in ("a.png", "b.png"):
            Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(folder / name)
            entries.append({"picture": name, "box": [5, 5, 50, 30], "points": [[10, 30], [50, 30], [30, 8]]})
        (folder / "points.json").write_text(json.dumps(entries))

"""Published datasets in miniature: folders as users download them, with tiny pictures and one animal on each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posebed.records import Category

PICTURE = cv2.imencode(".jpg", np.full((30, 40, 3), 128, np.uint8))[1].tobytes()


@dataclass(frozen=True)
class Download:
    path: Path

    def picture(self, name: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(PICTURE)

    def write(self, name: str, content: Any) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(json.dumps(content))

    def read(self, name: str) -> Any:
        return json.loads((self.path / name).read_text())

    def coco(self, name: str, skeleton: Category, images: str, files: Iterable[str], visible: float = 2) -> None:
        """An annotation file and its pictures; point i of every animal is at (i, i + 1), the last one unlabelled."""
        entries = [{"id": i, "file_name": file, "width": 40, "height": 30} for i, file in enumerate(files)]
        for entry in entries:
            self.picture(str(Path(images, entry["file_name"])))
        count = len(skeleton.keypoints)
        points = [v for i in range(count - 1) for v in (i, i + 1, visible)] + [-1, -1, 0]
        annotation = {"category_id": 1, "bbox": [1, 2, 30, 20], "keypoints": points, "num_keypoints": count - 1}
        category = {
            "id": 1,
            "name": skeleton.name,
            "supercategory": "family",
            "keypoints": skeleton.keypoints,
            "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        }
        annotations = [{"id": 10 + i, "image_id": i, "area": 300, **annotation} for i in range(len(entries))]
        self.write(name, {"images": entries, "annotations": annotations, "categories": [category]})

    def zip(self, folder: str, inside: bool) -> None:
        """The folder as a zip file, its members in a folder of that name or not, and the folder gone."""
        at = self.path if inside else self.path / folder
        shutil.make_archive(str(self.path / folder), "zip", at, folder if inside else ".")
        shutil.rmtree(self.path / folder)


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path / "set")

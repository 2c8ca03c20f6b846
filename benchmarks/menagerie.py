"""How fast the built-in data is drawn: pictures per second on one core, for each set."""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2

from posebed.menagerie import CATEGORIES, MenagerieConfig, draw_one


def rate(name: str, pictures: int = 144) -> float:
    """Pictures per second of processor time, every category drawn equally often, after one to warm up."""
    config = MenagerieConfig.model_validate({"set": name})
    draw_one(config, 0)
    start = time.process_time()
    for index in range(pictures):
        draw_one(config, index)
    return pictures / (time.process_time() - start)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    for name in CATEGORIES:
        print(f"{name:12} {rate(name):6.1f} images/s on one core")

"""How fast the built-in data is drawn: pictures per second on one core, for each set.

Usage: python benchmarks/drawing.py [--quick | --record] [PICTURES]
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
from figures import arguments, recording

from menagerie import CATEGORIES, MenagerieConfig, draw_one


def rate(name: str, pictures: int) -> float:
    """Pictures per second of processor time, every category drawn equally often, after one to warm up."""
    config = MenagerieConfig.model_validate({"set": name})
    draw_one(config, 0)
    start = time.process_time()
    for index in range(pictures):
        draw_one(config, index)
    return pictures / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pictures", nargs="?", type=int, default=144, help="of each set")
    options = arguments(parser, pictures=6)
    cv2.setNumThreads(1)
    with recording(options.record) as figure:
        for name in CATEGORIES:
            figure(f"drawing/{name}/rate", f"{rate(name, options.pictures):.0f} images/s")


if __name__ == "__main__":
    main()

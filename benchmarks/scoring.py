"""Time of scoring drawn predictions: every metric, its intervals over images and categories, and OKS-AP.

Usage: python benchmarks/scoring.py [--quick | --record] [PREDICTIONS] [RESAMPLES]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from figures import arguments, recording

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.metrics.average_precision import image_statistic
from posebed.metrics.coco.oks import evaluate
from posebed.metrics.distances import per_query
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.scoring.intervals import resampled
from posebed.scoring.measuring import mean_statistic
from posebed.scoring.scores import score_predictions

CATEGORIES = 20
KEYPOINTS = 17
PER_IMAGE = 2


def drawn(count: int, rng: np.random.Generator) -> Predictions:
    """Pairs of instances in images of 640 x 640 pixels, missed by some tenth of the box side."""
    names = tuple(f"point{k}" for k in range(KEYPOINTS))
    categories = [Category(f"category{c}", f"category{c}", names) for c in range(CATEGORIES)]
    start, size = rng.uniform(0, 300, (count, 2)), rng.uniform(20, 300, (count, 2))
    truth = rng.uniform(start[:, None], (start + size)[:, None], (count, KEYPOINTS, 2))
    spread = size.max(1)[:, None, None] * rng.exponential(0.1, (count, 1, 1))
    xy = truth + rng.normal(size=truth.shape) * spread
    visibility = rng.integers(0, 3, (count, KEYPOINTS, 1))
    keypoints = np.concatenate([truth, visibility], axis=2).astype(np.float32)
    records = [
        Record(
            record=f"record{i}",
            image=f"image{i // PER_IMAGE}",
            width=640,
            height=640,
            category=categories[i // PER_IMAGE % CATEGORIES].key,
            box=(*start[i], *size[i]),
            area=size[i].prod(),
            keypoints=keypoints[i],
        )
        for i in range(count)
    ]
    return Predictions.from_records(categories, records, xy, rng.uniform(size=xy.shape[:2]))


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:8.2f} s  {what}")


def measure(count: int, resamples: int) -> float:
    """Seconds of ``score_predictions``, after its parts one by one."""
    rng = np.random.default_rng(0)
    print(f"{count} predictions of {CATEGORIES} categories, {PER_IMAGE} per image, {resamples} resamples")
    with timed("drawing the table (not part of scoring)"):
        predictions = drawn(count, rng)
    images, image = np.unique(predictions.image, return_inverse=True)
    with timed("metrics of every query"):
        values = per_query(predictions)
    with timed("OKS-AP by the evaluator, and its matches"):
        evaluations = evaluate(predictions)
    with timed("intervals of the means"):
        resampled(mean_statistic(values, image, predictions.predicted), len(images), resamples, rng)
    with timed("intervals of OKS-AP"):
        resampled(image_statistic(evaluations, image), len(images), resamples, rng)
    specs = installed().measured()[0].values()
    start = time.perf_counter()
    with timed("all together: score_predictions"):
        score_predictions(predictions, ScoringConfig(resamples=resamples), specs)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("predictions", nargs="?", type=int, default=10_000)
    parser.add_argument("resamples", nargs="?", type=int, default=1000)
    options = arguments(parser, predictions=400, resamples=50)
    with recording(options.record) as figure:
        figure("scoring/all", f"{measure(options.predictions, options.resamples):.1f} s")


if __name__ == "__main__":
    main()

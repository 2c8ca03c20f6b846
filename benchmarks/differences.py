"""Time and memory of the statistics of many runs with several seeds on one common ground, corrected for all pairs of
them, and of opening the page that shows them. Each part has a process of its own.

Usage: python benchmarks/differences.py [--quick | --record] [RUNS] [SEEDS]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import arguments, recording
from report import MODELS, Figures, alone, drawn, made, open_page, print_time

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.predictions import Predictions, read_predictions, write_predictions
from posebed.records import Category
from posebed.reporting.common_ground import ground_sections
from posebed.reporting.headlines import headlines_of
from posebed.reporting.site import write_report
from posebed.scoring.result import Result, read_result, write_result

CATEGORIES = 20
QUERIES = 2100
NAMES = (*(f"{side}_{part}" for part in "abcdefgh" for side in ("left", "right")), "nose")
PAIRS = tuple((k, k + 1) for k in range(0, 16, 2))


def of_run(place: int, seeds: int, rng: np.random.Generator) -> Result:
    """A result of the common ground; the last run is the floor."""
    own = {"key": f"run-{place:05}", "fingerprint": f"{place:064x}", "model": MODELS[place % len(MODELS)], "curve": []}
    result = made(1, rng).model_copy(update=own)
    members = [result.as_member().model_copy(update={"seed": seed}) for seed in range(seeds)]
    return result.model_copy(update={"seeds": (*range(seeds),), "members": (*members,), "queries": QUERIES})


def prepare(folder: Path, runs: int, seeds: int) -> Figures:
    rng = np.random.default_rng(0)
    records = drawn(QUERIES, rng)
    kinds = [Category(f"category{c}", f"category{c}", NAMES, flip_pairs=PAIRS) for c in range(CATEGORIES)]
    truth = np.stack([r.keypoints[:, :2] for r in records])
    supports = [[records[i - i % 15]] for i in range(len(records))]
    episodes = [i // 15 for i in range(len(records))]
    table = Predictions.from_records(kinds, records, truth, np.ones(truth.shape[:2]), episodes, supports)
    for place in range(runs):
        result = of_run(place, seeds, rng).model_copy(update={"floor": place == runs - 1})
        write_result(result, folder / f"runs/{place:05}/result.json")
        shift = rng.normal(0, 3, (CATEGORIES, 1, 1))[table.category]  # what is hard for one method is not for another
        for seed in range(seeds):
            error = rng.normal(size=table.xy.shape) * np.maximum(10 + place / 4 + shift + rng.normal(0, 0.5), 1)
            xy = (table.xy + error).astype(np.float32)
            write_predictions(replace(table, xy=xy), folder / f"runs/{place:05}/{seed}.parquet")
    return {}


def build(folder: Path) -> Figures:
    results = [read_result(path) for path in sorted(folder.glob("runs/*/result.json"))]
    specs = [*installed().measured()[0].values()]

    def read(key: str) -> list[Predictions]:
        return [read_predictions(path) for path in sorted((folder / "runs" / key).glob("*.parquet"))]

    start, busy = time.perf_counter(), time.process_time()
    grounds = ground_sections(results, read, None, ScoringConfig(), specs)
    print_time("common ground: reading the tables, measures, intervals, tests", start)
    now = time.perf_counter()
    print(headlines_of(grounds, [], {}).tables[0].note)
    print_time("words", now)
    now = time.perf_counter()
    write_report(results, [], [], folder / "report", grounds=grounds)
    print_time("page, tables, figures and JSON", now)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{time.process_time() - busy:8.2f} s of a processor, {peak:.2f} GiB")
    return {"seconds": f"{seconds:.0f} s", "memory": f"{peak:.1f} GiB"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="?", type=int, default=200)
    parser.add_argument("seeds", nargs="?", type=int, default=3)
    options = arguments(parser, runs=12, seeds=2)
    print(f"{options.runs} runs of {options.seeds} seeds, {QUERIES} queries in {CATEGORIES} categories")
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(prepare, folder, options.runs, options.seeds)
        for part in (build, open_page):
            for what, value in alone(part, folder).items():
                figure(f"differences/{what}", value)


if __name__ == "__main__":
    main()

"""Time and memory of the report: thousands of runs, hundreds of thousands of predictions on common ground, and a
browser that opens the page. Each part has a process of its own, so that its memory is its own.

Usage: python benchmarks/report.py [--quick | --record] [RUNS] [ROWS_PER_FAMILY]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import arguments, recording

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.predictions import Predictions, read_predictions, write_predictions
from posebed.records import Category, Record, read_records, write_records
from posebed.reporting.common_ground import ground_sections
from posebed.reporting.gallery import gallery_of
from posebed.reporting.site import write_report
from posebed.scoring.result import Cost, Epoch, Provenance, Result, Score, read_result, write_result

MODELS = ("kitpose", "prompt_pose", "fmmp", "cape_former", "mean_pose")
PROTOCOLS = 40
EPOCHS = 210
CATEGORIES = tuple(Category(f"category{c}", f"category{c}", tuple(f"point{k}" for k in range(17))) for c in range(20))
METRICS = ("PCK@0.05", "PCK@0.1", "PCK@0.2", "mPCK@.05-.25", "NME", "AP", "AP50", "AP75", "AR")
TABLES = 4
"""Runs of each family that meet on common ground; they share the rows."""
QUERIES = 15
"""Of one episode."""
OPENINGS = 5


def made(place: int, rng: np.random.Generator) -> Result:
    """A result with everything that a long run has; the first ones stand on one common ground."""
    on_ground = place < 2 * TABLES
    protocol = 0 if on_ground else 1 + place % (PROTOCOLS - 1)
    agnostic = place % 2 == 1 if on_ground else protocol % 2 == 1
    value = rng.uniform(0.3, 0.9)
    scores = [
        Score(metric=m, definition=f"What {m} measures, in one sentence.", value=v, low=v - 0.02, high=v + 0.02)
        for m, v in zip(METRICS, value * rng.uniform(0.5, 1, len(METRICS)), strict=True)
    ]
    return Result(
        key=f"run-{place:05}",
        fingerprint=f"{place:064x}",
        model=(model := MODELS[place // PROTOCOLS % len(MODELS)]),
        floor=model == MODELS[-1],
        task="category_agnostic" if agnostic else "category_specific",
        data=f"data{protocol // 4}",
        split=f"split{protocol}",
        pack="pack",
        seed=place,
        config={f"setting{i}": i for i in range(15)},
        train={f"option{i}": i for i in range(30)},
        protocol={"part": "test", "boxes": "annotated"} | ({"shots": "1"} if agnostic else {}),
        instances=1000,
        images=1000,
        queries=1000,
        without_keypoints=0,
        scores=scores,
        by_category={c.name: {s.metric: s.value for s in scores} for c in CATEGORIES},
        by_keypoint={c.name: dict.fromkeys(c.keypoints, value) for c in CATEGORIES},
        curve=[
            Epoch(
                epoch=e,
                loss=1 / e,
                losses={"heatmap": 1 / e},
                learning_rate=1e-3,
                seconds=9.0,
                images_per_second=99.0,
                waiting=0.01,
                validation=value if e % 10 == 0 else None,
                system={"cpu_percent": 50.0, "memory_percent": 50.0},
            )
            for e in range(1, EPOCHS + 1)
        ],
        cost=Cost(
            parameters=28_000_000, gflops=float(rng.uniform(1, 9)), ms_per_image=3, train_seconds=9e3, device="cpu"
        ),
        provenance=Provenance(
            commit="c" * 40,
            dirty=False,
            data_hash=f"{protocol // 4:032x}",
            split_hash=f"{protocol:032x}",
            episodes_hash="e" * 64 if agnostic else None,
            lock_hash="b" * 64,
            checkpoint_hash=f"{place:064x}",
            checkpoint=f"runs/{place}/train/best.safetensors",
            software={"python": "3.12", "torch": "2"},
            hardware="2 x cpu",
            created="2026-01-01T00:00:00+00:00",
        ),
    )


def drawn(count: int, rng: np.random.Generator) -> list[Record]:
    """One instance in each image of 640 x 640 pixels."""
    start, size = rng.uniform(0, 300, (count, 2)), rng.uniform(20, 300, (count, 2))
    truth = rng.uniform(start[:, None], (start + size)[:, None], (count, 17, 2))
    keypoints = np.concatenate([truth, np.full((count, 17, 1), 2.0)], axis=2).astype(np.float32)
    return [
        Record(
            record=f"record{i}",
            image=f"image{i}",
            width=640,
            height=640,
            category=CATEGORIES[i // QUERIES % len(CATEGORIES)].key,
            box=(*start[i], *size[i]),
            area=size[i].prod(),
            keypoints=keypoints[i],
        )
        for i in range(count)
    ]


Figures = Mapping[str, str]


def prepare(folder: Path, runs: int, rows: int) -> Figures:
    rng = np.random.default_rng(0)
    for place in range(runs):
        write_result(made(place, rng), folder / "runs" / f"{place:05}" / "result.json")
    records = drawn(rows // TABLES, rng)
    write_records(records, folder / "records.parquet")
    truth = np.stack([r.keypoints[:, :2] for r in records])
    sure = np.ones(truth.shape[:2])
    supports = [[records[i - i % QUERIES]] for i in range(len(records))]
    episodes = [i // QUERIES for i in range(len(records))]
    families = (
        Predictions.from_records(CATEGORIES, records, truth, sure),
        Predictions.from_records(CATEGORIES, records, truth, sure, episodes, supports),
    )
    for place in range(2 * TABLES):
        table = families[place % 2]
        xy = table.xy + rng.normal(size=table.xy.shape) * (5 + 3 * place)
        write_predictions(replace(table, xy=xy), folder / "runs" / f"{place:05}" / "predictions.parquet")
    return {}


def build(folder: Path) -> Figures:
    start = time.perf_counter()
    results = [read_result(path) for path in sorted(folder.glob("runs/*/result.json"))]
    print_time("reading the results", start)
    records = {r.record: r for r in read_records(folder / "records.parquet")}
    grey = np.full((640, 640, 3), 128, np.uint8)

    def table(key: str) -> Path:
        return folder / "runs" / key.removeprefix("run-") / "predictions.parquet"

    now = time.perf_counter()
    grounds = ground_sections(
        results[: 2 * TABLES],
        lambda key: [read_predictions(table(key))],
        lambda _: (lambda image: grey, records),
        ScoringConfig(),
        [*installed().measured()[0].values()],
    )
    print_time(f"common ground of {sum(len(g.runs) for g in grounds)} runs", now)
    now = time.perf_counter()
    keys = [r.key for r in results[: 2 * TABLES]]
    gallery = [p for key in keys for p in gallery_of(key, table(key), lambda image: grey, records)]
    print_time(f"{len(gallery)} pictures", now)
    now = time.perf_counter()
    write_report(results, gallery, [], folder / "report", grounds=grounds)
    print_time("page, tables, figures and JSON", now)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"seconds": f"{seconds:.0f} s", "memory": f"{peak:.1f} GiB"}


def print_time(what: str, start: float) -> None:
    print(f"{time.perf_counter() - start:8.2f} s  {what}", flush=True)


def open_page(folder: Path) -> Figures:
    from playwright.sync_api import sync_playwright

    page = folder / "report/index.html"
    print(f"{page.stat().st_size / 1024**2:8.2f} MiB  size of the page")
    chromium = os.environ.get("POSEBED_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        print("no chromium in PATH or POSEBED_CHROMIUM: the page is not opened")
        return {}
    opened: list[float] = []
    acted: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(OPENINGS):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="domcontentloaded")
            tab.locator("table.leaders").first.wait_for(state="visible")
            opened.append(time.perf_counter() - start)
            actions = {
                "filtering by a model": lambda tab=tab: tab.select_option("select[name=model]", MODELS[0]),
                "sorting a table": lambda tab=tab: tab.locator("table.leaders th button").nth(2).click(),
                "from a number to its provenance": lambda tab=tab: tab.locator("table.leaders td a").first.click(),
            }
            for name, act in actions.items():
                start = time.perf_counter()
                act()
                tab.evaluate("document.body.offsetHeight")
                acted[name] = time.perf_counter() - start
            tab.close()
        browser.close()
    for name, seconds in acted.items():
        print(f"{seconds:8.2f} s  {name}")
    print(f"opening: until the first table is seen, median of {OPENINGS}")
    return {"opening": f"{np.median(opened):.1f} s"}


def alone(part: Callable[..., Figures], *arguments: object) -> Figures:
    """Call in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="?", type=int, default=2000)
    parser.add_argument("rows", nargs="?", type=int, default=200_000, metavar="ROWS_PER_FAMILY")
    options = arguments(parser, runs=80, rows=1200)
    print(f"{options.runs} runs of {EPOCHS} epochs under {PROTOCOLS} protocols; {options.rows} predictions per family")
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(prepare, folder, options.runs, options.rows)
        for part in (build, open_page):
            for what, value in alone(part, folder).items():
                figure(f"report/{what}", value)


if __name__ == "__main__":
    main()

"""How long the commands take that people give by hand, as multiples of a bare ``import torch, timm`` in the same run:
``posebed --help``, ``posebed check`` on as many records as asked for, and ``posebed predict`` on one picture. Then what
a worker of a cluster imports before its first task, and what a trunk of timm adds to it: processor time of each import,
in that order, as a multiple of torch's.

Usage: python benchmarks/start.py [--quick | --record] [--records N] [ROUNDS]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from figures import arguments, recording

from posebed.jobs.schedule import IMPORTS

PARAMS = """
menagerie: {{quads: {{set: quadrupeds, images: {records}, side: 64, categories: [tiger, horse]}}}}
data: {{quads: {{source: coco_folder, path: data/menagerie/quads}}}}
splits: {{quads: {{data: quads}}}}
packs: {{quads: {{data: quads, crop_size: [64, 64]}}}}
models: {{simple_baseline: {{config: {{backbone: test_resnet, weights: none, channels: 8}}}}}}
runs: {{short: {{model: simple_baseline, split: quads, pack: quads, train: {{epochs: 1, batch_size: 16}}}}}}
"""
POSEBED = str(Path(sys.executable).with_name("posebed"))
IMPORT = (sys.executable, "-c", "import torch, timm")
IMPORTED = (*IMPORTS, "torchvision", "timm")
"""``torch`` comes first."""
TIMED = """
import time
for name in {names}:
    started = time.process_time()
    __import__(name)
    print(name, time.process_time() - started)
"""
WANTED = {"help": 0.2, "check": 1.5, "predict": 3.0}


def quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def write_project(records: int) -> Path:
    """A project with a trained run in this folder, and the path of a picture."""
    Path("params.yaml").write_text(PARAMS.format(records=records))
    for stage in ("draw", "prepare", "split", "pack"):
        quietly(sys.executable, "-m", f"posestages.{stage}", "quads")
    quietly(sys.executable, "-m", "posestages.train_without_ray", "short")
    with zipfile.ZipFile("data/menagerie/quads/images.zip") as pictures:
        return Path(pictures.extract(pictures.namelist()[0]))


def seconds(*command: str) -> float:
    started = time.perf_counter()
    quietly(*command)
    return time.perf_counter() - started


def imports() -> dict[str, float]:
    """Processor seconds of each import in one process."""
    script = TIMED.format(names=IMPORTED)
    lines = subprocess.run((sys.executable, "-c", script), check=True, capture_output=True, text=True).stdout
    return {name: float(took) for name, took in (line.split() for line in lines.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    parser.add_argument("--records", type=int, default=1000)
    options = arguments(parser, rounds=1, records=60)
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        picture = write_project(options.records)
        commands = {
            "help": ("--help",),
            "check": ("check", "data/menagerie/quads"),
            "predict": ("predict", "short", str(picture)),
        }
        ratios = {name: list[float]() for name in commands}
        quietly(*IMPORT)  # from the disk into memory
        for _ in range(options.rounds):
            bare = seconds(*IMPORT)
            for name, words in commands.items():
                ratios[name].append(seconds(POSEBED, *words) / bare)
        for name, values in ratios.items():
            print(f"posebed {name}: {statistics.median(values):.2f} of the import (at most {WANTED[name]} is wanted)")
            figure(f"start/{name}", f"{statistics.median(values):.2f}")
        took = [imports() for _ in range(options.rounds)]
        for name in IMPORTED:
            multiple = statistics.median(one[name] / one["torch"] for one in took)
            figure(f"start/imports/{name.lower()}", f"{multiple:.2f}")


if __name__ == "__main__":
    main()

"""What the first run's launch costs beside a bare torchrun of the same loop: ratios within one run.

Both train the same few steps of the same run in a small drawn project; what is compared is the time from the command to
the end of the first epoch. The way of later runs is in graph.py.

Usage: python benchmarks/launch.py [--quick | --record] [ROUNDS]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import arguments, recording

PARAMS = """
menagerie: {quads: {set: quadrupeds, images: 60, side: 64, categories: [tiger, horse]}}
data: {quads: {source: coco_folder, path: data/menagerie/quads}}
splits: {quads: {data: quads}}
packs: {quads: {data: quads, crop_size: [64, 64]}}
models: {simple_baseline: {config: {backbone: test_resnet, weights: none, channels: 8}}}
runs:
  short: {model: simple_baseline, split: quads, pack: quads, train: {epochs: 1, batch_size: 16, warmup_steps: 0}}
"""


def seconds(*command: str) -> float:
    """From the command to the checkpoint of its one epoch, from a clean start."""
    for folder in ("runs", ".posebed"):
        shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        while process.poll() is None and not list(Path().glob(".posebed/*/short-*/checkpoint*/curve.json")):
            time.sleep(0.05)
        took = time.perf_counter() - started
        if process.wait():
            output.seek(0)
            end = output.read()[-2000:]
            raise RuntimeError(f"{' '.join(command)} must end with 0, but ended with {process.returncode}:\n{end}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    options = arguments(parser, rounds=1)
    python = sys.executable
    torchrun = (python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m")
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("params.yaml").write_text(PARAMS)
        for stage in ("draw", "prepare", "split", "pack"):
            subprocess.run([python, "-m", f"posestages.{stage}", "quads"], check=True, capture_output=True)
        bare, ray = [], []
        for _ in range(options.rounds):
            bare.append(seconds(*torchrun, "posestages.train_without_ray", "short"))
            ray.append(seconds(python, "-c", "from posestages.cli import main; main()", "run", "short"))
        imports = seconds(python, "-c", "import posezoo.simple_baseline, posebed.training.zero, posebed.training.loop")
        ratios = [r / b for r, b in zip(ray, bare, strict=True)]
        print(f"torchrun, one epoch:   {statistics.median(bare):5.1f} s, of which imports take {imports:.1f} s")
        print(f"posebed run, one epoch: {statistics.median(ray):4.1f} s")
        print(f"ratio: {statistics.median(ratios):.2f} (at most 2 is wanted), rounds {[round(r, 2) for r in ratios]}")
        figure("launch/ratio", f"{statistics.median(ratios):.1f} times")
        figure("launch/ray", f"{statistics.median(ray):.0f} s")
        figure("launch/torchrun", f"{statistics.median(bare):.0f} s")


if __name__ == "__main__":
    main()

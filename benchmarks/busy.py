"""What a training loses beside a process that keeps one core busy: its speed calm and disturbed, within one run.

The training is one run with two threads, on the command's own cluster. Further settings of the environment can be
measured beside the platform's own, such as ``--with GOMP_SPINCOUNT=0``.

Usage: python benchmarks/busy.py [--quick | --record] [--rounds N] [--with NAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from figures import arguments, recording

from posebed.scoring.result import read_curve

PARAMS = """
menagerie: {quads: {set: quadrupeds, images: %(images)d, side: 128}}
data: {quads: {source: coco_folder, path: data/menagerie/quads}}
splits: {quads: {data: quads}}
packs: {quads: {data: quads, crop_size: [96, 96]}}
models:
  simple_baseline:
    config: {backbone: tf_efficientnet_lite0, weights: builtin, stride: 16, deconvs: 2, channels: 64, flip_test: "off"}
    train: {epochs: %(epochs)d, batch_size: 32, checkpoint_every: %(epochs)d, precision: float32}
runs:
  trained: {model: simple_baseline, split: quads, pack: quads, resources: {cpus: 2}}
"""


def speeds(variables: Mapping[str, str]) -> list[float]:
    """Pictures per second in each epoch of one training."""
    shutil.rmtree("runs", ignore_errors=True)
    command = (sys.executable, "-c", "from posestages.cli import main; main()", "run", "trained")
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **variables})
    return [epoch.images_per_second for epoch in read_curve(Path("runs/trained/seed-0/train/curve.json"))]


@contextmanager
def busy_core() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--with", dest="settings", nargs="*", default=[], metavar="NAME=VALUE")
    options = arguments(parser, rounds=1, images=60, epochs=2)
    variants: dict[str, dict[str, str]] = {"as it is": {}}
    variants |= {setting: dict([setting.split("=", 1)]) for setting in options.settings}
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("params.yaml").write_text(PARAMS % {"images": options.images, "epochs": options.epochs})
        for stage in ("draw", "prepare", "split", "pack"):
            subprocess.run([sys.executable, "-m", f"posestages.{stage}", "quads"], check=True, capture_output=True)
        calm: dict[str, list[list[float]]] = {name: [] for name in variants}
        disturbed: dict[str, list[list[float]]] = {name: [] for name in variants}
        for _ in range(options.rounds):
            for name, variables in variants.items():
                for kept, beside in ((calm, nullcontext()), (disturbed, busy_core())):
                    with beside:
                        kept[name].append(speeds(variables))
        for name in variants:
            show(name, calm[name], disturbed[name])
        ratio = mean_speed(disturbed["as it is"]) / mean_speed(calm["as it is"])
        figure("busy/kept", f"{ratio:.0%}")


def show(name: str, calm: list[list[float]], disturbed: list[list[float]]) -> None:
    print(f"{name}: pictures per second, median over rounds, epoch by epoch")
    for words, rounds in (("calm", calm), ("beside a busy core", disturbed)):
        print(f"  {words:18}", *(f"{statistics.median(epoch):6.0f}" for epoch in zip(*rounds, strict=True)))
    print(f"  it keeps {mean_speed(disturbed) / mean_speed(calm):.0%}; at least half is wanted")


def mean_speed(rounds: list[list[float]]) -> float:
    """Over all epochs, of the median round."""
    return statistics.median(len(r) / sum(1 / speed for speed in r) for r in rounds)


if __name__ == "__main__":
    main()

"""Poses in a film: frames per second, of those that the model alone makes on ready batches, and memory over an hour.

    python benchmarks/film.py [--quick | --record] [--frames N] [--minutes N]

The film is drawn: 640 x 480, H.264, 25 frames per second. Each frame is one box. Model on one thread, decoder and crops
on another core. Memory is what the process holds at most while it looks at every tenth frame, after a tenth of the
film and at its end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import imageio_ffmpeg
import psutil
import torch
from cases import BASE, CASES, Case
from figures import arguments, recording

from menagerie import categories
from posebed.contracts import Setting, Task
from posebed.data.film import Film
from posebed.inference.film import poses_in_film
from posebed.inference.pictures import BATCH, crop_of, poses_in_crops
from posebed.inference.trained_model import Trained

RATE = 25
MODELS: Mapping[str, tuple[Case, int]] = {
    BASE: (CASES[BASE], 256),
    "simple_baseline-lite0": (Case("simple_baseline", {"backbone": "tf_efficientnet_lite0"}), 128),
}
"""A usual one, and one that answers so fast that the decoder is felt most."""


def drawn_film(path: Path, frames: int) -> Film:
    """A moving test picture with some noise."""
    source = f"testsrc2=size=640x480:rate={RATE},noise=alls=8:allf=t"
    options = ("-f", "lavfi", "-i", source, "-frames:v", str(frames), "-c:v", "libx264", "-preset", "veryfast")
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", *options, "-pix_fmt", "yuv420p", path], check=True)
    return Film.open(path)


def repeated(film: Film, path: Path, times: int) -> Film:
    """The film so many times, one after the other, without encoding it anew."""
    options = ("-stream_loop", str(times - 1), "-i", film.path, "-c", "copy")
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *options, path], check=True)
    return Film.open(path)


def trained(case: Case, side: int) -> Trained:
    """A model with random weights: its answers do not matter here."""
    setting = Setting((side, side), 17, categories("quadrupeds")[:1])
    model = case.built(setting).eval()
    about: dict[str, Any] = {"padding": 1.25, "convention": "plain"}
    return Trained(model, setting, Task.CATEGORY_SPECIFIC, torch.device("cpu"), about, ())


def whole(film: Film) -> Callable[[Any], list[tuple[float, float, float, float]]]:
    width, height = film.size
    return lambda _: [(0.0, 0.0, float(width), float(height))]


def rate_on_film(model: Trained, film: Film) -> float:
    started, count = time.perf_counter(), 0
    for _, poses in poses_in_film(model, film, whole(film)):
        count += len(poses)
    return count / (time.perf_counter() - started)


def rate_on_batches(model: Trained, film: Film, batches: int) -> float:
    frame = next(film.frames())
    crops = [crop_of(model, frame.picture, whole(film)(frame)[0])] * BATCH
    started = time.perf_counter()
    for _ in range(batches):
        poses_in_crops(model, crops)
    return batches * BATCH / (time.perf_counter() - started)


def shares_of_rate(name: str, model: Trained, film: Film, rounds: int) -> Iterator[float]:
    """The film's share of the rate on batches just before and after it."""
    half = film.stated // BATCH // 2
    rate_on_batches(model, film, 1)
    for _ in range(rounds):
        before, on_film, after = (
            rate_on_batches(model, film, half),
            rate_on_film(model, film),
            rate_on_batches(model, film, half),
        )
        alone = 2 / (1 / before + 1 / after)
        print(f"{name}: {alone:.0f} frames/s alone, {on_film / alone:.2f} of that on the film", flush=True)
        yield on_film / alone


def growth(model: Trained, film: Film) -> float:
    """MiB more at the end of the film than after a tenth of it, both at their highest."""
    process, held = psutil.Process(), dict[bool, float]()
    for last, _ in poses_in_film(model, film, whole(film), every=10):
        early = last < film.stated / 10
        held[early] = max(held.get(early, 0.0), process.memory_info().rss / 2**20)
    return held[False] - held[True]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=640, help="of the film for the rate")
    parser.add_argument("--minutes", type=float, default=60, help="of the film for the memory")
    parser.add_argument("--rounds", type=int, default=5)
    options = arguments(parser, frames=64, minutes=2, rounds=1)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder, recording(options.record) as figure:
        film = drawn_film(Path(folder) / "short.mp4", options.frames)
        for name, (case, side) in list(MODELS.items())[1 if options.quick else 0 :]:
            shares = [*shares_of_rate(name, trained(case, side), film, options.rounds)]
            figure(f"film/{name}/rate", f"{statistics.median(shares):.2f}")
        long = repeated(film, Path(folder) / "long.mp4", int(options.minutes * 60 * RATE / options.frames))
        figure("film/growth", f"{growth(trained(*MODELS['simple_baseline-lite0']), long):.0f} MiB")


if __name__ == "__main__":
    main()

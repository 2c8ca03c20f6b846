"""What the task graph costs beside the work it hands out: many short trainings on one cluster, and projects in which
nothing, or one thing, is to be done.

Usage: python benchmarks/graph.py [--quick | --record] [--members N] [--runs N]
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
from collections.abc import Callable, Sequence
from pathlib import Path

from figures import arguments, recording

from posebed.catalog import installed
from posebed.jobs.cluster import connect
from posebed.jobs.outcomes import write_record
from posebed.jobs.requests import RUNNING, TASKS
from posebed.own_json import read_json
from posebed.scoring.result import read_curve
from posestages.benchmark import read_project, run_tasks
from posestages.stage import PACKAGES

PARAMS = """
menagerie: {quads: {set: quadrupeds, images: 120, side: 80, categories: [tiger, horse]}}
data: {quads: {source: coco_folder, path: data/menagerie/quads}}
splits: {quads: {data: quads, val: 0.2, test: 0.1}}
packs: {quads: {data: quads, crop_size: [64, 64]}}
models:
  simple_baseline:
    config: {backbone: test_resnet, weights: none, channels: 8, flip_test: "off"}
    train: {epochs: %(epochs)d, batch_size: 16, warmup_steps: 0, checkpoint_every: %(epochs)d}
searches: {}
runs:
"""
EPOCHS = 8
"""About two seconds of training."""
RUN = "  {key}: {{model: simple_baseline, split: quads, pack: quads, seeds: {seeds}, train: {train}}}\n"
PLACES = os.cpu_count() or 1
"""Trainings at once."""
CHECKOUT = Path(__file__).resolve().parents[1]


def many_members(members: int, figure: Callable[[str, str], None]) -> None:
    """Train so many members of one run, predict and score."""
    write_params(RUN.format(key="many", seeds=[*range(members)], train="{}"))
    started = time.perf_counter()
    connect([*PACKAGES, *installed().packages])
    up = time.perf_counter()
    run_tasks()
    wall = time.perf_counter() - up
    project = read_project()
    trained = {n: task for n, task in project.graph.tasks.items() if task.kind == "train"}
    training = {n: sum(e.seconds for e in read_curve(task.folder / "curve.json")) for n, task in trained.items()}
    before = sorted((project.statuses[n].seconds or 0) - training[n] for n in trained)
    share = sum(training.values()) / PLACES
    print(f"cluster up in {up - started:.1f} s")
    print(f"{members} members of {statistics.median(training.values()):.1f} s each on {PLACES} places: {wall:.1f} s")
    print(f"  {wall / share:.2f} times the training of each place ({share:.1f} s); at most 1.25 is wanted")
    later = once_warm(sorted((trained[n].record.stat().st_mtime, training[n]) for n in trained), PLACES)
    print(f"  {later:.2f} times it once each place has imported torch and done its first training")
    print(f"  beside its steps a training took {statistics.median(before):.2f} s; the first {before[-1]:.1f} s")
    figure("graph/members", f"{wall / share:.2f} times")
    figure("graph/members-warm", f"{later:.2f} times")
    figure("graph/before-steps", f"{statistics.median(before):.1f} s")


def once_warm(ends: Sequence[tuple[float, float]], places: int) -> float:
    """The time from when each place had done its first training to the last one's end, as a multiple of each place's
    seconds of training in it.

    Args:
        ends: of every training its end and how long it trained, in the order of their ends.
    """
    wall = ends[-1][0] - ends[places - 1][0]
    return wall / (sum(seconds for _, seconds in ends[places:]) / places)


def write_params(runs: str) -> None:
    Path("params.yaml").write_text(PARAMS % {"epochs": EPOCHS} + runs)


def many_runs(runs: int, figure: Callable[[str, str], None]) -> None:
    """A project of so many runs that are all done: what a look costs, and how soon a changed one is at work."""
    lines = [RUN.format(key=f"r{n}", seeds=[0], train="{epochs: 1}") for n in range(runs)]
    write_params("".join(lines))
    git_project()
    copy_outcomes()
    took = {"status": seconds("posebed", "status")}
    seconds("dvc", "repro")
    took["repro"] = seconds("dvc", "repro")
    lines[0] = RUN.format(key="r0", seeds=[0], train="{epochs: 1, lr: 0.002}")
    write_params("".join(lines))
    took["changed"] = until_running("dvc", "repro")
    print(f"{runs} runs with nothing to do: posebed status {took['status']:.1f} s, dvc repro {took['repro']:.1f} s")
    print(f"  one changed setting: its training is handed to the cluster after {took['changed']:.1f} s")
    for name, value in took.items():
        figure(f"graph/{name}-{runs}", f"{value:.1f} s")


def git_project() -> None:
    for name in ("dvc.yaml", ".gitignore", ".dvcignore", "requirements.lock.txt"):
        shutil.copy(CHECKOUT / name, name)
    for command in ("git init -q", "dvc init -q", "dvc config core.analytics false"):
        subprocess.run(command.split(), check=True)


def copy_outcomes() -> None:
    """Every run is done as the member ``many`` was."""
    former = Path("runs/many/seed-0")
    for task in read_project().graph.tasks.values():
        if task.kind == "train":
            shutil.copytree(former, task.folder.parent)
        elif task.kind == "score":
            shutil.copy("runs/many/result.json", task.folder)
            for path in task.folder.rglob("*.json"):
                path.write_text(path.read_text().replace('"many"', f'"{task.key}"'))
        write_record(task, 1.0)
    shutil.rmtree("runs/many")


def seconds(*command: str) -> float:
    started = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} must end with 0:\n{(ended.stdout + ended.stderr)[-2000:]}")
    return time.perf_counter() - started


def until_running(*command: str) -> float:
    """From the command until a task of it is at work."""
    RUNNING.unlink(missing_ok=True)
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (RUNNING.is_file() and read_json(RUNNING, TASKS)["tasks"]):
            time.sleep(0.05)
        took = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} must end with 0, but ended with {process.returncode}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--runs", type=int, nargs="*", default=[10, 2000])
    options = arguments(parser, members=PLACES + 1, runs=[3])
    if options.members <= PLACES:
        parser.error(f"--members must be more than the {PLACES} trainings at once, found {options.members}")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_params(RUN.format(key="many", seeds=[0], train="{}"))
        for stage in ("draw", "prepare", "split", "pack"):
            subprocess.run([sys.executable, "-m", f"posestages.{stage}", "quads"], check=True, capture_output=True)
        many_members(options.members, figure)
        for runs in options.runs:
            home = Path(folder, f"project-{runs}")
            for name in ("data", "runs"):
                shutil.copytree(Path(folder, name), home / name)
            os.chdir(home)
            many_runs(runs, figure)


if __name__ == "__main__":
    main()

"""What this project's models do on an accelerator: first the proof that they compute the same as on a CPU, then speed.

A call stops itself after some minutes, and the next one goes on where it stopped; the run is one JSON file in
benchmarks/history, whole at any time. An entry that fails says so in a sentence and is not tried again without --again.
It runs on a CPU as well, where what has no meaning is left out.

A step is forward pass, losses, backward pass and the fused optimizer, of 16 crops or one-shot episodes of 256 x 256;
"graphs" are compiled steps recorded as CUDA graphs. Shares are of the card's own speeds, measured in the same run.

Usage: python benchmarks/accelerator.py [--quick | --record] [--show | --draw] [--minutes M] [--again] [--out FILE]
       [--commit HASH] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

# Without these CUPTI, which torch's profiler uses, is torn down after each use, which CUDA graphs do not bear.
os.environ.setdefault("DISABLE_CUPTI_LAZY_REINIT", "1")
os.environ.setdefault("TEARDOWN_CUPTI", "0")

from card import page, table
from card.calls import DeviceLost, measured
from card.entries import PROVEN, entries_of
from card.history import drawn
from card.run_file import HISTORY, About, Run, runs_in
from card.world import BATCH, World
from cases import CASES, QUICK_SIDE, SIDE
from figures import ROOT, arguments

from posebed.files import write_text
from posebed.training.compiled_code import keep_on_this_machine

QUICK_BATCH = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; by default all")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which the call stops itself")
    parser.add_argument("--again", action="store_true", help="try entries again that ended in an error")
    parser.add_argument("--commit", metavar="HASH", help="seven digits, where the code lies outside of a repository")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the run; by default in {HISTORY}, by its device")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--show", action="store_true", help="measure nothing; --out, or the newest run of a card")
    instead.add_argument("--draw", action="store_true", help=f"measure nothing; draw all runs as {page.PICTURE}")
    options = arguments(parser, names=[*PROVEN], minutes=30.0)
    if unknown := [name for name in options.names if name not in CASES]:
        parser.error(f"NAME must be one of {', '.join(CASES)}, but is {', '.join(unknown)}")
    try:
        return act(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def act(options: argparse.Namespace) -> int:
    if options.draw:
        write_text(drawn(runs_in(ROOT / HISTORY)), ROOT / page.PICTURE)
        print(f"drawn: {page.PICTURE}")
        return 0
    if options.show:
        return show(_known(options.out), options.record)
    with tempfile.TemporaryDirectory() as folder:
        quick = World(Path(folder), QUICK_SIDE, QUICK_BATCH)
        world = quick if options.quick else World(Path(folder), SIDE, BATCH)
        about = About.of_this_machine(world.device, options.quick, options.commit)
        if options.record and not about.is_card:
            print("the page shows measurements of cards, and there is none here: nothing is measured or recorded")
            return 0
        by_default = Path(folder) / "run.json" if options.quick else ROOT / about.file
        run = Run.open(options.out or by_default, about)
        keep_on_this_machine()  # what is compiled, for the next call
        done = measure(run, world, options)
        print("the run is complete" if done else f"stopped after {options.minutes:g} minutes; the same command goes on")
        return show(run, options.record)


def measure(run: Run, world: World, options: argparse.Namespace) -> bool:
    """Whether nothing is missing at the end."""
    ends = time.monotonic() + options.minutes * 60
    try:
        return measured(run, entries_of(world, options.names or list(CASES), run), options.minutes, options.again)
    except DeviceLost as error:
        print(f"the device is lost to this process, and another one goes on: {error}", file=sys.stderr, flush=True)
        left = (ends - time.monotonic()) / 60
        words = [word for word in sys.argv if word != "--again"]
        os.execv(sys.executable, [sys.executable, *words, "--minutes", f"{max(left, 0):.2f}"])  # noqa: S606
    except KeyboardInterrupt:
        print(f"interrupted; {run.path} holds all but the entry under way", file=sys.stderr)
        raise SystemExit(130) from None


def show(run: Run, record: bool) -> int:
    print(table.printed(run))
    for name, value in table.figures(run).items():
        print(f"figure {name} {value}", flush=True)
    if record:
        page.record(run, ROOT)
    return int(bool(table.proofs(run)[1]))


def _known(out: Path | None) -> Run:
    """Raises:
    ValueError: there is no such run.
    """
    cards = [run for run in runs_in(ROOT / HISTORY) if run.about.is_card]
    if out is None and not cards:
        raise ValueError(f"{HISTORY} must hold a run of a card, but holds none; name one by --out")
    return Run.read(out) if out else cards[-1]


if __name__ == "__main__":
    sys.exit(main())

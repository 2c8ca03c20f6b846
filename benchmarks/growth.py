"""How the cost of category-agnostic models grows with shots and keypoints, in multiples of 1 shot and 17 keypoints.

One query of 128 x 128, float32, one thread. All keypoints are visible, linked in a chain, and as many as the model has
slots, so that FMMP pads nothing. An answer is forward and decoding in evaluation, with all that supports cost. Its
multiply-adds are counted separately for batched products of matrices, as in attention, and for everything else.
"bend" is the price of one more shot or keypoint at the end of the row over that at its start: 1 is linear. MAML and
Fine-tune take 3 steps on the supports of an answer, instead of 10 and 50.

Usage: python benchmarks/growth.py [--quick | --record] [--rounds N] [--out FILE.svg] [NAME ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import torch
from cases import CASES, QUICK_SIDE, Step, answer, counted, interleaved, ratio, some_batch, training_step
from figures import ROOT, arguments, origin, recording
from markupsafe import Markup
from step import as_a_worker

from posebed import reporting
from posebed.contracts import Setting
from posebed.records import Category
from posebed.reporting.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis, end_labels, frame, line, series

SIDE = 128
SWEEPS = {"shots": (1, 3, 5, 10), "keypoints": (17, 35, 70, 100)}
NAMES = ("cape_former", "fmmp", "graph_cape", "pomnet", "sdpnet-r50", "sdpnet-w32", "proto_net", "maml", "fine_tune")
FEW_STEPS = {"maml": {"test_steps": 3}, "fine_tune": {"steps": 3}}
PICTURE = "docs/pictures/growth.svg"
TIMES, COUNTS = ("training step", "answer"), ("batched products", "all else")

Multiples = Mapping[str, Sequence[float]]
"""Of the first number of a sweep, for each of ``TIMES`` and ``COUNTS``."""


def made(name: str, side: int, shots: int, keypoints: int) -> tuple[Step, Step, Step]:
    """A training step, an answer, and the pass of an answer that is not frozen, whose operations can be counted."""
    case, points = CASES[name], range(keypoints)
    chain = Category("chain", "chain", tuple(map(str, points)), limbs=tuple(pairwise(points)))
    slots = {"slots": keypoints} if "slots" in case.spec.config.model_fields else {}
    setting = Setting((side, side), keypoints, (chain,))
    model, batch = case.built(setting, **slots, **FEW_STEPS.get(name, {})), some_batch(setting, 1, shots)

    @torch.no_grad()
    def counted_pass() -> None:
        model.eval()(batch)

    return training_step(model, batch), answer(model, batch), counted_pass


def growth(name: str, sweep: str, rounds: int, side: int) -> Multiples:
    first = {other: numbers[0] for other, numbers in SWEEPS.items()}
    cases = {str(number): made(name, side, **{**first, sweep: number}) for number in SWEEPS[sweep]}
    multiples: dict[str, list[float]] = {}
    for place, what in enumerate(TIMES):
        took = interleaved({number: case[place] for number, case in cases.items()}, rounds)
        multiples[what] = [ratio(took, number, next(iter(cases))) for number in cases]
    counts = zip(*(multiply_adds(case[2]) for case in cases.values()), strict=True)
    return multiples | {what: [n / each[0] for n in each] for what, each in zip(COUNTS, counts, strict=True) if each[0]}


def multiply_adds(step: Step) -> tuple[int, int]:
    """Of batched products, and of everything else."""
    by_operation = counted(step).get_flop_counts()["Global"]
    products = sum(n for operation, n in by_operation.items() if "bmm" in str(operation) or "dot" in str(operation))
    return products, sum(by_operation.values()) - products


def bend(numbers: Sequence[int], multiples: Sequence[float]) -> float:
    spans = zip(pairwise(multiples), pairwise(numbers), strict=True)
    prices = [(after - before) / (b - a) for (before, after), (a, b) in spans]
    return prices[-1] / prices[0] if prices[0] else 1.0


def row(multiples: Multiples, what: str, sweep: str) -> str:
    if what not in multiples:
        return f"{'none':>36}"
    price = f"{bend(SWEEPS[sweep], multiples[what]):8.2f}" if what in COUNTS else " " * 8
    return "".join(f"{multiple:7.2f}" for multiple in multiples[what]) + price


def chart(grown: Mapping[str, Mapping[str, Multiples]], sweep: str, what: str) -> Markup:
    x = axis(SWEEPS[sweep], LEFT, RIGHT)
    y = axis([1, *(m for sweeps in grown.values() for m in sweeps[sweep][what])], BOTTOM, TOP)
    marks, ends = list[Markup](), list[tuple[int, float, float]]()
    for index, (name, sweeps) in enumerate(grown.items()):
        points = [(x(number), y(m)) for number, m in zip(SWEEPS[sweep], sweeps[sweep][what], strict=True)]
        marks.append(line(index, name, points))
        ends.append((index, *points[-1]))
    title = f"{what}, times that of {SWEEPS[sweep][0]}"
    return frame(f"Cost of a {title}, by {sweep}", x, y, sweep, title, [*marks, end_labels(ends)])


def drawn(grown: Mapping[str, Mapping[str, Multiples]], origin: str) -> str:
    """An SVG that stands alone, with the report's charts and style, and says where it comes from."""
    style = Markup((files(reporting) / "page" / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    charts = [chart(grown, sweep, what) for what in TIMES for sweep in SWEEPS]
    place = Markup('<svg x="{}" y="{}" width="{}" height="{}">{}</svg>').format
    placed = [place(i % 2 * WIDTH, i // 2 * HEIGHT, WIDTH, HEIGHT, each) for i, each in enumerate(charts)]
    named = [
        Markup('<text class="mark {}" x="{}" y="{}">{} {}</text>').format(
            series(i), LEFT + i % 5 * 145, 2 * HEIGHT + 25 + i // 5 * 18, i + 1, name
        )
        for i, name in enumerate(grown)
    ]
    width, height = 2 * WIDTH + 16, 2 * HEIGHT + 70
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {0} {1}" width="{0}" height="{1}">'
        "<desc>{5}</desc><style>{2}</style>"
        '<rect x="-8" y="-8" width="100%" height="100%" fill="var(--paper)"/>{3}<g class="chart">{4}</g></svg>'
    ).format(width, height, style, Markup().join(placed), Markup().join(named), origin)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--out", type=Path, metavar="FILE.svg", help=f"where to draw the times; with --record {PICTURE}"
    )
    options = arguments(parser, names=["proto_net"], rounds=1)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"NAME must be one of {', '.join(NAMES)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    side = QUICK_SIDE if options.quick else SIDE
    grown: dict[str, dict[str, Multiples]] = {}
    print(" " * 34 + "".join(f"{sweep:>7}{'':28} " for sweep in SWEEPS))
    print(" " * 34 + "".join("".join(f"{n:7}" for n in numbers) + "    bend" for numbers in SWEEPS.values()))
    with recording(options.record) as figure:
        for name in options.names or NAMES:
            grown[name] = {sweep: growth(name, sweep, options.rounds, side) for sweep in SWEEPS}
            for what in (*TIMES, *COUNTS):
                print(f"{name:14}{what:20}" + "".join(row(grown[name][sweep], what, sweep) for sweep in SWEEPS))
            for sweep, numbers in SWEEPS.items():
                figure(f"growth/{name}/{numbers[-1]}-{sweep}", f"{grown[name][sweep]['answer'][-1]:.2f} times")
    whole = options.record and not options.names
    if out := options.out or (ROOT / PICTURE if whole else None):
        out.write_text(drawn(grown, ", ".join(origin(ROOT).values()) if options.record else ""), encoding="utf-8")
        print(f"drawn: {out}")


if __name__ == "__main__":
    as_a_worker()
    main()

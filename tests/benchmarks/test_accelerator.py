"""The benchmark of accelerators, on a CPU: its calls, its counting, and what it says when nothing is measured."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ABOUT = {
    "device": "A Card 80GB",
    "torch": "2.15.0",
    "commit": "1234567",
    "reduced": False,
    "date": "2026-01-02",
    "hardware": "1 x a processor, Linux",
    "software": {},
}


@pytest.fixture(scope="module")
def card() -> Iterator[Any]:
    """The package of the benchmark's parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import card.calls
        import card.entries
        import card.history
        import card.page

        yield card


def new_run(card: Any, path: Path) -> Any:
    return card.run_file.Run.open(path, card.run_file.About(**ABOUT))


def entries(card: Any, calls: list[str], **measures: Any) -> list[Any]:
    """Entries that note their calls."""

    def noted(name: str, measure: Any) -> Any:
        def call() -> Any:
            calls.append(name)
            return measure()

        return card.calls.Entry(name, call)

    return [noted(name, measure) for name, measure in measures.items()]


def test_a_call_that_stops_is_gone_on_with_and_nothing_is_measured_twice(card: Any, tmp_path: Path):
    calls: list[str] = []
    slow = {f"slow/{letter}": lambda: time.sleep(0.3) or {"ms": 1.0} for letter in "abc"}
    run = new_run(card, tmp_path / "run.json")
    assert not card.calls.measured(run, entries(card, calls, **slow), minutes=0.5 / 60)
    assert calls == ["slow/a"]  # the second would take the call beyond its end
    again = new_run(card, tmp_path / "run.json")
    assert card.calls.measured(again, entries(card, calls, **slow), minutes=1)
    assert calls == ["slow/a", "slow/b", "slow/c"]
    assert again.outcome("slow/c") == {"ms": 1.0}


def test_an_entry_that_fails_is_one_line_and_tried_again_only_when_asked(card: Any, tmp_path: Path):
    calls: list[str] = []
    broken = {"one/a": lambda: 1 / 0, "one/b": lambda: {"ms": 2.0}}
    run = new_run(card, tmp_path / "run.json")
    assert card.calls.measured(run, entries(card, calls, **broken), minutes=1)
    assert run.entries["one/a"]["error"] == "ZeroDivisionError: division by zero"
    assert "failed: one/a: ZeroDivisionError: division by zero" in card.table.printed(run).splitlines()
    card.calls.measured(run, entries(card, calls, **broken), minutes=1)
    assert calls == ["one/a", "one/b"]
    card.calls.measured(run, entries(card, calls, **broken), minutes=1, again=True)
    assert calls == ["one/a", "one/b", "one/a"]


def test_an_interrupt_loses_the_entry_under_way_alone(card: Any, tmp_path: Path):
    def interrupted() -> None:
        raise KeyboardInterrupt

    run = new_run(card, tmp_path / "run.json")
    measures = {"one/a": lambda: {"ms": 1.0}, "one/b": interrupted}
    with pytest.raises(KeyboardInterrupt):
        card.calls.measured(run, entries(card, [], **measures), minutes=1)
    kept = card.run_file.Run.read(tmp_path / "run.json")
    assert [*kept.entries] == ["one/a"] and not kept.begun


def test_an_entry_that_takes_too_long_is_given_up_and_not_begun_a_third_time(
    card: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(card.calls, "GRACE", 0.2)
    calls: list[str] = []
    for number in (1, 2, 2):
        run = new_run(card, tmp_path / "run.json")
        done = card.calls.measured(run, entries(card, calls, **{"one/a": lambda: time.sleep(60)}), minutes=0.2 / 60)
        assert len(calls) == number
    assert done and "2 calls ended within it" in run.entries["one/a"]["error"]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from card.calls import Entry, measured
from card.run_file import About, Run
import json
run = Run.open(Path(sys.argv[2]), About(**json.loads(sys.argv[3])))
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
measured(run, [Entry("one/a", lambda: {"ms": 1.0}), Entry("one/b", kill)], minutes=1)
"""


def test_the_file_of_a_killed_call_is_whole_and_tells_what_it_died_in(card: Any, tmp_path: Path):
    path = tmp_path / "run.json"
    for times in (1, 2):
        process = subprocess.run([sys.executable, "-c", KILLED, str(BENCHMARKS), str(path), json.dumps(ABOUT)])
        assert process.returncode == -signal.SIGKILL
        run = card.run_file.Run.read(path)
        assert [*run.entries] == ["one/a"] and run.begun == {"one/b": times}


def test_a_run_of_another_device_torch_or_commit_is_refused(card: Any, tmp_path: Path):
    new_run(card, tmp_path / "run.json").end("one/a", 1.0, outcome={})
    for name in ("device", "torch", "commit"):
        with pytest.raises(ValueError, match=f"whose {name} is other"):
            card.run_file.Run.open(tmp_path / "run.json", card.run_file.About(**{**ABOUT, name: "other"}))


intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda two: (two[0], two[0] + two[1])))


@given(intervals)
def test_the_union_of_intervals_is_what_any_of_them_covers(card: Any, drawn: list[tuple[int, int]]):
    covered = {moment for start, end in drawn for moment in range(start, end)}
    assert card.kernels.union([(float(start), float(end)) for start, end in drawn]) == len(covered)


def test_a_trace_is_counted_without_what_only_names_spans_of_the_device(card: Any):
    def event(category: str, start: float, length: float) -> dict[str, Any]:
        return {"ph": "X", "cat": category, "name": "a", "ts": start, "dur": length}

    events = [
        *(event("kernel", 0, 10), event("kernel", 5, 10), event("gpu_memcpy", 20, 5)),
        *(event("gpu_user_annotation", 0, 100), event("cpu_op", 0, 100), {"ph": "f", "cat": "ac2g", "ts": 0}),
    ]
    count, seconds = card.kernels.in_trace({"traceEvents": events})
    assert count == 2 and seconds == pytest.approx(20e-6)


def test_a_trace_that_torch_writes_is_read(card: Any):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        torch.ones(8, 8) @ torch.ones(8, 8)
    count, seconds = card.kernels.in_trace(card.kernels.trace_of(profiler), categories=["cpu_op"])
    assert count >= 2 and seconds > 0


def test_bytes_of_a_known_program(card: Any):
    x, y = torch.ones(10, 10), torch.ones(10, 10)  # 400 bytes each
    moved = card.traffic.bytes_of
    assert moved(lambda: x + y) == 3 * 400
    assert moved(lambda: x.t().reshape(4, 25)[:2]) == 2 * 400  # the reshape copies, views move nothing
    assert moved(lambda: x.add_(y)) == 3 * 400
    assert moved(lambda: x.copy_(y)) == moved(lambda: x.zero_()) + 400 == 2 * 400
    assert moved(lambda: torch.empty(10, 10)) == 0
    assert moved(lambda: x[:1].expand(10, 10) + y) == 400 + 2 * 400  # of the shared memory, no more than there is
    weight = torch.ones(100, requires_grad=True)
    optimizer = torch.optim.Adam([weight], fused=True)

    def step() -> None:
        weight.grad = torch.ones(100)
        optimizer.step()

    step()
    # Ones, the step's counter twice; reads weight, gradient and two moments, and writes all but the gradient (and, as
    # torch's schema says, that too).
    assert 400 * 8 <= moved(step) <= 400 * 9 + 64


def test_bytes_and_operations_of_a_backward_pass_are_counted(card: Any):
    weight, x = torch.ones(4, 4, requires_grad=True), torch.ones(4, 4)

    def both() -> None:
        (x @ weight).sum().backward()

    assert card.traffic.operations_of(both) == 2 * 2 * 4**3
    assert card.traffic.bytes_of(both) > card.traffic.bytes_of(lambda: (x @ weight).sum()) + 3 * 64


def test_what_two_batches_need_is_continued_to_others(card: Any):
    assert card.traffic.affine((2, 10 + 2 * 7), (4, 10 + 4 * 7), 64) == 10 + 64 * 7


@pytest.mark.parametrize(("fits", "expected"), [(100, 64), (16, 16), (8, 0), (10**6, 1024)])
def test_the_largest_batch_is_the_last_power_of_two_that_fits(card: Any, fits: int, expected: int):
    found, why = card.largest.upwards(lambda count: "" if count <= fits else "memory", 16, 1024)
    assert found == expected and why == ("memory" if fits < 1024 else "no more than 1024 was tried")


def test_draws_are_the_same_in_either_precision(card: Any):
    def drawn(kind: torch.dtype) -> list[torch.Tensor]:
        torch.set_default_dtype(kind)
        try:
            with card.same_draws.SameDraws(seed=3):
                like = torch.empty(4, dtype=kind)
                return [
                    torch.rand(3),
                    torch.rand_like(like),
                    like.uniform_(),
                    torch.randperm(5),
                    torch.randint(9, (4,)),
                ]
        finally:
            torch.set_default_dtype(torch.float32)

    for single, double in zip(drawn(torch.float32), drawn(torch.float64), strict=True):
        assert double.dtype == (torch.float64 if double.is_floating_point() else torch.int64)
        assert torch.equal(single.double(), double.double())


def filled_run(card: Any, path: Path) -> Any:
    """A run of a card, as a table needs it."""
    run = new_run(card, path)
    run.end("speeds", 1.0, outcome={"bfloat16 TFLOP/s": 100.0, "float32 TFLOP/s": 10.0, "copy GB/s": 1000.0})
    run.end("proof-float32/proto_net", 1.0, outcome={"loss error": 0.0})
    run.end("proof-zero/proto_net", 0.0, outcome={"deepspeed": None, "why": "it is not there"})
    step = {"batch": 16, "ms": 10.0, "kernels": 100, "share in kernels": 0.5, "peak GiB": 1.0}
    run.end("bfloat16/proto_net", 1.0, outcome={**step, "images/s": 1500.0, "waiting": 0.01})
    counted = {"batches": [2, 4], "operations": [5 * 10**10, 9 * 10**10], "bytes": [10**9, 2 * 10**9]}
    run.end("counts/proto_net", 1.0, outcome=counted)
    return run


def test_shares_of_the_device_are_those_of_operations_and_bytes_at_the_batch(card: Any, tmp_path: Path):
    run = filled_run(card, tmp_path / "run.json")
    of_products, of_copies = card.table.shares(run, "proto_net", run.outcome("bfloat16/proto_net"))
    assert of_products == pytest.approx((10**10 + 16 * 2 * 10**10) / 0.01 / 100e12)
    assert of_copies == pytest.approx(16 * 0.5e9 / 0.01 / 1000e9)


def test_recording_replaces_the_sentence_of_the_page_by_tables_of_figures(card: Any, tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/figures.yaml").write_text("{}")
    text = (BENCHMARKS.parent / "docs/performance.md").read_text(encoding="utf-8")
    page = tmp_path / "docs/performance.md"
    page.write_text("a\n\n<!--accelerator-->\nNo measurement.\n<!--/accelerator-->\n\nb\n")
    assert "<!--accelerator-->" in text and "<!--/accelerator-->" in text
    for _ in range(2):
        card.page.record(filled_run(card, tmp_path / "run.json"), tmp_path)
        shown = page.read_text()
        assert "No measurement" not in shown and shown.startswith("a\n") and shown.endswith("b\n")
        assert shown.count("accelerator/proto_net/step") == 1 and "A Card 80GB" in shown
        assert "<!--figure:accelerator/proofs-->1 of 1<!--/figure-->" in shown
    figures = (tmp_path / "docs/figures.yaml").read_text()
    changed = filled_run(card, tmp_path / "changed.json")
    changed.about = card.run_file.About(**{**ABOUT, "commit": "1234567-changed"})
    with pytest.raises(ValueError, match="must show what a commit does"):
        card.page.record(changed, tmp_path)
    assert "commit: '1234567'" in figures and "date: '2026-01-02'" in figures and "A Card 80GB" in figures


def test_runs_are_drawn_for_each_device(card: Any, tmp_path: Path):
    runs = [filled_run(card, tmp_path / "run.json")]
    drawn = card.history.drawn(runs)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")  # noqa: S314
    assert "A Card 80GB" in drawn and "1 proto_net" in drawn
    with pytest.raises(ValueError, match="must hold a run"):
        card.history.drawn([])


def test_a_machine_without_a_card_records_nothing():
    process = subprocess.run(
        [sys.executable, "benchmarks/accelerator.py", "--record"], cwd=BENCHMARKS.parent, capture_output=True, text=True
    )
    assert process.returncode == 0 and "there is none here" in process.stdout, process.stderr


@pytest.mark.services
def test_the_reduced_form_holds_every_proof_and_imports_no_ray():
    command = [sys.executable, "-X", "importtime", "benchmarks/accelerator.py", "--quick"]
    process = subprocess.run(command, cwd=BENCHMARKS.parent, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    assert "the run is complete" in process.stdout
    imported = {
        line.rpartition("|")[2].strip() for line in process.stderr.splitlines() if line.startswith("import time:")
    }
    assert "torch" in imported and not {name for name in imported if name == "ray" or name.startswith("ray.")}
    printed = dict(re.findall(r"^figure (\S+) (\S.*)$", process.stdout, re.MULTILINE))
    assert {"accelerator/card", "accelerator/proto_net/step", "accelerator/proto_net/use"} <= printed.keys()
    assert all(name.startswith("accelerator/") and re.search(r"\d", value) for name, value in printed.items())
    assert "nan" not in " ".join(printed.values())
    held, _, all_of_them = printed["accelerator/proofs"].partition(" of ")
    assert held == all_of_them and int(held) > 10

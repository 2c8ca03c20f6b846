"""The campaign of kills: ten of them break no promise, and a promise that is broken is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waiting import waited_for

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def campaign() -> Iterator[Any]:
    """The package of the campaign's parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import campaign.kills
        import campaign.promises
        import campaign.watch

        yield campaign


KINDS = ["driver", "worker", "node"]


def test_kills_follow_from_the_seed_and_every_kind_comes_as_often(campaign: Any):
    drawn = campaign.kills.drawn_kills(3, 30, KINDS)
    assert drawn == campaign.kills.drawn_kills(3, 30, KINDS) != campaign.kills.drawn_kills(4, 30, KINDS)
    assert drawn[:20] == campaign.kills.drawn_kills(3, 20, KINDS)
    assert Counter(kill.kind for kill in drawn) == dict.fromkeys(KINDS, 10)
    assert len({kill.gap for kill in drawn}) == 30


def test_other_results_are_told_with_what_differs(campaign: Any):
    expected = {"run a": {"PCK": [0.5, 0.4, 0.6], "best": "ab"}, "search": {"best": [1, 0.5]}}
    assert [*campaign.promises.same_results(expected, expected)] == []
    found = {"run a": {"PCK": [0.5, 0.4, 0.6], "best": "cd"}, "search": {"best": [1, 0.6]}}
    assert [*campaign.promises.same_results(found, expected)] == [
        "run a must end as undisturbed, but differs in best",
        "search must end as undisturbed, but differs in best",
    ]


@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.safetensors", "a.db", ".a.json.0123456789abcdef.part"])
def test_half_written_and_unfinished_files_are_told(campaign: Any, tmp_path: Path, name: str):
    (tmp_path / "whole.json").write_text("{}")
    assert [*campaign.promises.whole_files([tmp_path])] == []
    (tmp_path / name).write_text('{"half": ')
    (told,) = campaign.promises.whole_files([tmp_path])
    assert name in told


def test_a_finished_task_that_is_lost_or_done_again_is_told(campaign: Any, project: Path):
    watch = campaign.watch.Watch(project)
    record = project / "runs/baseline/seed-0/train/task.json"
    record.parent.mkdir(parents=True)
    for text, violations in (("1", 0), ("1", 0), ("2", 1)):
        record.write_text(text)
        watch.look()
        assert len(watch.violations) == violations
    record.unlink()
    watch.look()
    assert [line.partition("its record ")[2] for line in watch.violations] == ["was written again", "was lost"]


def command(folder: Path) -> list[str]:
    return [sys.executable, str(BENCHMARKS / "kills.py"), "--folder", str(folder), "--kills", "10", "--seed", "7"]


@pytest.mark.slow(minutes=10)
@pytest.mark.faults
@pytest.mark.timeout(5400)
def test_ten_kills_break_no_promise_though_the_campaign_itself_is_killed(tmp_path: Path):
    with (tmp_path / "first.log").open("wb") as log:
        first = subprocess.Popen(command(tmp_path), stdout=log, stderr=log)
    waited_for(lambda: first.poll() is not None or (tmp_path / "round-001/command-01.log").is_file(), 1800)
    assert first.poll() is None, (tmp_path / "first.log").read_text()
    undisturbed = (tmp_path / "round-000.json").read_bytes()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()

    second = subprocess.run(command(tmp_path), capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    assert (tmp_path / "round-000.json").read_bytes() == undisturbed, "not played again"
    assert "0 promises were broken" in second.stdout
    rounds = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("round-*.json"))]
    kills = [kill for one in rounds for kill in one["kills"]]
    assert len(kills) == 10 and all(kill["under_way"] for kill in kills)
    assert {"driver", "worker", "node", "tracker"} <= {kill["kind"] for kill in kills}
    assert not [*tmp_path.glob("round-*/")], "folders of rounds that broke nothing are removed"

    other = subprocess.run([*command(tmp_path), "--seed", "8"], capture_output=True, text=True)
    assert other.returncode == 2 and "must be of the same settings" in other.stderr

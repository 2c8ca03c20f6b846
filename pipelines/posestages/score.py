"""Stage ``score``: every metric of a run with its intervals, and the run's mirror in MLflow.

Usage: python -m posestages.score KEY
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posebed import provenance
from posebed.config import ScoringConfig, read_params
from posebed.records import write_text
from posebed.scoring.predictions import read_predictions
from posebed.scoring.result import Cost, Epoch, Provenance, Result, write_result
from posebed.scoring.scores import score_predictions
from posestages.stage import PARAMS, only_key, prepared, run, run_folder, split_folder

LOCK = Path("requirements.lock.txt")


def score(key: str, scoring: ScoringConfig) -> Result:
    """Score the run's table of predictions; write ``runs/KEY/result.json`` and ``metrics.json``."""
    folder = run_folder(key)
    about = json.loads((folder / "train/run.json").read_text())
    curve = [Epoch.model_validate(line) for line in json.loads((folder / "train/curve.json").read_text())]
    scores = score_predictions(read_predictions(folder / "predicted/predictions.parquet"), scoring)
    copied = ("key", "fingerprint", "task", "data", "split", "pack", "seed", "config", "train")
    result = Result(
        **{name: about[name] for name in copied},
        model=about["model"].rpartition(".")[2],
        protocol=_protocol(about),
        **dict(scores),
        curve=curve,
        cost=Cost.model_validate_json((folder / "predicted/cost.json").read_text()),
        provenance=_provenance(about, curve, folder / "train/best.safetensors"),
    )
    write_text(json.dumps({s.metric: s.value for s in result.scores}, indent=1), folder / "metrics.json")
    write_result(result, folder / "result.json")
    return result


def _protocol(about: dict[str, Any]) -> dict[str, str]:
    """What the numbers depend on beside the model: runs that differ here are never compared."""
    protocol = {"part": "test", "boxes": "ground truth"}
    return protocol | ({"shots": str(about["shots"])} if about["shots"] else {})


def _provenance(about: dict[str, Any], curve: list[Epoch], checkpoint: Path) -> Provenance:
    commit, dirty = provenance.commit()
    split = split_folder(about["split"])
    episodes = split / "episodes.parquet"
    return Provenance(
        commit=commit,
        dirty=dirty,
        data_hash=provenance.output_hash(prepared(about["data"])),
        split_hash=provenance.output_hash(split),
        episodes_hash=provenance.file_hash(episodes) if episodes.is_file() else None,
        lock_hash=provenance.file_hash(LOCK) if LOCK.is_file() else "none",
        checkpoint_hash=provenance.file_hash(checkpoint),
        checkpoint=checkpoint.as_posix(),
        software=provenance.software(),
        hardware=f"{curve[-1].device}; {provenance.hardware()}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def mirror(results: list[Result]) -> None:
    """Write results to the tracker. One that is out of reach is told and costs nothing: the files are the truth."""
    from posebed.reporting.tracking import Tracker, Unreachable

    try:
        tracker = Tracker()
        for result in results:
            tracker.log_result(result)
    except Unreachable as error:
        print(f"the tracker is out of reach; `posebed track` fills it later: {error}", file=sys.stderr)


def main(arguments: list[str]) -> None:
    mirror([score(only_key(arguments), read_params(PARAMS).scoring)])


if __name__ == "__main__":
    run(main)

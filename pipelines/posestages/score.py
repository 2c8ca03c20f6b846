"""Stage ``score``: every metric of a run with its intervals, and the run's mirror in MLflow.

Usage: python -m posestages.score KEY
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posebed import provenance
from posebed.config import Params, read_params
from posebed.records import DEFAULT_SIGMA, write_text
from posebed.scoring.predictions import read_predictions
from posebed.scoring.result import Cost, Epoch, Provenance, Result, write_result
from posebed.scoring.scores import score_predictions
from posebed.scoring.suppression import DUPLICATE
from posestages.commands.mirror import mirror
from posestages.commands.preset_matching import repeat_of
from posestages.stage import PARAMS, PREDICTIONS, only_key, prepared, run, run_folder, split_folder

STARTS = {"init_from": "started from", "imported": "weights imported from", "params_from": "parameters from"}
"""What ``run.json`` may name as the origin of weights or parameters, and its label."""
LOCK = Path("requirements.lock.txt")


def score(key: str, params: Params) -> Result:
    """Score the run's table of predictions; write ``runs/KEY/result.json`` and ``metrics.json``."""
    folder = run_folder(key)
    about = json.loads((folder / "train/run.json").read_text())
    curve = [Epoch.model_validate(line) for line in json.loads((folder / "train/curve.json").read_text())]
    scores = score_predictions(read_predictions(folder / PREDICTIONS), params.scoring)
    copied = ("key", "fingerprint", "task", "data", "split", "pack", "seed", "config", "train")
    result = Result(
        **{name: about[name] for name in copied},
        model=about["model"].rpartition(".")[2],
        protocol=_protocol(about),
        answered=_inference_settings(about),
        **dict(scores),
        curve=curve,
        shortfalls=about.get("shortfalls", []),
        cost=Cost.model_validate_json((folder / "predicted/cost.json").read_text()),
        provenance=_provenance(about, curve, folder / "train/best.safetensors"),
        repeats=repeat_of(params, key),
    )
    write_text(json.dumps({s.metric: s.value for s in result.scores}, indent=1), folder / "metrics.json")
    write_result(result, folder / "result.json")
    return result


def _protocol(about: dict[str, Any]) -> dict[str, str]:
    """What the numbers depend on beside the model: runs that differ here are never compared."""
    data = json.loads((prepared(about["data"]) / "about.json").read_text())
    files = " ".join(note for note in data["notes"] if ".json" in note)
    return {
        "part": "test",
        **({"annotations": files} if files else {}),
        "boxes": about["boxes"],
        "padding": f"{about['padding']:g}",
        "OKS sigmas": _sigmas(about["categories"]),
        "OKS-NMS": f"{DUPLICATE:g}",
        **(_episodes(about) if about["shots"] else {}),
    }


def _episodes(about: dict[str, Any]) -> dict[str, str]:
    split = json.loads((split_folder(about["split"]) / "about.json").read_text())
    return {"shots": str(about["shots"]), "episodes": split["draw"]}


def _sigmas(categories: list[dict[str, Any]]) -> str:
    without = [category["key"] for category in categories if not category["sigmas"]]
    if len(without) in (0, len(categories)):
        return f"{DEFAULT_SIGMA:g} for every keypoint" if without else "the dataset's own"
    return f"the dataset's own, {DEFAULT_SIGMA:g} for {', '.join(without)}"


def _inference_settings(about: dict[str, Any]) -> dict[str, str]:
    """Input, backbone, target, flip test and origin of the weights: runs that differ here are compared."""
    config = about["config"]
    facts = ("backbone", "width", "text_encoder", "target", "flip_test")
    named = [name for name in config if name in facts or name.endswith("weights")]
    height, width = about["size"]
    return {
        "input": f"{height} x {width}",
        "crop": about["convention"],
        **{name.replace("_", " "): str(config[name]) for name in named},
        **{label: about[name] for name, label in STARTS.items() if about.get(name)},
    }


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
        hardware="; ".join([*(line.device for line in curve[-1:]), provenance.hardware()]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def main(arguments: list[str]) -> None:
    mirror([score(only_key(arguments), read_params(PARAMS))])


if __name__ == "__main__":
    run(main)

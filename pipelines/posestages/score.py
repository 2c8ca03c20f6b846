"""Every metric of a run and of its members, with their intervals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posebed import provenance
from posebed.catalog import Catalog
from posebed.contracts import MetricSpec
from posebed.data.splits import SPLIT, SPLIT_AGAIN
from posebed.experiment import RUN
from posebed.files import file_hash, must_be_as_written, must_be_file
from posebed.listing import shortened
from posebed.metrics.coco.suppression import DUPLICATE
from posebed.own_json import read_json
from posebed.params import Params
from posebed.places import LOCK_FILE, member_folder, prepared_folder, run_folder, split_folder
from posebed.predictions import PREDICTIONS, Predictions, read_predictions
from posebed.provenance import Origin
from posebed.records import DEFAULT_SIGMA, PREPARED
from posebed.scoring.members import combined
from posebed.scoring.result import RESULT_FILE, Epoch, Provenance, Result, read_cost, read_curve, write_result
from posebed.scoring.scores import score_predictions
from posebed.spec_text import Stated
from posestages.commands.preset_matching import repeat_of
from posestages.stage import entry, usable_metrics

STARTS = {"init_from": "started from", "imported": "weights imported from", "params_from": "parameters from"}
"""What ``run.json`` may name as the origin of weights or parameters, and its label."""


def score(key: str, params: Params, catalog: Catalog, origin: Origin) -> Result:
    """Score the tables of predictions of a run's members, or what was submitted; write ``result.json`` of each and of
    the run.

    Args:
        origin: of code and data.

    Raises:
        LookupError: there is no run of that name, or a member has no predictions.
        ValueError: members did not answer the same queries, or what was submitted is no answer to the split's.
    """
    if key in params.submissions:
        from posestages.submitted import score_submission  # needs torch, which the score of a run does not

        return score_submission(key, params, catalog, origin)
    folders = [member_folder(key, seed) for seed in entry("runs", params.runs, key).seeds]
    if absent := [folder.as_posix() for folder in folders if not os.path.lexists(folder / PREDICTIONS)]:
        raise LookupError(f"every member of {key} must have {PREDICTIONS}, but there is none in {shortened(absent)}")
    tables = [read_predictions(folder / PREDICTIONS) for folder in folders]
    specs = [*usable_metrics(catalog)[0].values()]
    results = [
        _member(key, folder, table, params, catalog, specs, origin)
        for folder, table in zip(folders, tables, strict=True)
    ]
    result = combined(results, tables, params.scoring, specs)
    for member, folder in zip(results, folders, strict=True):
        write_result(member, folder / RESULT_FILE)
    write_result(result, run_folder(key) / RESULT_FILE)
    return result


def metrics_of(results: Iterable[Result]) -> dict[str, dict[str, float]]:
    """Run to metric to value."""
    return {result.key: {score.metric: score.value for score in result.scores} for result in results}


def _member(
    key: str,
    folder: Path,
    table: Predictions,
    params: Params,
    catalog: Catalog,
    specs: Sequence[MetricSpec],
    origin: Origin,
) -> Result:
    """The result of what lies in a member's folder."""
    path = folder / "train/run.json"
    about = read_json(path, RUN)
    try:
        stated = catalog.stated(about["model"])
    except LookupError as error:
        raise LookupError(f"{path}: {error}") from error
    curve = read_curve(folder / "train/curve.json")
    must_be_as_written(folder / "train/curve.json", about, RUN.again)
    copied = ("fingerprint", "task", "data", "split", "pack", "seed", "config", "train")
    return Result(
        key=key,
        **{name: about[name] for name in copied},
        seeds=(about["seed"],),
        model=about["model"],
        method=params.runs[key].method or key,
        floor=stated.floor,
        protocol=protocol_of(about),
        answered=_inference_settings(about, stated),
        trained_on=_training_records(about["split"]),
        **dict(score_predictions(table, params.scoring, specs)),
        curve=curve,
        shortfalls=about.get("shortfalls", []),
        cost=read_cost(folder / "predicted/cost.json"),
        provenance=provenance_of(about, curve, folder / "train/best.safetensors", origin),
        repeats=repeat_of(params, key, catalog),
    )


def protocol_of(about: dict[str, Any]) -> dict[str, str]:
    """What the numbers depend on beside the model: runs that differ here are never compared."""
    data = read_json(prepared_folder(about["data"]) / "about.json", PREPARED)
    files = " ".join(note for note in data["notes"] if ".json" in note)
    return {
        "part": "test",
        **({"annotations": files} if files else {}),
        "boxes": about["boxes"],
        "padding": f"{about['padding']:g}",
        "OKS sigmas": _sigmas(about["categories"]),
        "OKS-NMS": f"{DUPLICATE:g}",
        **(_episodes(about) if about["shots"] else {}),
        **about.get("protocol", {}),
    }


def _training_records(split: str) -> int | None:
    """None where the split was written before it said so."""
    records = read_json(split_folder(split) / "about.json", SPLIT).get("records")
    return None if records is None else sum(records.get("train", {}).values())


def _episodes(about: dict[str, Any]) -> dict[str, str]:
    split = read_json(split_folder(about["split"]) / "about.json", SPLIT)
    if "draw" not in split:
        raise ValueError(
            f"{split_folder(about['split'])}/about.json must say how its episodes were drawn; {SPLIT_AGAIN}"
        )
    return {"shots": str(about["shots"]), "episodes": split["draw"]}


def _sigmas(categories: list[dict[str, Any]]) -> str:
    without = [category["key"] for category in categories if not category["sigmas"]]
    if len(without) in (0, len(categories)):
        return f"{DEFAULT_SIGMA:g} for every keypoint" if without else "the dataset's own"
    return f"the dataset's own, {DEFAULT_SIGMA:g} for {', '.join(without)}"


def _inference_settings(about: dict[str, Any], model: Stated) -> dict[str, str]:
    """Input, what the model says of its network, and origin of the weights: runs that differ here are compared."""
    height, width = about["size"]
    return {
        "input": f"{height} x {width}",
        "crop": about["convention"],
        **{name.replace("_", " "): str(about["config"][name]) for name in model.answering if name in about["config"]},
        **{label: about[name] for name, label in STARTS.items() if about.get(name)},
    }


def provenance_of(about: dict[str, Any], curve: list[Epoch], checkpoint: Path, origin: Origin) -> Provenance:
    """
    Args:
        checkpoint: the file of the weights that predicted, or of the answers that were submitted.
    """
    split = split_folder(about["split"])
    episodes = split / "episodes.parquet"
    must_be_file(
        checkpoint, "what predicted", "put it back, or `posebed run` makes it again once its folder is removed"
    )
    return Provenance(
        commit=origin.commit,
        dirty=origin.dirty,
        data_hash=origin.data_hash,
        split_hash=provenance.output_hash(split),
        episodes_hash=file_hash(episodes) if episodes.is_file() else None,
        lock_hash=file_hash(LOCK_FILE) if LOCK_FILE.is_file() else "none",
        checkpoint_hash=file_hash(checkpoint),
        checkpoint=checkpoint.as_posix(),
        software={**provenance.software(), "model from": about.get("origin", "posebed")},
        hardware="; ".join([*(line.device for line in curve[-1:]), provenance.hardware()]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )

"""Answers that were made elsewhere, scored like those of a run: the queries that they are for, and their result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from posebed.catalog import Catalog
from posebed.config import SplitConfig, SubmissionConfig
from posebed.contracts import Task
from posebed.data.pack import PACK, Pack
from posebed.data.splits import read_split
from posebed.files import file_hash
from posebed.own_json import read_json
from posebed.params import Params
from posebed.places import member_folder, pack_folder, run_folder, split_folder
from posebed.predictions import PREDICTIONS, write_predictions
from posebed.provenance import Origin
from posebed.scoring.members import combined
from posebed.scoring.result import RESULT_FILE, Cost, Result, write_result
from posebed.scoring.scores import score_predictions
from posebed.submissions.answers import read_answers
from posebed.submissions.questions import Questions
from posestages.score import protocol_of, provenance_of
from posestages.stage import usable_metrics


def task_of(entry: SubmissionConfig, split: SplitConfig) -> Task:
    """As stated, or by whether the split has episodes."""
    if entry.task:
        return Task(entry.task)
    return Task.CATEGORY_AGNOSTIC if split.episodes else Task.CATEGORY_SPECIFIC


def questions_of(params: Params, entry: SubmissionConfig) -> Questions:
    """The queries that a submission answers.

    Raises:
        ValueError: split or pack were not made yet, or there is no query.
    """
    pack, split = Pack.open(pack_folder(entry.pack)), read_split(split_folder(entry.split))
    return Questions.of(task_of(entry, params.splits[entry.split]), pack, split)


def score_submission(key: str, params: Params, catalog: Catalog, origin: Origin) -> Result:
    """Read a submission; write its answers as the table of predictions of a member, and ``result.json`` as of a run.

    Raises:
        ValueError: it does not answer the queries; nothing is written then.
    """
    entry = params.submissions[key]
    questions = questions_of(params, entry)
    table, folder = read_answers(Path(entry.file), questions), member_folder(key, 0)
    specs = [*usable_metrics(catalog)[0].values()]
    about = _about(key, params, questions.pack)
    answered = {"made by": entry.made_by, "described in": entry.paper}
    provenance = provenance_of(about, [], Path(entry.file), origin)
    own = Result(
        **{name: about[name] for name in ("key", "fingerprint", "task", "data", "split", "pack", "seed")},
        seeds=(about["seed"],),
        model="submitted",
        method=entry.method or key,
        submitted=True,
        config={},
        train={},
        protocol=protocol_of(about),
        answered={name: words for name, words in answered.items() if words},
        **dict(score_predictions(table, params.scoring, specs)),
        curve=[],
        cost=Cost(parameters=None, gflops=None, ms_per_image=None, train_seconds=None, device=""),
        provenance=provenance.model_copy(update={"hardware": "not known, as the answers were made elsewhere"}),
    )
    result = combined([own], [table], params.scoring, specs)
    write_predictions(table, folder / PREDICTIONS)
    write_result(own, folder / RESULT_FILE)
    write_result(result, run_folder(key) / RESULT_FILE)
    return result


def _about(key: str, params: Params, pack: Pack) -> dict[str, Any]:
    """What ``run.json`` says of a trained run, as far as it can be said of a submission."""
    entry = params.submissions[key]
    split = params.splits[entry.split]
    task = task_of(entry, split)
    episodes = split.episodes if task is Task.CATEGORY_AGNOSTIC else None
    told = {"told": entry.told, "shots": "" if entry.shots is None else str(entry.shots)}
    return {
        "key": key,
        "fingerprint": file_hash(Path(entry.file)),
        "task": str(task),
        "data": split.data,
        "split": entry.split,
        "pack": entry.pack,
        "seed": 0,
        "boxes": "annotated",
        "padding": read_json(pack.folder / "about.json", PACK)["padding"],
        "categories": [asdict(category) for category in pack.categories],
        "shots": episodes.shots if episodes else 0,
        "protocol": {name: words for name, words in told.items() if words},
        "origin": "a submission",
    }

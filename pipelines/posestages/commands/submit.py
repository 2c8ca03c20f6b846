"""Answers that were made elsewhere: the queries that others are given, and what they hand in as part of the project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posebed.config import ANSWERS, SubmissionConfig
from posebed.files import remove, write_bytes
from posebed.forms import sentence
from posebed.params import Params, read_params
from posebed.places import PARAMS, SUBMISSIONS
from posebed.scoring.result import Result
from posebed.submissions.answers import read_answers
from posestages.commands.presets import add
from posestages.stage import entry
from posestages.submitted import questions_of


def write_queries(out: Path, split: str, pack: str | None = None, task: str | None = None) -> int:
    """Write the queries of a split's test part and their supports, for those who answer them; returns their number.

    Args:
        pack: any of the split's data; by default its only one.
        task: as in ``SubmissionConfig``.

    Raises:
        LookupError: there is no such split.
        ValueError: the file's ending, or the data was not made yet.
    """
    if out.suffix not in ANSWERS:
        raise ValueError(f"the queries must be a file that ends with {' or '.join(ANSWERS)}, but are {out.name}")
    params = read_params(PARAMS)
    wanted = _with_pack(params, {"file": out.name, "split": split, "pack": pack, "task": task})
    questions = questions_of(*_with_submission(params, "queries", wanted))
    of = params.splits[split]
    shots = {"shots": str(of.episodes.shots)} if of.episodes and questions.episodic else {}
    questions.write(out, {"data": of.data, "split": split, "part": "test", **shots})
    return len(questions.queries)


def submit(file: Path, key: str, about: Mapping[str, Any]) -> Result:
    """Check a file of answers, keep it in ``submissions/``, name it in the parameters and score it.

    Args:
        about: fields of ``SubmissionConfig`` but for the file; None stands for their defaults.

    Raises:
        LookupError: there is no such split.
        ValueError: the key is taken, or the file does not answer the queries; nothing is written then.
    """
    params = read_params(PARAMS)
    if key in params.scored:
        raise ValueError(f"--name must be new, but {PARAMS} has {key!r} already; take another, or remove that entry")
    kept = SUBMISSIONS / f"{key}{file.suffix}"
    if kept.exists() and not (file.exists() and kept.samefile(file)):
        raise ValueError(f"--name must be new, but there is {kept} already; take another, or remove that file")
    wanted = _with_pack(params, {"file": kept.as_posix(), **about})
    read_answers(file, questions_of(*_with_submission(params, key, wanted)))
    new = not kept.exists()
    if new:
        write_bytes(file.read_bytes(), kept)
    try:
        add({"submissions": {key: wanted}}, PARAMS)
    except BaseException:  # an interrupt, too: the file would take the name
        if new:
            remove(kept)
        raise
    return _scored(key)


def _with_pack(params: Params, about: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a submission, with the only pack of its data where none is."""
    said = {name: value for name, value in about.items() if value not in (None, "")}
    if "pack" not in said:
        data = entry("splits", params.splits, said["split"]).data
        packs = [key for key, pack in params.packs.items() if pack.data == data]
        if len(packs) != 1:
            raise ValueError(f"--pack must name one of the data {data}, which has {', '.join(packs) or 'none'}")
        said["pack"] = packs[0]
    return said


def _with_submission(params: Params, key: str, wanted: Mapping[str, Any]) -> tuple[Params, SubmissionConfig]:
    """The parameters with one submission more, and that one."""
    sections = params.model_dump(include={"data", "splits", "packs"}, exclude_unset=True)
    try:
        more = Params.model_validate({**sections, "submissions": {key: wanted}})
    except ValidationError as error:
        raise ValueError(sentence(error, PARAMS.name)) from error
    return more, more.submissions[key]


def _scored(key: str) -> Result:
    """The result, tracked and in the report."""
    from posestages.commands.mirror import mirror
    from posestages.interface import Project
    from posestages.report import update_report

    result = Project.open().run(key).train().result
    mirror([result])
    update_report(read_params(PARAMS))
    return result

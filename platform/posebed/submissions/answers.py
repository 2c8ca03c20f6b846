"""Answers that are handed in: COCO's results, in JSON or as the columns of a Parquet file, and what is wrong with them.

An answer has ``record``, that of its query; where there are episodes ``episode``; and ``keypoints``, x, y in pixels of
the whole image and a confidence in 0..1 for each keypoint of the category. COCO's ``image_id`` and ``category_id`` may
stand beside them and are compared with those of the list of queries; ``score`` may as well and is not used, since the
score of an instance is made of its confidences, as it is for runs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from posebed.annotations.checks import reach
from posebed.config import ANSWERS
from posebed.limits import SIDES_BEYOND
from posebed.listing import counted, reason, shortened, shown
from posebed.own_json import read_json_list
from posebed.parquet import read_any_table
from posebed.predictions import Predictions
from posebed.records import Record
from posebed.submissions.questions import Questions

_IDS = ("image_id", "category_id")
_ALLOWED = (*_IDS, "score")
_CORRECT = "correct it, or write it again as `posebed queries` and docs/submissions.md say"
Answer = dict[str, Any]
"""As a file has it: what it holds is checked only later."""


def read_answers(path: Path, questions: Questions) -> Predictions:
    """The answers of a file beside the truth.

    Raises:
        ValueError: it cannot be read, or does not answer each query once; in one sentence with the number of mistakes
            of each kind.
    """
    answers = _read(path)
    needed = ("episode", "record", "keypoints") if questions.episodic else ("record", "keypoints")
    _check_fields(answers, needed, path)
    place = {(query.episode, questions.records[query.row].record): i for i, query in enumerate(questions.queries)}
    mistakes = _Mistakes(questions)
    found: dict[int, Answer] = {}
    for answer in answers:
        query = place.get((answer.get("episode", -1), answer["record"])) if _is_named(answer) else None
        if query is None:
            mistakes.note(mistakes.of_stranger(answer), answer)
        elif query in found:
            mistakes.note("of a query that is answered already", answer)
        else:
            found[query] = answer
            mistakes.of_answer(answer, questions.records[questions.queries[query].row])
    missing = [name for name, i in place.items() if i not in found]
    if complaints := [*mistakes.sentences(), *_missing(missing, questions.episodic)]:
        raise ValueError(
            f"{path} must answer each of {len(place)} queries once, with x, y and a confidence in 0..1 for each "
            f"keypoint, but {'; '.join(complaints)}"
        )
    return questions.table(*_arrays([found[i] for i in range(len(place))], questions.pack.max_keypoints))


def _read(path: Path) -> list[Answer]:
    if path.suffix not in ANSWERS:
        raise ValueError(f"answers must be a file that ends with {' or '.join(ANSWERS)}, but are {path.name}")
    if not path.is_file():
        raise ValueError(f"answers must be a file, but {path} is {'none' if path.exists() else 'not there'}")
    if path.suffix == ".json":
        answers = read_json_list(path, "a list of answers", _CORRECT)
    else:
        table = read_any_table(path, "answers", _CORRECT)
        if len({*table.column_names}) < table.num_columns:
            raise ValueError(f"{path} must have every column once, but has {shortened(table.column_names)}")
        try:
            answers = table.to_pylist()
        except (ValueError, OverflowError, pa.ArrowException) as error:  # such as a date beyond all
            raise ValueError(f"{path} must be answers as Parquet, but cannot be read: {reason(error)}") from error
    if others := sum(not isinstance(answer, dict) for answer in answers):
        raise ValueError(f"{path} must be a list of answers, each an object, but {others} of {len(answers)} are none")
    return answers


def _check_fields(answers: Sequence[Answer], needed: Sequence[str], path: Path) -> None:
    """Refuse further fields, which might mean something, and answers without the needed ones."""
    extra = Counter(name for answer in answers for name in answer if name not in (*needed, *_ALLOWED))
    lacking = Counter(name for answer in answers for name in needed if name not in answer)
    complaints = [
        *(f"{counted(times, 'answer')} lack{'s' if times == 1 else ''} {name}" for name, times in lacking.items()),
        *(f"{counted(times, 'answer')} ha{'s' if times == 1 else 've'} {shown(name)}" for name, times in extra.items()),
    ]
    if complaints:
        raise ValueError(
            f"{path} must hold answers with {', '.join(needed)}, beside which {', '.join(_ALLOWED)} may stand, but "
            f"{', '.join(complaints[:10])}{f' and {len(complaints) - 10} more such' if len(complaints) > 10 else ''}"
        )


def _is_named(answer: Answer) -> bool:
    """Whether its record and episode are of the right types; ``True`` would be found as episode 1."""
    return isinstance(answer["record"], str) and type(answer.get("episode", -1)) is int


class _Mistakes:
    """How often each mistake was made, with the first answer that made it."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._number, self._first = Counter[str](), dict[str, str]()
        self._supports = defaultdict[int, set[str]](set)
        for query in questions.queries:
            self._supports[query.episode] |= {questions.records[row].record for row in query.supports}

    def note(self, mistake: str, answer: Answer) -> None:
        self._number[mistake] += 1
        self._first.setdefault(mistake, _name(answer["record"], answer.get("episode", -1)))

    def of_stranger(self, answer: Answer) -> str:
        """What is wrong with an answer to no query."""
        if not _is_named(answer):
            return "of no query, as record must be text and episode a whole number"
        episode = answer.get("episode", -1)
        if answer["record"] in self._supports.get(episode, ()):
            return "of a support of its episode"
        if self._questions.episodic and episode not in self._supports:
            return "of an episode that there is not"
        return "of no query"

    def of_answer(self, answer: Answer, record: Record) -> None:
        """Note what is wrong with the answer to the query of this record."""
        wanted = {
            "image_id": self._questions.image_id[record.image],
            "category_id": self._questions.category_id[record.category],
        }
        for name in _IDS:
            if answer.get(name) not in (None, wanted[name]):
                self.note(f"of a query with another {name}", answer)
        numbers = answer["keypoints"]
        count = len(cast("list[object]", numbers)) if isinstance(numbers, list) else 0
        if count != 3 * self._questions.keypoints[record.category]:
            return self.note("without 3 numbers for each keypoint of its category", answer)
        try:
            values = np.array([number if type(number) in (int, float) else np.nan for number in numbers], float)
        except OverflowError:  # a whole number beyond what any float holds
            values = np.array([np.inf])
        if not (np.abs(values) <= np.finfo(np.float32).max).all():  # as which they are kept
            self.note("with a number that is not finite", answer)
        elif _is_far(values, record):
            self.note(f"with a keypoint farther than {SIDES_BEYOND} sides from its picture", answer)
        elif ((values[2::3] < 0) | (values[2::3] > 1)).any():
            self.note("with a confidence outside of 0..1", answer)

    def sentences(self) -> Iterable[str]:
        for mistake, number in self._number.items():
            of = f"{counted(number, 'answer')} {'is' if number == 1 else 'are'}"
            yield f"{of} {mistake}, such as {self._first[mistake]}"


def _is_far(values: np.ndarray, record: Record) -> bool:
    """Whether some x or y of x, y, confidence, ... is one that no annotation of the record's picture may have."""
    low, high = reach((record.width, record.height))
    xy = values.reshape(-1, 3)[:, :2]
    return bool(((xy < low) | (xy > high)).any())


def _missing(names: Sequence[tuple[int, str]], episodic: bool) -> Iterable[str]:
    if names:
        episode, record = names[0]
        of = "query has no answer" if len(names) == 1 else "queries have no answer"
        yield f"{len(names)} {of}, such as {_name(record, episode)}"


def _name(record: object, episode: object) -> str:
    return shown(record) + (f" in episode {shown(episode)}" if episode != -1 else "")


def _arrays(answers: Sequence[Answer], largest: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, K, 2) and (n, K), K being the largest number of keypoints; 0 beyond an answer's own."""
    padded = np.zeros((len(answers), largest * 3))
    for row, answer in zip(padded, answers, strict=True):
        row[: len(answer["keypoints"])] = answer["keypoints"]
    padded = padded.reshape(len(answers), largest, 3)
    return padded[..., :2], padded[..., 2]

"""A Result: everything that is known about one run, as it stands in ``runs/KEY/result.json``.

Trackers and reports are made from this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from posebed.config import Key, Section, read_section
from posebed.files import write_text
from posebed.forms import Whole, checked
from posebed.own_json import Kind, json_text, read_json_list, write_json
from posebed.places import member_folder

RESULT = Kind("a result", again="remove it, and `posebed run` scores again")
COST = Kind("the cost of a run", again="remove its folder, and `posebed run` predicts again")

BY_KEYPOINT = "PCK@0.2"
"""The metric of ``Result.by_keypoint``."""
RESULT_FILE = "result.json"
"""In the folder of a run, and in that of each of its members."""


_LEADING = {"PCK@0.2": 2, "AP": 1}
_COLUMNS = ("PCK@0.05", "mPCK@.05-.20", "mPCK@.05-.25", "NME", "AP")
_UNITS = {"NME": "box sides", "EPE": "pixels"}
"""Of scores that were written before they said so themselves."""


class Score(Section):
    """One metric of one run."""

    metric: str
    """Name, unique per definition: two definitions never share a name."""
    definition: str
    """One sentence."""
    value: float
    """Mean over members."""
    spread: float | None = None
    """Standard deviation over members; None where there is one."""
    low: float
    high: float
    """95 % interval, resampling members and images."""
    low_categories: float | None = None
    high_categories: float | None = None
    """95 % interval, resampling members and categories; None where there is one category."""
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    """Empty for a share."""
    leads: int = 0
    """Priority: the metric with the highest number orders the table; 0 orders none."""
    column: bool = False
    """Whether it is a column in the table of its protocol."""

    @model_validator(mode="after")
    def _placed(self) -> Score:
        """Scores did not say before where they stand: all were of the engine's own metrics, which do."""
        own = {"leads": _LEADING.get(self.metric, 0), "column": self.metric in _COLUMNS}
        own |= {"unit": _UNITS.get(self.metric, "")}
        if "leads" not in self.model_fields_set:
            for name in own.keys() - self.model_fields_set:
                object.__setattr__(self, name, own[name])  # sections are frozen for whoever uses them
        return self


class Epoch(Section):
    """One line of the learning curve."""

    epoch: int
    """Counted from 1: epochs that are done."""
    loss: float
    losses: dict[str, float]
    learning_rate: float
    seconds: float
    images_per_second: float
    waiting: float
    """Share of the epoch's time spent waiting for data."""
    validation: float | None = None
    """On the validation part, where it was measured."""
    judged_by: str = "PCK@0.2"
    """The metric that the validation is."""
    device: str = ""
    """What it ran on, such as ``2 x cpu``."""
    mode: str = ""
    """How its steps were computed: precision, and whether compiled."""
    system: dict[str, float] = {}
    """CPU and memory use, and the accelerator's, at the end of the epoch."""


class Cost(Section):
    """None where it is not known, as of answers that were made elsewhere."""

    parameters: Annotated[int, Field(ge=0, le=10**15)] | None
    gflops: float | None
    """Billions of multiply-adds for one crop, which the papers of the field call GFLOPs: with all that is computed of
    its supports, as if no other query shared them. None where the model makes none."""
    ms_per_image: float | None
    """Prediction time per crop, median over batches; of the time for supports, the share of one of the queries that
    are answered with them."""
    train_seconds: float | None
    device: str
    """Empty where it is not known."""


class Provenance(Section):
    """Where the numbers come from."""

    commit: str
    dirty: bool
    """Whether tracked files differed from the commit."""
    data_hash: str
    split_hash: str
    episodes_hash: str | None
    lock_hash: str
    checkpoint_hash: str
    """sha256 of the weights that predicted, or of the file that was submitted."""
    checkpoint: str
    """Where those weights or that file lie, relative to the project."""
    software: dict[str, str]
    hardware: str
    created: str
    """UTC, ISO 8601."""


class Member(Section):
    """A run's training with one of its seeds."""

    seed: Whole
    fingerprint: str
    scores: dict[str, float]
    """By metric."""
    cost: Cost
    checkpoint_hash: str
    result: str
    """File of its own result, which has its learning curve and intervals, relative to the project."""


class PairError(Section):
    """Left and right of one pair of mirror partners."""

    spe: float | None
    """Symmetric-pair error, mean over members; None where no keypoint was judged."""
    judged: int
    """Keypoints whose partner counts and lies apart."""
    too_close: int
    """Keypoints whose partner counts, but lies too close to tell the two apart; not judged."""


class Repeat(Section):
    """Which published run a run repeats, and how it departs from it."""

    preset: str
    changed: str = ""
    """Settings that differ from the preset's, in words."""
    apart: tuple[str, ...] = ()
    """Differences that make its numbers those of another protocol, such as other data."""


class Result(Section):
    """Result of a run, or of one of its members. With several members, scores and times of the cost are means."""

    key: Key
    fingerprint: str
    """Identity of what decides the numbers; of a run with several members, made of theirs."""
    model: str
    """Its name; of a submission ``submitted``."""
    method: str | None = None
    """What runs on other splits are the same method; None in results that did not say so."""
    floor: bool = False
    """Whether the model ignores the picture."""
    submitted: bool = False
    """Whether the answers were made elsewhere and handed in."""
    task: str
    data: Key
    split: Key
    pack: Key
    seed: Whole
    """Seed of the first member."""
    seeds: tuple[Whole, ...] = ()
    """Seeds of all members; by default the one seed."""
    members: tuple[Member, ...] = ()
    """In the order of ``seeds``; empty where the result is a member's own."""
    config: dict[str, Any]
    train: dict[str, Any]
    protocol: dict[str, str]
    """How the numbers were measured: part, annotations, boxes, padding, sigmas, shots. Runs that differ here are not
    compared; shown beside every table."""
    answered: dict[str, str] = {}
    """How the model predicts: input size, target, flip test, backbone, initial weights. Shown with the run; runs that
    differ here are compared."""
    trained_on: int | None = None
    """Records of the training part; None in results that did not say so."""
    instances: int
    """Distinct records."""
    images: int
    queries: int
    """Predictions that were scored; in episodes a record may be the query many times."""
    without_keypoints: int
    """Queries with no keypoint that counts; they score 0 as in the official MP-100 code. In a detector's boxes, which
    are no truths, there are none."""
    scores: list[Score]
    by_category: dict[str, dict[str, float]]
    """Category name to metric name to value."""
    by_keypoint: dict[str, dict[str, float]]
    """Category name to keypoint name to PCK@0.2 over the instances in which it counts."""
    by_keypoint_of_box: dict[str, dict[str, float]] = {}
    """The same for PCK@0.05 of the box, where all categories share one skeleton."""
    by_pair: dict[str, dict[str, PairError]] = {}
    """Category name to pair of mirror partners, such as ``left_eye / right_eye``; empty where there are no pairs."""
    curve: list[Epoch]
    """Learning curve; of a run with several members, that of the member whose best validation is the median."""
    shortfalls: list[str] = []
    """Sentences on training settings for which the run was too short."""
    cost: Cost
    provenance: Provenance
    """Provenance of the first member, with the date of the last one."""
    repeats: Repeat | None = None
    """None where the run names no preset."""

    @model_validator(mode="after")
    def _one_seed(self) -> Result:
        """Results were of one seed before runs had several."""
        if "seeds" not in self.model_fields_set:
            object.__setattr__(self, "seeds", (self.seed,))
        return self

    @property
    def every_member(self) -> tuple[Member, ...]:
        """The members, of which a result of one seed is its own."""
        return self.members or (self.as_member(),)

    def as_member(self) -> Member:
        """What a run keeps of this result of one seed."""
        return Member(
            seed=self.seed,
            fingerprint=self.fingerprint,
            scores={score.metric: score.value for score in self.scores},
            cost=self.cost,
            checkpoint_hash=self.provenance.checkpoint_hash,
            result=(member_folder(self.key, self.seed) / RESULT_FILE).as_posix(),
        )

    def score(self, metric: str) -> Score:
        """The score of that name.

        Raises:
            LookupError: this result has none.
        """
        for score in self.scores:
            if score.metric == metric:
                return score
        raise LookupError(
            f"{self.key} must have a metric {metric!r}, but has {', '.join(s.metric for s in self.scores)}"
        )


def result_text(result: Result) -> str:
    """The text of ``result.json``."""
    return json_text(result.model_dump(mode="json"), RESULT)


def write_result(result: Result, path: Path) -> None:
    write_text(result_text(result), path)


def read_result(path: Path, *, named: bool = True) -> Result:
    """Read what this or a former version of ``write_result`` wrote.

    Args:
        named: whether the folder where it lies is its key, whatever it says; not so of what was fetched from a tracker.

    Raises:
        ValueError: there is no such file, or it is no result that can be read.
    """
    result, folder = read_section(Result, path, RESULT), path.parent
    key = folder.parent.name if re.fullmatch(r"seed-\d+", folder.name) else folder.name
    return result.model_copy(update={"key": key}) if named and key not in ("", result.key) else result


def write_cost(cost: Cost, path: Path) -> None:
    write_json(cost.model_dump(mode="json"), path, COST)


def read_cost(path: Path) -> Cost:
    """Read what ``write_cost`` wrote. Raises as ``read_result``."""
    return read_section(Cost, path, COST)


def write_curve(curve: Iterable[Epoch], path: Path) -> None:
    write_text(json.dumps([line.model_dump() for line in curve]), path)


def read_curve(path: Path) -> list[Epoch]:
    """Read what ``write_curve`` wrote.

    Raises:
        ValueError: there is no such file, or it holds no learning curve.
    """
    name, again = "a learning curve", "remove its folder, and `posebed run` trains again"
    return checked(read_json_list(path, name, again), list[Epoch], path, name, again)

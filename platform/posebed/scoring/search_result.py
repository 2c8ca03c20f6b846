"""What a search found out: every trial, as it stands in ``runs/search@KEY/trials.parquet``, and what they were for.

The table is the truth; figures, trackers and reports are made from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pyarrow as pa
from pydantic import Field, model_validator

from posebed.config import SEARCH as SEARCHED
from posebed.config import Key, Section
from posebed.files import file_hashes, must_be_as_written, must_be_file, with_files, write_text
from posebed.forms import Form, Whole, checked
from posebed.listing import shown
from posebed.own_json import Kind, json_text, read_json
from posebed.parquet import read_table, write_table
from posebed.yamlfile import read_yaml, yaml_text

SEARCH_AGAIN = "remove its folder, and `posebed search` writes it again from its study"


class _Described(Form):
    files: dict[str, str] = {}


SEARCH = Kind("a search", (lambda content: content, with_files), form=_Described, again=SEARCH_AGAIN)
SEARCH_FILE = "search.json"
"""In the folder of a search."""

_TRIALS = pa.schema(
    [
        ("number", pa.int64()),
        ("state", pa.string()),
        ("params", pa.string()),
        ("validation", pa.float64()),
        ("cost", pa.float64()),
        ("curve", pa.string()),
        ("epochs", pa.int64()),
        ("device_seconds", pa.float64()),
        ("failed", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("started", pa.string()),
        ("ended", pa.string()),
        ("source", pa.string()),
    ]
)

State = Literal["complete", "pruned", "failed"]


class Measured(Section):
    """A trial after one of its validations."""

    epoch: int
    validation: float
    """On the validation part, the best so far."""
    device_seconds: float
    """Spent on the trial so far."""


class _Best(Form):
    params: dict[Annotated[str, Field(pattern=r"^(model|train)\.")], Any]


class Trial(Section):
    number: Whole
    """Counted from 0, which is the run's own setting."""
    state: State
    """complete; pruned, if stopped early; failed."""
    params: dict[str, Any]
    """Dotted names to the values that were tried."""
    validation: float | None = None
    """On the validation part, the best of its epochs; None where it failed."""
    cost: float | None = None
    """Where the search has a second objective."""
    curve: tuple[Measured, ...] = ()
    epochs: int = 0
    device_seconds: float = 0.0
    failed: str = ""
    """Why, in one sentence."""
    notes: tuple[str, ...] = ()
    """What went wrong on the way and did not stop it."""
    started: str = ""
    """UTC, ISO 8601."""
    ended: str = ""
    source: str = ""
    """The study that it was taken over from; such trials are learnt from and count for nothing else."""


class SearchResult(Section):
    key: Annotated[str, Field(pattern=f"^{SEARCHED}")]
    study: str
    """Name in the storage of studies, made of the key and the fingerprint."""
    model: str
    task: str
    data: Key
    split: Key
    pack: Key
    seed: Whole
    judged_by: str = "PCK@0.2"
    """The metric that validations are."""
    settings: dict[str, Any]
    """Budget, sampler and scheduler."""
    space: dict[str, str]
    """Dotted names to what they could be, in words."""
    cost: str = ""
    """Name of the second objective, if there is one."""
    trials: tuple[Trial, ...] = ()
    importance: dict[str, float] = {}
    """Dotted names to shares of the variance of the validation that they explain (functional ANOVA)."""
    workers: int = 1
    """Of each trial."""
    files: dict[str, str] = {}
    """Hashes of the files beside its own, once they are written."""
    origin: dict[str, str] = {}
    """Commit, hashes of data, split and lock file, software and hardware."""

    @model_validator(mode="after")
    def _says_its_budget(self) -> SearchResult:
        budget = self.settings.get("budget")
        if not isinstance(budget, dict) or "epochs" not in self.settings:
            raise ValueError("settings must say budget and epochs")
        limits = cast("dict[str, object]", budget).values()
        if not all(limit is None or isinstance(limit, int | float) for limit in limits):
            raise ValueError("settings.budget must be of numbers")
        return self

    @property
    def own(self) -> tuple[Trial, ...]:
        """The trials made here, in the order in which they ended."""
        return tuple(sorted((t for t in self.trials if not t.source), key=lambda trial: (trial.ended, trial.number)))

    @property
    def best(self) -> Trial:
        """The trial of the highest validation that was seen to its end, the earliest of equals.

        Raises:
            LookupError: none was.
        """
        done = [t for t in self.own if t.state == "complete" and t.validation is not None]
        if not done:
            raise LookupError(f"search {self.key} must have a finished trial, but all of {len(self.own)} ended early")
        return min(done, key=lambda t: (-(t.validation or 0.0), t.number))

    @property
    def front(self) -> tuple[Trial, ...]:
        """Finished trials that none other beats in one objective without losing in the other, the cheapest first."""
        done = [t for t in self.own if t.state == "complete" and t.validation is not None and t.cost is not None]
        ranked = sorted(done, key=lambda t: (t.cost, -(t.validation or 0.0), t.number))
        front: list[Trial] = []
        for trial in ranked:
            if not front or (trial.validation or 0.0) > (front[-1].validation or 0.0):
                front.append(trial)
        return tuple(front)


def spent(trials: Sequence[Trial]) -> dict[str, float]:
    """Trials, epochs and device-seconds of all of them together."""
    return {
        "trials": len(trials),
        "epochs": sum(t.epochs for t in trials),
        "device_seconds": sum(t.device_seconds for t in trials),
    }


def write_search(result: SearchResult, folder: Path) -> None:
    """Write ``best.yaml``, ``trials.parquet`` and ``search.json``, which is everything but the trials.

    Raises:
        LookupError: no trial was seen to its end.
    """
    best = result.best
    write_text(
        yaml_text(
            {
                "study": result.study,
                "trial": best.number,
                "validation": best.validation,
                **({result.cost: best.cost} if result.cost else {}),
                "spent": spent(result.own),
                "params": json.loads(json.dumps(best.params)),
            }
        ),
        folder / "best.yaml",
    )
    rows = [trial.model_dump() for trial in result.trials]
    for row in rows:
        row |= {"params": json.dumps(row["params"]), "curve": json.dumps(row["curve"])}
    write_table(pa.Table.from_pylist(rows, schema=_TRIALS), folder / "trials.parquet")
    files = file_hashes(folder, ("trials.parquet", "best.yaml"))
    write_text(search_text(result.model_copy(update={"files": files})), folder / SEARCH_FILE)


def search_text(result: SearchResult) -> str:
    """The text of ``search.json``."""
    return json_text(result.model_dump(mode="json", exclude={"trials"}), SEARCH)


def read_search(folder: Path, *, named: bool = True) -> SearchResult:
    """Read what ``write_search`` wrote.

    Args:
        named: as in ``result.read_result``.

    Raises:
        ValueError: a file is missing, or is not what was written.
    """
    place, table_file = folder / SEARCH_FILE, folder / "trials.parquet"
    about = read_json(place, SEARCH)
    table = read_table(table_file, "a table of trials", _TRIALS, SEARCH_AGAIN, nullable=("validation", "cost"))
    rows = table.to_pylist()
    for row in rows:
        for name in ("params", "curve"):
            row[name] = _parsed(row[name], table_file, name)
    trials = checked(rows, list[Trial], table_file, "a table of trials", SEARCH_AGAIN)
    must_be_as_written(table_file, about, SEARCH_AGAIN)
    found = checked({**about, "trials": []}, SearchResult, place, SEARCH.name, SEARCH_AGAIN)
    key = folder.name if named else found.key
    return found.model_copy(update={"key": key, "trials": tuple(trials)})


def _parsed(text: str, path: Path, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{path} must hold {name} as JSON, but holds {shown(text)}; {SEARCH_AGAIN}") from None


def read_best(folder: Path) -> dict[str, Any]:
    """Dotted names to the values of the best trial.

    Raises:
        LookupError: the folder holds no search.
        ValueError: it holds something else in its place.
    """
    path = folder / "best.yaml"
    if not os.path.lexists(path):
        raise LookupError(f"{folder} must hold a finished search, but has no best.yaml")
    must_be_file(path, "the best trial of a search", SEARCH_AGAIN)
    best = checked(read_yaml(path), _Best, path, "the best trial of a search", SEARCH_AGAIN)
    if (folder / SEARCH_FILE).is_file():
        must_be_as_written(path, read_json(folder / SEARCH_FILE, SEARCH), SEARCH_AGAIN)
    return best.params

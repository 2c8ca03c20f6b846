"""What a search found out: every trial, as it stands in ``runs/search@KEY/trials.parquet``, and what they were for.

The table is the truth; figures, trackers and reports are made from it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from posebed.config import Section
from posebed.files import Kind, json_text, read_json, write_text, writing
from posebed.yamlfile import read_yaml, yaml_text

SEARCH = Kind("a search")
SEARCH_FILE = "search.json"
"""In the folder of a search."""

State = Literal["complete", "pruned", "failed"]


class Measured(Section):
    """A trial after one of its validations."""

    epoch: int
    validation: float
    """On the validation part, the best so far."""
    device_seconds: float
    """Spent on the trial so far."""


class Trial(Section):
    number: int
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
    key: str
    study: str
    """Name in the storage of studies, made of the key and the fingerprint."""
    model: str
    task: str
    data: str
    split: str
    pack: str
    seed: int
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
    origin: dict[str, str] = {}
    """Commit, hashes of data, split and lock file, software and hardware."""

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
    import pandas as pd

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
    table = pd.DataFrame(
        [row | {"params": json.dumps(row["params"]), "curve": json.dumps(row["curve"])} for row in rows]
    )
    with writing(folder / "trials.parquet") as unfinished:
        table.to_parquet(unfinished, index=False)
    write_text(search_text(result), folder / SEARCH_FILE)


def search_text(result: SearchResult) -> str:
    """The text of ``search.json``."""
    return json_text(result.model_dump(mode="json", exclude={"trials"}), SEARCH)


def read_search(folder: Path) -> SearchResult:
    """Read what ``write_search`` wrote."""
    import pandas as pd

    table = pd.read_parquet(folder / "trials.parquet")
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    trials = tuple(
        Trial.model_validate(
            row | {"params": json.loads(row["params"]), "curve": json.loads(row["curve"]), "notes": list(row["notes"])}
        )
        for row in rows
    )
    about = read_json(folder / SEARCH_FILE, SEARCH)
    return SearchResult.model_validate(about | {"trials": trials})


def read_best(folder: Path) -> dict[str, Any]:
    """Dotted names to the values of the best trial.

    Raises:
        LookupError: the folder holds no search.
    """
    path = folder / "best.yaml"
    if not path.is_file():
        raise LookupError(f"{folder} must hold a finished search, but has no best.yaml")
    return read_yaml(path)["params"]

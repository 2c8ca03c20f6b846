"""The file ``params.yaml`` as a whole: what its sections agree on, and its only reader, which tells every mistake."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError, model_validator

from posebed.config import (
    SEARCH,
    DataConfig,
    Key,
    LimitsConfig,
    ModelConfig,
    PackConfig,
    RunConfig,
    ScoringConfig,
    SearchConfig,
    Section,
    SplitConfig,
    SubmissionConfig,
    TrainingConfig,
)
from posebed.forms import joined, mistakes
from posebed.listing import shortened
from posebed.yamlfile import read_yaml


class Params(Section):
    """The whole of ``params.yaml``."""

    menagerie: dict[Key, dict[str, Any]] = {}
    """Built-in sets to draw, by key; each is written as a COCO folder to ``data/menagerie/KEY``."""
    data: dict[Key, DataConfig] = {}
    """Datasets, by key."""
    splits: dict[Key, SplitConfig] = {}
    """Divisions of datasets into train, val and test, by key."""
    packs: dict[Key, PackConfig] = {}
    """Sets of crops, by key."""
    models: dict[str, ModelConfig] = {}
    """Settings that all runs of a model share, by its name."""
    runs: dict[Key, RunConfig] = {}
    """What is trained and tested, by key."""
    searches: dict[Key, SearchConfig] = {}
    """Searches for settings, by key."""
    submissions: dict[Key, SubmissionConfig] = {}
    """Answers that were made elsewhere, by key."""
    scoring: ScoringConfig = ScoringConfig()
    """How results are measured."""
    limits: LimitsConfig = LimitsConfig()
    """What a command may spend."""

    @property
    def scored(self) -> dict[str, RunConfig | SubmissionConfig]:
        """By key, what has a result: runs, and answers that were made elsewhere."""
        return {**self.runs, **self.submissions}

    def place_of(self, key: str) -> tuple[str, RunConfig | SearchConfig]:
        """Where in the file a run stands, or the search ``search@KEY``; and its entry.

        Raises:
            LookupError: there is none of that key.
        """
        if key in self.runs:
            return f"runs.{key}", self.runs[key]
        search = key.removeprefix(SEARCH)
        if key.startswith(SEARCH) and search in self.searches:
            return f"searches.{search}", self.searches[search]
        known = [*self.runs, *(SEARCH + name for name in self.searches)]
        raise LookupError(f"runs must have an entry {key!r}, but there is {shortened(known)}")

    @model_validator(mode="after")
    def _names_refer(self) -> Params:
        starts = {k: run.init_from for k, run in self.runs.items() if run.init_from}
        wrong = [
            *_unknown("splits", "data", {k: s.data for k, s in self.splits.items()}, self.data),
            *_unknown("packs", "data", {k: p.data for k, p in self.packs.items()}, self.data),
            *_unknown("runs", "init_from", starts, self.runs),
            *_circles(starts),
            *_wrong_searches(self.runs, self.searches),
            *_wrong_submissions(self),
        ]
        sections: dict[str, Mapping[str, TrainingConfig | SubmissionConfig]] = {
            "runs": self.runs,
            "searches": self.searches,
            "submissions": self.submissions,
        }
        for section, entries in sections.items():
            wrong += self._of_other_data(section, entries)
            for name, known in (("split", self.splits), ("pack", self.packs), ("model", self.models)):
                named = {k: getattr(e, name) for k, e in entries.items() if name in type(e).model_fields}
                wrong += _unknown(section, name, named, known)
        if wrong:
            raise ValueError(joined(wrong, "; "))
        return self

    def _of_other_data(self, section: str, runs: Mapping[str, TrainingConfig | SubmissionConfig]) -> list[str]:
        places = [(key, run, self.splits.get(run.split), self.packs.get(run.pack)) for key, run in runs.items()]
        return [
            f"{section}.{key} must take split and pack of the same data, but split {run.split!r} is of "
            f"{split.data!r} and pack {run.pack!r} of {pack.data!r}"
            for key, run, split, pack in places
            if split and pack and split.data != pack.data
        ]


def _circles(starts: Mapping[str, str]) -> list[str]:
    """A line per run that starts, over others, from itself."""
    lines: list[str] = []
    for key, start in starts.items():
        way = [start]
        while way[-1] in starts and way[-1] != key and len(way) <= len(starts):
            way.append(starts[way[-1]])
        if way[-1] == key:
            lines.append(f"runs.{key}.init_from must lead to another run, but leads back to itself: {shortened(way)}")
    return lines


def _wrong_searches(runs: Mapping[str, RunConfig], searches: Mapping[str, SearchConfig]) -> list[str]:
    """A line per run whose search is not there, is of another model, or was made with a seed of the run, which would
    flatter it."""
    lines: list[str] = []
    for key, run in runs.items():
        if run.params_from is None:
            continue
        search = searches.get(run.params_from)
        if search is None:
            known = shortened(searches, none="nothing")
            lines.append(f"runs.{key}.params_from must name a search, but is {run.params_from!r}; there is {known}")
        elif search.model != run.model:
            lines.append(f"runs.{key}.model must be {search.model}, that of its search, but is {run.model}")
        elif search.seed in run.seeds:
            lines.append(f"runs.{key}.seeds must leave out the seed of its search, but hold {search.seed}")
    return lines


def _wrong_submissions(params: Params) -> list[str]:
    """A line per submission whose key a run has, or that says what its split does not allow."""
    taken = [key for key in params.submissions if key in params.runs]
    lines = [f"submissions.{key} must have a key of its own, but runs has {key!r} as well" for key in taken]
    for key, entry in params.submissions.items():
        split = params.splits.get(entry.split)
        shots = split.episodes.shots if split and split.episodes and entry.task != "category_specific" else None
        if split and entry.task == "category_agnostic" and not split.episodes:
            lines.append(f"submissions.{key}.split must have episodes, but splits.{entry.split} has none")
        elif split and entry.shots is not None and (shots is None or entry.shots > shots):
            most = f"at most {shots}, as many as episodes show" if shots else "left out where no supports are shown"
            lines.append(f"submissions.{key}.shots must be {most}, but is {entry.shots}")
    return lines


def _unknown(section: str, field: str, used: Mapping[str, str], known: Mapping[str, Any]) -> list[str]:
    choices = shortened(known, none="nothing")
    return [
        f"{section}.{key}.{field} must name an entry, but is {name!r}; there is {choices}"
        for key, name in used.items()
        if name not in known
    ]


def read_params(path: Path) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        ValueError: with one line for every mistake in the file.
    """
    if not path.is_file():
        found = "is none" if os.path.lexists(path) else "there is none"
        raise ValueError(f"{path} must be a file of parameters, but {found}")
    content: object = read_yaml(path)
    ignored = {place: _ignored(place) for place in _places(content) if place[-1] in IGNORED_BY_DVC}
    lines = [f"{path.name}: {line}" for line in ignored.values()]
    if former := former_form(content):
        raise ValueError(
            f"{path.name} must have all runs under runs, with seeds, but has {former}; `posebed migrate` rewrites it"
        )
    try:
        params = Params.model_validate(content or {})
    except ValidationError as error:
        lines += mistakes(error, path.name, [".".join(place) for place in ignored])
        raise ValueError(joined(lines)) from error
    if lines:
        raise ValueError(joined(lines))
    return params


IGNORED_BY_DVC = {"size": {"packs": "crop_size", "menagerie": "side"}, "nfiles": {}}
"""Keys that DVC's run cache (``dvc/stage/cache.py``) leaves out of its hash, at any depth of a parameter; under each,
by section, the name to use instead."""


_FORMER = {"runs": ("seed",), "searches": ("cpus_per_trial", "gpus_per_trial")}
"""Fields that entries of these sections had before runs had seeds."""


def former_form(content: object) -> str:
    """What of the file is in the form before runs had seeds; empty where nothing is."""
    sections = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    former = [f"a section {name}" for name in ("finetunes", "tuned") if name in sections]
    for section, names in _FORMER.items():
        entries = cast("dict[str, Any]", sections.get(section) if isinstance(sections.get(section), dict) else {})
        for key, entry in entries.items():
            former += [f"{section}.{key}.{name}" for name in names if isinstance(entry, dict) and name in entry]
    return shortened(former, none="")


def _ignored(place: tuple[str, ...]) -> str:
    key = place[-1]
    name = IGNORED_BY_DVC[key].get(place[0]) if len(place) == 3 else None
    must = f"be named {name}" if name else "have another name"
    reason = f"DVC's run cache ignores parameters named {key}, so that a change would be answered with old results"
    return f"{'.'.join(place)} must {must}: {reason}"


def _places(content: object, at: tuple[str, ...] = (), seen: set[int] | None = None) -> Iterator[tuple[str, ...]]:
    """The place of every key and element, at any depth. What an anchor puts into several places is looked through at
    the first."""
    seen = set() if seen is None else seen
    if id(content) in seen:
        return
    seen.add(id(content))
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(content, dict):
        inner = cast("dict[object, object]", content).items()
    elif isinstance(content, list):
        inner = enumerate(cast("list[object]", content))
    for key, below in inner:
        yield (*at, str(key))
        yield from _places(below, (*at, str(key)), seen)

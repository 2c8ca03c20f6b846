"""Parameters of the form before runs had seeds, rewritten: one section of runs, each with its seeds.

A former file has runs in three sections, ``runs``, ``finetunes`` and ``tuned``, and each has one ``seed``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from posebed.config import SEARCH
from posebed.files import write_text
from posebed.listing import shortened
from posebed.params import former_form, read_params
from posebed.yamlfile import parse_yaml, yaml_text
from posestages.commands.yaml_edits import Entry, rewritten

FORMER = ("runs", "finetunes", "tuned")
"""Sections of runs, of which the first one stays."""
_RESOURCES = {"cpus_per_trial": "cpus", "gpus_per_trial": "gpus"}
_NUMBERED = re.compile(r"-(?:seed|s)?([0-9]+)$")


@dataclass(frozen=True)
class _Run:
    section: str
    key: str
    settings: Mapping[str, Any]

    @property
    def place(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def seed(self) -> int:
        return self.settings.get("seed", 0)

    @property
    def seeds(self) -> list[int]:
        return self.settings.get("seeds", [self.seed])


def migrate(path: Path) -> list[str]:
    """Rewrite a file of parameters and keep the former text beside it, in ``NAME.former``; returns what became of
    every run and search that the file had, or a sentence where it is in the present form.

    Raises:
        ValueError: the file cannot be read or breaks a rule of the parameters, or another ``NAME.former`` is there.
            Nothing is written then.
    """
    if not path.is_file():
        raise ValueError(f"{path} must be a file of parameters, but there is none")
    text = _text(path)
    try:
        after, lines = migrated(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if after == text:
        read_params(path)
        return [f"{path} is in the present form; it stays as it is."]
    kept = path.with_name(f"{path.name}.former")
    if kept.exists() and _text(kept) != text:
        raise ValueError(f"{kept} must not be there, as the former parameters are kept under this name, but is")
    with TemporaryDirectory() as folder:
        write_text(after, Path(folder) / path.name)
        read_params(Path(folder) / path.name)
    write_text(text, kept)
    write_text(after, path)
    return lines


def _text(path: Path) -> str:
    """With the line ends that the file has."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be YAML in UTF-8, but is not: {error}") from error


def migrated(text: str) -> tuple[str, list[str]]:
    """The text of parameters in the present form, and a line for every run and search of it; a text that is in the
    present form already comes back as it is, without lines.

    Raises:
        ValueError: the text is no YAML, or its sections of runs and searches are not made of entries.
    """
    content = parse_yaml(text, "the file")
    if not former_form(content):
        return text, []
    sections = {name: _entries(content, name) for name in (*FORMER, "searches")}
    runs = [_Run(name, key, settings) for name in FORMER for key, settings in sections[name].items()]
    _check(runs)
    groups = _groups(runs)
    keys = {run.key: key for key, members in groups.items() for run in members}
    entries = [
        Entry([(run.section, run.key) for run in members], "runs", key, _settings(members, keys))
        for key, members in groups.items()
    ]
    searches = [
        Entry([("searches", key)], "searches", key, _of_resources(key, settings))
        for key, settings in sections["searches"].items()
    ]
    line_end = "\r\n" if "\r\n" in text else "\n"
    after = rewritten(text.replace("\r\n", "\n"), content, FORMER, [*entries, *searches])
    changed = [e.key for e in searches if e.settings != sections["searches"][e.key]]
    return after.replace("\n", line_end), [*_told(groups), *(f"searches.{key}: with resources" for key in changed)]


def _entries(content: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    entries = content.get(section) or {}
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise ValueError(f"{section} must be entries with settings each, but is {yaml_text(entries, flow=True)[:100]}")
    return {str(key): entry for key, entry in entries.items()}


def _check(runs: Sequence[_Run]) -> None:
    keys = [run.key for run in runs]
    if twice := [run.place for run in runs if keys.count(run.key) > 1] if len({*keys}) < len(keys) else []:
        raise ValueError(f"runs, finetunes and tuned must share no key, but there is {shortened(twice)}")
    for run in runs:
        if "seed" in run.settings and ("seeds" in run.settings or type(run.seed) is not int):
            raise ValueError(f"{run.place}.seed must be a whole number in the place of seeds, but is {run.seed!r}")


def _groups(runs: Sequence[_Run]) -> dict[str, list[_Run]]:
    """Runs that differ in their seeds alone, by the key that they get together; in the order of the first of each.

    A start is part of what must be equal, and stays the very run that it was: where it would become a member of
    another seed, the runs that it would be grouped with stay apart.
    """
    apart = {run.key for run in runs if "seeds" in run.settings}
    by_key = {run.key: run for run in runs}
    while True:
        labels = _labels(runs, apart)
        together: dict[int, list[_Run]] = defaultdict(list)
        for run in runs:
            together[labels[run.key]].append(run)
        if not (parted := {*_parted(by_key, labels, together)}):
            return _named([*together.values()], {*by_key})
        apart |= parted


def _labels(runs: Sequence[_Run], apart: set[str]) -> dict[str, int]:
    """Run to a number that runs share which may be members of one: equal settings, and starts of one number."""
    labels = {run.key: 0 for run in runs}
    count = 0
    while True:
        numbers: dict[Any, int] = {}
        found: dict[str, int] = {}
        for run in runs:
            start = run.settings.get("init_from")
            own = {name: value for name, value in run.settings.items() if name not in ("seed", "init_from")}
            known = labels[start] if isinstance(start, str) and start in labels else str(start)
            seen = (labels[run.key], known, _canonical(own), run.key if run.key in apart else None)
            found[run.key] = numbers.setdefault(seen, len(numbers))
        labels = found
        if len(numbers) == count:
            return labels
        count = len(numbers)


def _canonical(value: Any) -> str:
    """A text that is the same for equal values of one type, whatever the order of keys."""
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{key!r}: {_canonical(inner)}' for key, inner in value.items()))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_canonical, value))}]"
    return repr(value)


def _parted(
    by_key: Mapping[str, _Run], labels: Mapping[str, int], together: Mapping[int, Sequence[_Run]]
) -> Iterator[str]:
    """Runs that cannot be members of what they would be: of a seed that is there already, or the start of a run that
    would get another member."""
    for members in together.values():
        seeds = [run.seed for run in members]
        yield from (run.key for i, run in enumerate(members) if run.seed in seeds[:i])
    for run in by_key.values():
        start = by_key.get(str(run.settings.get("init_from")))
        if start and len(members := together[labels[start.key]]) > 1 and "seeds" not in run.settings:
            taken = next((m for m in members if m.seed == run.seed), members[0])
            yield from (m.key for m in members if taken is not start)


def _named(groups: Sequence[list[_Run]], keys: set[str]) -> dict[str, list[_Run]]:
    """Groups by their new key: what their keys share without the number of the seed, if no other run has it."""
    named: dict[str, list[_Run]] = {}
    for members in groups:
        own = [run.key for run in members]
        stems = set.intersection(*({key, _NUMBERED.sub("", key)} for key in own))
        taken = (keys - {*own}) | {*named}
        free = [stem for stem in stems if stem and stem not in taken]
        named[max(free, key=len) if free and len(members) > 1 else own[0]] = members
    return named


def _settings(members: Sequence[_Run], keys: Mapping[str, str]) -> dict[str, Any]:
    """Of the run that these become."""
    settings = dict(members[0].settings)
    if len(members) > 1 or "seed" in settings:
        settings["seeds"] = [run.seed for run in members]
        settings.pop("seed", None)
    if isinstance(start := settings.get("init_from"), str):
        settings["init_from"] = keys.get(start, start)
    if isinstance(search := settings.get("params_from"), str):
        settings["params_from"] = search.removeprefix(SEARCH)
    return settings


def _of_resources(key: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: settings[former] for former, name in _RESOURCES.items() if former in settings}
    if asked and "resources" in settings:
        raise ValueError(f"searches.{key} must state resources or {' and '.join(_RESOURCES)}, but states both")
    rest = {name: value for name, value in settings.items() if name not in _RESOURCES}
    return rest | ({"resources": asked} if asked else {})


def _told(groups: Mapping[str, Sequence[_Run]]) -> Iterator[str]:
    for key, members in groups.items():
        for run in members:
            seeds = "seed " + ", ".join(map(str, run.seeds))
            stays = len(members) == 1 and run.place == f"runs.{key}"
            yield f"{run.place}: {'as it was' if stays else f'{seeds} of runs.{key}'}"

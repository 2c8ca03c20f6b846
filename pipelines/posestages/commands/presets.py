"""Published runs for ``params.yaml``: the entries that each of them needs, and how they get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from posebed.catalog import installed
from posebed.config import Section, merged
from posebed.contracts import Claim, Preset
from posebed.files import locked, write_text
from posebed.params import Params, read_params
from posebed.yamlfile import parse_yaml, yaml_text

Entries = dict[str, dict[str, Any]]
"""Section of the parameters to key to entry."""


def all_presets() -> Mapping[str, Preset]:
    """Every preset of installed packages, by name."""
    return installed().published().presets


def headline(preset: Preset) -> Claim | None:
    """The claim that stands for all of a preset: its AP, or else the last, such as the mean of its PCK."""
    of_all = [claim for claim in preset.claims if claim.metric == "AP"]
    return next(iter((*of_all, *preset.claims[::-1])), None)


def entries(name: str, seeds: Sequence[int] = (0,)) -> Entries:
    """Everything that ``params.yaml`` must say of a preset; where it starts from another one, of that as well.

    Args:
        seeds: of the run. Where a few records are drawn for training, each is a run and a split of its own, drawn with
            that seed.

    Raises:
        LookupError: no preset of that name.
        ValueError: there is no seed.
    """
    if not seeds:
        raise ValueError("a preset must be given one seed or more, but got none")
    preset = installed().preset(name)
    seeds = tuple(dict.fromkeys(seeds))
    draws = [(seed,) for seed in seeds] if preset.split.get("few_shot") else [seeds]
    own = merged(*(_of_one_split(name, preset, of) for of in draws))
    return merged(entries(preset.init_from, seeds), own) if preset.init_from else own


def _of_one_split(name: str, preset: Preset, seeds: tuple[int, ...]) -> Entries:
    """A run and what it needs; of few records drawn, with the one seed there is."""
    few = preset.split.get("few_shot")
    drawn = seeds[0] if few else 0
    suffix = f"-seed{drawn}" if drawn else ""
    data = _data_key(preset.data)
    split = _split_key(data, preset.split) + (suffix if few else "")
    pack = f"{data}-{'x'.join(map(str, preset.pack['crop_size']))}"
    pack += f"-{preset.pack['convention']}" if "convention" in preset.pack else ""
    run = {"preset": name, "model": preset.model, "split": split, "pack": pack}
    run |= {"boxes": preset.boxes} if preset.boxes != "annotated" else {}
    run |= {"seeds": [*seeds]} if seeds != (0,) else {}
    run |= {"init_from": preset.init_from} if preset.init_from else {}
    return {
        "data": {data: dict(preset.data)},
        "splits": {split: {"data": data, **preset.split, **({"seed": drawn} if drawn else {})}},
        "packs": {pack: {"data": data, **preset.pack}},
        "models": {preset.model: {}},
        "runs": {name + suffix: run},
    }


def combined(names: Sequence[str], seeds: Sequence[int] = (0,)) -> Entries:
    """The entries of several presets."""
    return merged(*(entries(name, seeds) for name in names))


def _data_key(data: Mapping[str, Any]) -> str:
    """From source and options, such as ``ap10k-split1``."""
    words = [data["source"]]
    for name, value in data.get("options", {}).items():
        words.append(f"{name}{value}" if isinstance(value, int) else name if Path(value).suffix else value)
    return "-".join(words).replace("_", "-")


def _split_key(data: str, split: Mapping[str, Any]) -> str:
    """From the data, what is held out and the number of shots, such as ``mp100-split1-vehicle-5shot``; official parts
    whose episodes are not the official ones say so."""
    held = [name.replace(" ", "-") for name in split.get("test", ())]
    episodes = split.get("episodes", {})
    shots = split.get("few_shot") or episodes.get("shots")
    own = split.get("by") == "official" and episodes and episodes.get("draw") != "official"
    return "-".join([data, *held, *([f"{shots}shot"] if shots else []), *(["own-episodes"] if own else [])])


def as_yaml(wanted: Entries) -> str:
    """The entries as they stand in a file of their own."""
    sections = {section: [f"  {key}: {_flow(entry)}\n" for key, entry in of.items()] for section, of in wanted.items()}
    return "\n".join(f"{section}:\n{''.join(lines)}" for section, lines in sections.items())


def add(wanted: Entries, path: Path) -> list[str]:
    """Write entries into a file of parameters, whose own text stays as it is; returns the places that are new.

    Data may lie elsewhere than an entry says, and a model may have settings for other runs; any other entry that is
    already there must be the same.

    Raises:
        ValueError: an entry of the same key says something else, or the file is none of parameters.
    """
    with locked(path):
        text, new = _with_entries(wanted, path)
        Params.model_validate(parse_yaml(text, str(path)))
        write_text(text, path)
    return new


def _with_entries(wanted: Entries, path: Path) -> tuple[str, list[str]]:
    """The file's text with the entries that it lacks, and their places."""
    present, text = read_params(path), path.read_text(encoding="utf-8")
    if (root := yaml.compose(text, yaml.SafeLoader)) is not None and root.flow_style:
        raise ValueError(
            f"{path} must have its sections on lines of their own to be added to, but stands in braces; write "
            "'runs:' and so on without the outer ones"
        )
    new: list[str] = []
    for section, of_section in wanted.items():
        there: Mapping[str, Section] = getattr(present, section)
        for key, entry in of_section.items():
            if key not in there:
                text = inserted(text, section, key, entry)
                new.append(f"{section}.{key}")
            elif not same(section, there[key], entry):
                raise ValueError(f"{section}.{key} must be {_flow(entry)}, but {path} has another entry of that key")
    return text, new


def same(section: str, there: Section, entry: Mapping[str, Any]) -> bool:
    """Whether an entry says the same as a preset's, but for what it is free in."""
    wanted = type(there).model_validate(entry)
    free: Any = {
        "data": {"path": True, "invalid": True, "options": {"linked"}},
        "models": {"config": True, "train": True},
    }.get(section)
    return there.model_dump(exclude=free) == wanted.model_dump(exclude=free)


def inserted(text: str, section: str, key: str, entry: Mapping[str, Any]) -> str:
    """YAML text with one entry more, in one line at the end of its section; nothing else changes."""
    line = f"{key}: {_flow(entry)}"
    root = yaml.compose(text, yaml.SafeLoader)
    sections = {k.value: (k, v) for k, v in root.value} if isinstance(root, yaml.MappingNode) else {}
    if section not in sections:
        gap = "\n" if text.strip() else ""
        return f"{text.rstrip()}{gap}\n{section}:\n  {line}\n".lstrip("\n")
    name, value = sections[section]
    if not isinstance(value, yaml.MappingNode) or not value.value:
        return f"{text[: name.end_mark.index]}:\n  {line}{text[value.end_mark.index :]}"
    if value.flow_style:
        end = value.end_mark.index - 1
        return f"{text[:end]}, {line}{text[end:]}"
    block = text[: value.end_mark.index].splitlines(keepends=True)
    # Blank lines and comments at the margin belong to what follows.
    while not block[-1].strip() or block[-1].startswith("#"):
        block.pop()
    head = "".join(block)
    gap = "" if head.endswith("\n") else "\n"
    return f"{head}{gap}{' ' * value.value[0][0].start_mark.column}{line}\n{text[len(head) :]}"


def _flow(entry: Mapping[str, Any]) -> str:
    return yaml_text(dict(entry), flow=True)


def absent_data(wanted: Entries) -> list[str]:
    """One sentence for every dataset that is not there yet: where it belongs and where to get it."""
    lines: list[str] = []
    catalog = installed()
    for key, entry in wanted.get("data", {}).items():
        spec = catalog.dataset(entry["source"])
        if not Path(entry["path"]).exists():
            lines.append(
                f"data.{key}: {spec.title} must lie in {entry['path']}, but does not yet; get it from {spec.source}; "
                f"licence: {spec.licence}"
            )
    return lines

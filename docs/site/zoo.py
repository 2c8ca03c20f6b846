"""The generated parts of the pages of models: settings, published results, ablations and what a paper leaves open."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from parameters import fields, plain

from posebed.catalog import Catalog, installed
from posebed.contracts import Claim, Preset, PresetSpec
from posebed.source_code import module_file
from posebed.spec_text import stated_by


@cache
def _catalog() -> Catalog:
    return installed()


@cache
def _published() -> PresetSpec:
    return _catalog().published()


def overview() -> str:
    """A table of the models, each with a link to its page."""
    lines = ["| model | task | paper | presets |", "| --- | --- | --- | --- |"]
    for name, entry in sorted(_catalog().models.items(), key=_task_then_year):
        stated = stated_by(module_file(entry.module))
        paper = f"{stated.paper.title}, {stated.paper.year}" if stated.paper else "floor"
        tasks = ", ".join(task.replace("_", "-") for task in stated.tasks)
        lines.append(f"| [`{name}`]({name}.md) | {tasks} | {paper} | {len(_presets(name)) or ''} |")
    return "\n".join(lines)


def _task_then_year(item: tuple[str, Any]) -> tuple[Any, ...]:
    stated = stated_by(module_file(item[1].module))
    year = stated.paper.year if stated.paper else 0
    return (-len(stated.tasks), stated.tasks[0] != "category_specific", year, item[0])


def _presets(model: str) -> dict[str, Preset]:
    return {name: preset for name, preset in _published().presets.items() if preset.model == model}


def model_part(name: str) -> str:
    """All that is generated of a model's page."""
    return "\n\n".join(part for part in (_open(name), _settings(name), *_results(name)) if part)


def paper(name: str) -> str:
    """What a model is from, and where it stands."""
    entry = _catalog().model_entry(name)
    stated = stated_by(module_file(entry.module))
    of = f"{stated.paper.title} ({stated.paper.year}, {stated.paper.reference}). " if stated.paper else ""
    return f"{of}`posebed models` name: `{name}`; file: `models/{entry.module.replace('.', '/')}.py`."


def _open(name: str) -> str:
    """What stands behind the first paragraph at the head of the model's file."""
    head = ast.get_docstring(ast.parse(module_file(_catalog().model_entry(name).module).read_text(encoding="utf-8")))
    _, _, text = (head or "").partition("\n\n")
    return "\n\n".join(["## What the sources leave open", text.replace("``", "`")]) if text else ""


def _settings(name: str) -> str:
    spec = _catalog().model(name)
    parts = ["## Settings", "Under `models.NAME.config` or `runs.KEY.config` of `params.yaml`."]
    parts.append(fields(spec.config) or "It has none.")
    if spec.space:
        searched = ", ".join(f"`{key}`" for key in spec.space)
        parts += [f"A search varies by default: {searched}, weight decay, learning rate, scale and rotation."]
    if spec.train:
        training = "\n".join(f"- `{key}`: `{_short(value)}`" for key, value in spec.train.items())
        parts += ["## Published training", training]
    return "\n\n".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(inner)}" for key, inner in value.items()) + "}"
    return plain(tuple(map(_rounded, value)) if isinstance(value, tuple) else _rounded(value))


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) and value > 0.01 else value


def _results(name: str) -> list[str]:
    presets = _presets(name)
    if not presets:
        return []
    head = (
        f"`posebed presets NAME --add` writes one of these {len(presets)} into `params.yaml`. Numbers are those of the "
        "source, not ours."
    )
    lines = ["| preset | published | setting | source |", "| --- | --- | --- | --- |"]
    lines += [_row(preset, of) for preset, of in presets.items()]
    return ["## Presets", head, "\n".join(lines), *_ablations(name)]


def _row(name: str, preset: Preset) -> str:
    claim = next(iter(preset.claims), None)
    if claim is None:
        return f"| `{name}` | none known | | |"
    return f"| `{name}` | {_number(claim)} | {claim.setting}; {claim.dataset} {claim.split} | {claim.source} |"


def _number(claim: Claim) -> str:
    return f"{claim.metric} {claim.value:.4g}"


def _ablations(name: str) -> list[str]:
    tables = _published().ablations.get(name, {})
    parts: list[str] = []
    for table, rows in tables.items():
        presets = {row: _published().presets[row] for row in rows}
        switches = _switches(name, list(presets.values()))
        lines = [f"| preset | {' | '.join(f'`{switch}`' for switch in switches)} | published |"]
        lines.append("| --- |" + " --- |" * (len(switches) + 1))
        for row, preset in presets.items():
            values = [_short(_value(name, preset, switch)) for switch in switches]
            claim = next(iter(preset.claims), None)
            lines.append(f"| `{row}` | {' | '.join(values)} | {_number(claim) if claim else ''} |")
        parts += [f"### {table}", f"`posebed ablate {name} --table {table} --add` adds its rows.", "\n".join(lines)]
    return ["## Ablations", *parts] if parts else []


def _switches(name: str, presets: list[Preset]) -> list[str]:
    """Fields of the config in which the rows of a table differ."""
    keys = dict.fromkeys(key for preset in presets for key in preset.config)
    return [key for key in keys if len({repr(_value(name, preset, key)) for preset in presets}) > 1]


def _value(name: str, preset: Preset, key: str) -> Any:
    if preset.model != name:
        return "as " + preset.model
    return preset.config.get(key, _catalog().model(name).config.model_fields[key].default)

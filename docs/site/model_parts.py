"""The generated parts of the pages of models: settings, published results, ablations and what a paper leaves open."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

from parameters import fields, plain

from posebed.catalog import Catalog, installed
from posebed.contracts import Claim, Preset, PresetSpec
from posebed.source_code import module_file
from posebed.spec_text import Stated, stated_by
from posestages.commands.presets import headline

PAGES = Path(__file__).parents[1] / "models"


@cache
def _catalog() -> Catalog:
    return installed()


@cache
def _published() -> PresetSpec:
    return _catalog().published()


def _file(name: str) -> Path:
    return module_file(_catalog().model_entry(name).module)


def _stated(name: str) -> Stated:
    return stated_by(_file(name))


def overview() -> str:
    """Lists of the models by family, the oldest first, each with a link to its page."""
    families: dict[str, list[str]] = {"Floors": [], "Category-specific": [], "Category-agnostic": []}
    for name in _catalog().models:
        stated = _stated(name)
        family = "Floors" if stated.floor else stated.tasks[0].replace("_", "-").capitalize()
        families[family].append(name)
    return "\n\n".join(
        "\n".join([f"## {family}\n", *map(_line, sorted(names, key=lambda name: (_year(name), name)))])
        for family, names in families.items()
    )


def _year(name: str) -> int:
    paper = _stated(name).paper
    return paper.year if paper else 0


def _line(name: str) -> str:
    title = (PAGES / f"{name}.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    paper, presets = _stated(name).paper, len(_presets(name))
    of = f": {paper.title}, {paper.year}" if paper else ""
    return f"- [{title}]({name}.md), `{name}`{of}" + (f"; {presets} presets" if presets else "")


def _presets(model: str) -> dict[str, Preset]:
    return {name: preset for name, preset in _published().presets.items() if preset.model == model}


def paper(name: str) -> str:
    """What a model is from, and where it stands."""
    stated, module = _stated(name).paper, _catalog().model_entry(name).module
    of = f"{stated.title} ({stated.year}, {stated.reference}). " if stated else ""
    return f"{of}In `params.yaml`: `model: {name}`. File: `models/{module.replace('.', '/')}.py`."


def model_part(name: str) -> str:
    """All that is generated at the end of a model's page."""
    return "\n\n".join(part for part in (_open(name), *_settings(name), *_results(name), *_ablations(name)) if part)


def _open(name: str) -> str:
    """What stands behind the first paragraph at the head of the model's file."""
    head = ast.get_docstring(ast.parse(_file(name).read_text(encoding="utf-8"))) or ""
    _, _, text = head.partition("\n\n")
    return "\n\n".join(["## What the sources leave open", text.replace("``", "`")]) if text else ""


def _settings(name: str) -> list[str]:
    spec = _catalog().model(name)
    parts = ["## Settings", "Under `config` of `models.NAME` or of a run, in `params.yaml`."]
    parts.append(fields(spec.config) or "It has none.")
    if spec.space:
        searched = ", ".join(f"`{key}`" for key in spec.space)
        everywhere = ", weight decay, scale and rotation" if spec.trained else ""
        parts.append(f"A search varies {searched}{everywhere}, unless it says otherwise.")
    if spec.train:
        parts += [
            "## Published training",
            "\n".join(f"- `{key}`: `{_short(value)}`" for key, value in spec.train.items()),
        ]
    return parts


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
    lines = ["| preset | published | setting | further values |", "| --- | --- | --- | --- |"]
    return ["## Presets", head, "\n".join([*lines, *(_row(preset, of) for preset, of in presets.items())])]


def _row(name: str, preset: Preset) -> str:
    main = headline(preset)
    if main is None:
        return f"| `{name}` | none known | | |"
    further = "; ".join(_further(claim, main) for claim in preset.claims if claim is not main)
    return f"| `{name}` | {_number(main)} | {main.setting}; {main.dataset} {main.split} ({main.source}) | {further} |"


def _further(claim: Claim, main: Claim) -> str:
    split = f" ({claim.split})" if claim.split != main.split else ""
    return _number(claim).removeprefix(f"{main.metric}, ") + split


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
            main, values = headline(preset), [_short(_value(name, preset, switch)) for switch in switches]
            if preset.model != name:
                values = [f"`{preset.model}`", *("" for _ in switches[1:])]
            lines.append(f"| `{row}` | {' | '.join(values)} | {_number(main) if main else ''} |")
        parts += [f"### {table}", f"`posebed ablate {name} --table {table} --add` adds its rows.", "\n".join(lines)]
    return ["## Ablations", "The settings in which the rows of the paper's tables differ.", *parts] if parts else []


def _switches(name: str, presets: list[Preset]) -> list[str]:
    """Fields of the config in which the rows of a table differ, those of other models left out."""
    presets = [preset for preset in presets if preset.model == name]
    keys = dict.fromkeys(key for preset in presets for key in preset.config)
    return [key for key in keys if len({repr(_value(name, preset, key)) for preset in presets}) > 1]


def _value(name: str, preset: Preset, key: str) -> Any:
    return preset.config.get(key, _catalog().model(name).config.model_fields[key].default)

"""Pages that people read: their links, their counts, and a page, a diagram and a sentence for everything there is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import typer.main
import yaml
from hypothesis import given
from hypothesis import strategies as st

from posebed.catalog import installed
from posebed.formats.which import FORMATS
from posebed.params import Params
from posestages.cli import app

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "cluster/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
MODELS = sorted(name for name, entry in installed().models.items() if entry.module.startswith("posezoo."))


@pytest.fixture(scope="module", autouse=True)
def site() -> Iterator[Path]:
    """The scripts of the site can be imported, by these tests alone."""
    scripts = DOCS / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(scripts)
        yield scripts
    for script in scripts.glob("*.py"):
        sys.modules.pop(script.stem, None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_every_link_leads_to_a_file_of_the_repository(page: Path):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


def test_the_readme_fits_its_length():
    lines = (CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 130 and max(map(len, lines)) <= 260


def test_the_counts_of_the_readme_s_first_table_are_true():
    text = re.sub(r"<!--.*?-->", "", (CHECKOUT / "README.md").read_text(encoding="utf-8"))
    stated = {
        name.strip(): int(number) for name, number in re.findall(r"^\| ([a-z ]+) \| (\d+) \|", text, re.MULTILINE)
    }
    catalog = installed()
    metrics, _ = catalog.measured()
    assert stated == {
        "models": len(MODELS),
        "presets": len(catalog.published().presets),
        "kinds of dataset": len([e for e in catalog.datasets.values() if e.module.startswith("posebed.")]),
        "label formats": len(FORMATS),
        "metrics": sum(len(spec.metrics) for name, spec in metrics.items() if name.startswith("posebed.")),
        "samplers of searches": len([e for e in catalog.samplers.values() if e.module.startswith("posebed.")]),
    }


def test_every_model_of_the_zoo_has_a_page_with_its_own_diagram_and_generated_parts():
    assert sorted(page.stem for page in (DOCS / "models").glob("*.md")) == sorted([*MODELS, "index"])
    for name in MODELS:
        text = (DOCS / "models" / f"{name}.md").read_text(encoding="utf-8")
        for part in (
            f"../pictures/models/{name}.svg",
            f"<!--generated:model {name}-->",
            f"<!--generated:paper {name}-->",
        ):
            assert text.count(part) == 1, (name, part)


def test_the_diagrams_are_those_that_their_script_draws(site: Path):
    import diagrams

    drawn = {f"{name}.svg": diagrams.drawn(name, diagram) for name, diagram in diagrams.read().items()}
    stored = {path.name: path.read_text(encoding="utf-8") for path in diagrams.OUT.glob("*.svg")}
    assert sorted(drawn) == [f"{name}.svg" for name in MODELS]
    assert stored == drawn, "run python docs/site/diagrams.py"


def test_every_parameter_and_setting_says_what_it_is():
    import parameters

    from posebed import config

    sections = {"Params": parameters.Params, **{name: getattr(config, name) for name in parameters.PLACES}}
    sections |= {name: installed().model(name).config for name in MODELS}
    mute = [f"{name}.{key}" for name, of in sections.items() for key, f in of.model_fields.items() if not f.description]
    assert not mute


def test_the_parameters_reference_has_every_parameter_with_its_default():
    import parameters

    text = parameters.page()
    for section in (parameters.Params, *(getattr(parameters.config, name) for name in parameters.PLACES)):
        for name, field in section.model_fields.items():
            assert f"**`{parameters._name(name, field)}`**" in text
    assert "**`lr`** <span class=facts>number, above 0; default `0.0005`</span>" in text
    assert "one of `deepspeed`, `torch`; default `deepspeed`" in text


def test_the_command_reference_has_every_command_with_every_option():
    import commands

    text = commands.page()
    for name, command in typer.main.get_command(app).commands.items():
        part = text.split(f"## {name} {{#{name}}}")[1].split("\n## ")[0]
        for parameter in command.params:
            assert parameter.help, (name, parameter.name)
            if parameter.opts[0].startswith("--"):
                assert parameter.opts[0] in part, name


@pytest.mark.parametrize(
    ("source", "page", "before", "after"),
    [
        ("README.md", "index.md", "[a](docs/start.md)", "[a](start.md)"),
        ("README.md", "index.md", "[a](CITATION.cff)", "a"),
        ("docs/start.md", "start.md", "[a](install.md#b)", "[a](install.md#b)"),
        ("docs/models/hrnet.md", "models/hrnet.md", "![a](../pictures/a.svg)", "![a](../pictures/a.svg)"),
        ("docs/models/hrnet.md", "models/hrnet.md", "[a](../../CONTRIBUTING.md)", "[a](../contributing.md)"),
        ("cluster/README.md", "cluster.md", "[`a`](../docs/start.md)", "[`a`](start.md)"),
        ("docs/start.md", "start.md", "[a](https://example.org)", "[a](https://example.org)"),
        ("docs/start.md", "start.md", "`[a](b.md)`", "`[a](b.md)`"),
    ],
)
def test_links_between_files_become_links_between_pages(source: str, page: str, before: str, after: str):
    known = {"start.md", "install.md", "index.md", "contributing.md", "cluster.md", "pictures/a.svg"}
    assert _hooks().with_links(before, source, page, known) == after


@given(st.text("ab[]()`!.#/\n", max_size=40))
def test_text_without_links_to_files_stays_as_it_is(text: str):
    hooks = _hooks()
    plain = re.sub(r"\]\(", "] (", text)
    assert hooks.with_links(plain, "docs/a.md", "a.md", {"a.md"}) == plain


def _hooks() -> ModuleType:
    import hooks

    return hooks


def _blocks(language: str) -> list[tuple[str, str]]:
    """Page and text of every block of code in a language."""
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]


def test_every_command_of_a_page_exists_with_its_options():
    commands: dict[str, Any] = typer.main.get_command(app).commands
    lines = [(page, line) for page, block in _blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    seen: set[str] = set()
    for page, line in lines:
        for call in re.findall(r"(?:^|[;&'] ?|-- )posebed ([a-z-]+)([^#;&|']*)", line):
            name, rest = call
            assert name in commands, (page, line)
            known = {option for parameter in commands[name].params for option in parameter.opts}
            assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known, (page, line)
            seen.add(name)
    assert {"init", "check", "convert", "predict", "presets", "search", "status", "why"} <= seen


def test_the_parameters_that_pages_show_are_valid():
    """Entry by entry: a page shows some of a file."""
    seen: set[str] = set()
    for page, block in _blocks("yaml"):
        content = yaml.safe_load(block)
        for name, entries in content.items():
            assert name in Params.model_fields, (page, name)
            section = get_args(Params.model_fields[name].annotation)[1]
            for key, entry in entries.items():
                made = section.model_validate(entry)
                if name == "data":
                    installed().dataset(made.source).options.model_validate(made.options)
                if name in ("runs", "models", "searches"):
                    model = key if name == "models" else made.model
                    installed().model(model).config.model_validate(made.config)
            seen.add(name)
    assert {"data", "splits", "packs", "models", "runs", "searches"} <= seen


def test_no_page_names_a_place_of_one_machine():
    tracked = subprocess.run(
        ["git", "ls-files", "*.md", "*.cff", ".github"], cwd=CHECKOUT, capture_output=True, text=True
    )
    for name in tracked.stdout.splitlines():
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        assert str(CHECKOUT) not in text and str(Path.home()) + "/" not in text, name

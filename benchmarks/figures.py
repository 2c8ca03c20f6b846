"""The figures that pages show. ``docs/figures.yaml`` holds each with its origin, and the pages are filled from it.

A page shows a figure between two comments, which code hosts do not render. The text may span cells of a table:

    <!--figure:launch/ratio-->3.3 times<!--/figure-->

A benchmark prints a line ``figure NAME VALUE`` per figure. With --record it also writes those that a page shows to
``docs/figures.yaml``, with the command, the commit, the processor and the date, and fills the pages.

Usage: python benchmarks/figures.py [--check]
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from posebed.provenance import hardware

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/models/*.md", "cluster/*.md")
FILE = "docs/figures.yaml"
MADE_BY_RECORDING = (FILE, *PAGES, "docs/pictures")
NAME = r"[a-z0-9_]+(?:[-./][a-z0-9_]+)*"
MARKED = re.compile(rf"(<!--figure:({NAME})-->)(.*?)(<!--/figure-->)")
MARKER = re.compile(rf"<!--(?:figure:{NAME}|/figure)-->")


@dataclass(frozen=True)
class Figure:
    value: str
    """As pages show it, with its unit."""
    command: str
    """Prints it, or makes the report that does."""
    commit: str
    """Of the code that was measured; of a kept figure, the commit that brought it into the page."""
    processor: str
    date: str
    """ISO 8601."""
    kept: bool = False
    """Taken over from a page as it stood, instead of being written by --record."""


Figures = dict[str, Figure]


def read_figures(path: Path) -> Figures:
    """Figures by name.

    Raises:
        ValueError: An entry is not a figure.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(entries, dict):
        raise ValueError(f"{path.name} must map names to figures, but holds {type(entries).__name__}")
    return {str(name): _figure(str(name), entry) for name, entry in entries.items()}


def _figure(name: str, entry: Any) -> Figure:
    if not re.fullmatch(NAME, name):
        raise ValueError(f"a figure's name must be lower-case words joined by - . or /, but is {name!r}")
    texts = [field.name for field in fields(Figure) if field.name != "kept"]
    if not isinstance(entry, dict) or not set(texts) <= set(entry) <= {*texts, "kept"}:
        keys = ", ".join(map(str, entry)) if isinstance(entry, dict) else repr(entry)
        raise ValueError(f"figure {name} must have {', '.join(texts)} and may have kept, but has {keys}")
    for key in texts:
        if not isinstance(entry[key], str) or entry[key] != " ".join(entry[key].split()) or not entry[key]:
            raise ValueError(f"{key} of figure {name} must be one line of text in quotes, but is {entry[key]!r}")
    if MARKER.search(entry["value"]) or not isinstance(entry.get("kept", False), bool):
        raise ValueError(f"figure {name} must have a value without markers, and true or false for kept")
    return Figure(**entry)


def write_figures(figures: Mapping[str, Figure], path: Path) -> None:
    entries = {
        name: {key: value for key, value in asdict(figure).items() if value is not False}
        for name, figure in sorted(figures.items())
    }
    _replace(path, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def pages(root: Path) -> list[Path]:
    return [path for pattern in PAGES for path in sorted(root.glob(pattern))]


def shown(text: str) -> set[str]:
    """Names of the figures that a page shows."""
    return {name for _, name, _, _ in MARKED.findall(text)}


def filled(text: str, figures: Mapping[str, Figure]) -> str:
    """The page with the value of every figure between its markers; unknown figures stay as they are."""

    def fill(match: re.Match[str]) -> str:
        opening, name, _, closing = match.groups()
        return f"{opening}{figures[name].value}{closing}" if name in figures else match[0]

    return MARKED.sub(fill, text)


def mistakes(text: str, figures: Mapping[str, Figure]) -> list[str]:
    """What keeps a page from being filled, in sentences."""
    sentences = [f"shows figure {name}, which {FILE} does not have" for name in sorted(shown(text) - set(figures))]
    for number, line in enumerate(text.splitlines(), 1):
        if MARKER.search(MARKED.sub("", line)) or any(MARKER.search(value) for _, _, value, _ in MARKED.findall(line)):
            sentences.append(
                f"line {number} must close every marker that it opens, in the same line and before the next"
            )
        if MARKER.match(line.lstrip()):
            sentences.append(f"line {number} must not start with a marker, since Markdown takes the line for HTML")
    return sentences


def disagreements(root: Path) -> list[str]:
    """Every way in which the pages and the file of figures disagree, in sentences."""
    figures, used = read_figures(root / FILE), set[str]()
    sentences: list[str] = []
    for page in pages(root):
        text, name = page.read_text(encoding="utf-8"), page.relative_to(root).as_posix()
        used |= shown(text)
        sentences += [f"{name}: {mistake}" for mistake in mistakes(text, figures)]
        for (_, figure, value, _), after in zip(
            MARKED.findall(text), MARKED.findall(filled(text, figures)), strict=True
        ):
            if value != after[2]:
                sentences.append(f"{name}: shows {value!r} for figure {figure}, but {FILE} has {after[2]!r}")
    return sentences + [f"{FILE}: no page shows figure {name}" for name in sorted(set(figures) - used)]


def fill_pages(root: Path) -> list[Path]:
    """Fill every page; returns those that changed.

    Raises:
        ValueError: A page cannot be filled. None is changed then.
    """
    figures = read_figures(root / FILE)
    texts = {page: page.read_text(encoding="utf-8") for page in pages(root)}
    sentences = [f"{page.name}: {mistake}" for page, text in texts.items() for mistake in mistakes(text, figures)]
    if sentences:
        raise ValueError("\n".join(sentences))
    changed = {page: new for page, text in texts.items() if (new := filled(text, figures)) != text}
    for page, new in changed.items():
        _replace(page, new)
    return list(changed)


def arguments(parser: argparse.ArgumentParser, **quick: Any) -> argparse.Namespace:
    """Parse a benchmark's command line, with --quick and --record. ``quick``: defaults of the reduced form."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="a reduced form, which shows that the benchmark runs")
    what.add_argument("--record", action="store_true", help=f"write the figures to {FILE} and the pages")
    options = parser.parse_args()
    if options.quick:
        parser.set_defaults(**quick)
        options = parser.parse_args()
    return options


def command(script: str, words: Sequence[str]) -> str:
    """What to type for the same figures: absolute paths, which hold for one machine alone, as PATH."""
    kept = [re.sub(r"^(--[a-z-]+=)?/.*", r"\1PATH", word) for word in words if word != "--record"]
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *kept])


@contextmanager
def recording(record: bool, root: Path = ROOT) -> Iterator[Callable[[str, str], None]]:
    """A function that prints a figure by its name. At the end those that pages show are written down, if ``record``.

    A benchmark that fails, and one whose code is not committed, writes nothing.
    """
    values: dict[str, str] = {}

    def figure(name: str, value: str) -> None:
        values[name] = value
        print(f"figure {name} {value}", flush=True)

    measured = origin(root) if record else {}
    yield figure
    if record:
        record_values({name: Figure(value, **measured) for name, value in values.items()}, root)


def origin(root: Path) -> dict[str, str]:
    """This command, the commit that is checked out, the processor and the date.

    Raises:
        SystemExit: Code differs from the commit, so that a figure would have none.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    unchanged = [f":!{path}" for path in MADE_BY_RECORDING]
    if changed := git("status", "--porcelain", "--untracked-files=no", "--", ".", *unchanged):
        print(f"--record needs code that is committed, but git status names:\n{changed}", file=sys.stderr)
        raise SystemExit(2)
    return {
        "command": command(sys.argv[0], sys.argv[1:]),
        "commit": git("rev-parse", "--short", "HEAD"),
        "processor": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def record_values(figures: Figures, root: Path) -> None:
    """Write those figures that a page shows, and fill the pages."""
    wanted = {name for page in pages(root) for name in shown(page.read_text(encoding="utf-8"))}
    new = {name: figure for name, figure in figures.items() if name in wanted}
    write_figures(read_figures(root / FILE) | new, root / FILE)
    fill_pages(root)
    print(f"recorded {len(new)} of {len(figures)} figures; no page shows the others")


def main() -> int:
    parser = argparse.ArgumentParser(description="Fill the pages from docs/figures.yaml.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page and the file disagree")
    try:
        if parser.parse_args().check:
            sentences = disagreements(ROOT)
            print("\n".join(sentences or ["every page shows the figures of its file"]))
            return 1 if sentences else 0
        for page in fill_pages(ROOT):
            print(f"filled {page.relative_to(ROOT)}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

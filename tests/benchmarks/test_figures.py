"""The pages show the figures of their file, and recording changes those figures alone."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "benchmarks" / "figures.py"


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("posebed_figures", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


figures = _module()
ORIGIN = {"command": "python benchmarks/step.py", "commit": "1234567", "processor": "a processor", "date": "2026-01-02"}

names = st.sampled_from(["step", "step/ratio", "models/hrnet-w32/step", "a_1.2/b-3", "7"])
values = st.text("a1.|[]<>!-/%é'\"#:*\\", min_size=1, max_size=12).filter(lambda text: "<!--" not in text)
files = st.dictionaries(names, values, min_size=1, max_size=5)


def figure(value: str):
    return figures.Figure(value, **ORIGIN)


def page_of(shown: dict[str, str]) -> str:
    return "".join(f"Text <!--figure:{name}-->{value}<!--/figure--> and text.\n" for name, value in shown.items())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with two figures, one of which its page shows."""
    (tmp_path / "docs").mkdir()
    figures.write_figures({"step/ratio": figure("1.00 times"), "step/other": figure("2 s")}, tmp_path / figures.FILE)
    (tmp_path / "README.md").write_text(page_of({"step/ratio": "1.00 times", "step/other": "2 s"}))
    (tmp_path / "code.py").write_text("1\n")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def test_every_page_shows_the_figures_of_its_file():
    assert figures.disagreements(CHECKOUT) == []


MEASURED = re.compile(
    r"(?<![\w.])\.\d{2,3}\b"  # a score
    r"|(?<!at most )(?<!under )(?<!at least )(?<![\d.,])\d[\d.,]*(?: |-)"
    r"(?:s|ms|seconds|minutes|MiB|GiB|MB|GB|images/s|times)\b"
)


def test_no_page_shows_a_score_a_time_or_a_size_that_is_no_figure():
    for page in figures.pages(CHECKOUT):
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        matches = [match[0] for match in MEASURED.finditer(figures.MARKED.sub("", text))]
        assert not matches, f"{page.name} shows {matches} outside of figures"


def test_a_figure_that_a_benchmark_prints_names_a_benchmark_that_exists():
    for name, each in figures.read_figures(CHECKOUT / figures.FILE).items():
        words = each.command.split()
        if words[0] == "python" and words[1] != "-c":
            assert (CHECKOUT / words[1]).is_file(), name
            assert name.split("/")[0] == Path(words[1]).stem, name


@given(files)
def test_a_file_that_is_written_reads_the_same(tmp_path_factory: pytest.TempPathFactory, shown: dict[str, str]):
    path = tmp_path_factory.mktemp("file") / "figures.yaml"
    entries = {name: replace(figure(value), kept=bool(i % 2)) for i, (name, value) in enumerate(shown.items())}
    figures.write_figures(entries, path)
    assert figures.read_figures(path) == entries


@given(files, files)
def test_a_filled_page_shows_every_known_value_and_keeps_all_other_text(old: dict[str, str], new: dict[str, str]):
    filled = figures.filled(page_of(old), {name: figure(value) for name, value in new.items()})
    assert filled == page_of({name: new.get(name, value) for name, value in old.items()})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a <!--figure:a/b-->1", "close every marker"),
        ("a 1<!--/figure-->", "close every marker"),
        ("a <!--figure:a/b-->1\n2<!--/figure-->", "close every marker"),
        ("a <!--figure:a/b-->1 <!--figure:a/b-->1<!--/figure-->", "close every marker"),
        ("  <!--figure:a/b-->1<!--/figure--> a", "must not start with a marker"),
        ("a <!--figure:c-->1<!--/figure-->", "does not have"),
    ],
)
def test_a_page_that_cannot_be_filled_is_refused_and_no_page_changes(project: Path, text: str, why: str):
    figures.write_figures({"a/b": figure("2")}, project / figures.FILE)
    (project / "README.md").write_text(page_of({"a/b": "1"}))
    (project / "docs" / "page.md").write_text(text)
    with pytest.raises(ValueError, match=why):
        figures.fill_pages(project)
    assert (project / "README.md").read_text() == page_of({"a/b": "1"})


def test_a_value_that_was_edited_in_a_page_and_a_figure_without_a_page_are_both_named(project: Path):
    (project / "README.md").write_text(page_of({"step/ratio": "0.50 times"}))
    edited, unused = figures.disagreements(project)
    assert "README.md" in edited and "0.50 times" in edited and "1.00 times" in edited
    assert "step/other" in unused


@pytest.mark.parametrize(
    "entry",
    [
        "1 s",
        {**ORIGIN},
        {**ORIGIN, "value": 1.5},
        {**ORIGIN, "value": ""},
        {**ORIGIN, "value": "two\nlines"},
        {**ORIGIN, "value": "1", "unit": "s"},
        {**ORIGIN, "value": "1", "kept": "yes"},
        {**ORIGIN, "value": "1<!--/figure-->"},
    ],
)
def test_an_entry_that_is_no_figure_is_refused_by_name(tmp_path: Path, entry: object):
    path = tmp_path / "figures.yaml"
    path.write_text(yaml.safe_dump({"step/ratio": entry}))
    with pytest.raises(ValueError, match="step/ratio"):
        figures.read_figures(path)


def test_recording_writes_the_origin_and_the_page_and_leaves_other_figures(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["benchmarks/step.py", "--record", "--real", "/secret/place", "40"])
    with figures.recording(True, project) as show:
        show("step/ratio", "1.25 times")
        show("step/on-no-page", "9 s")
    after = figures.read_figures(project / figures.FILE)
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=project, capture_output=True, text=True).stdout
    assert after["step/ratio"].value == "1.25 times" and after["step/ratio"].commit == head.strip()
    assert after["step/ratio"].command == "python benchmarks/step.py --real PATH 40"
    assert after["step/ratio"].processor and not after["step/ratio"].kept
    assert after["step/other"] == figure("2 s") and "step/on-no-page" not in after
    assert figures.disagreements(project) == []


def test_a_second_recording_is_not_stopped_by_what_the_first_one_wrote(project: Path):
    for value in ("3 s", "4 s"):
        with figures.recording(True, project) as show:
            show("step/other", value)
    assert figures.read_figures(project / figures.FILE)["step/other"].value == "4 s"


def test_a_benchmark_that_fails_records_nothing(project: Path):
    before = (project / figures.FILE).read_bytes(), (project / "README.md").read_bytes()
    with pytest.raises(ZeroDivisionError), figures.recording(True, project) as show:
        show("step/ratio", "9 times")
        raise ZeroDivisionError
    assert before == ((project / figures.FILE).read_bytes(), (project / "README.md").read_bytes())


def test_code_that_is_not_committed_is_refused_before_anything_is_measured(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    (project / "code.py").write_text("2\n")
    with pytest.raises(SystemExit) as stop, figures.recording(True, project):
        pytest.fail("must not start")
    assert stop.value.code == 2
    assert "code.py" in capsys.readouterr().err

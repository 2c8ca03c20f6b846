"""Ablation tables on their way into ``params.yaml``, and runs of presets on their way into the report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from plugins import install
from posebed.catalog import MODELS, installed
from posebed.config import merged
from posebed.params import Params, read_params
from posebed.reporting.paper_tables import papers
from posebed.scoring.result import Repeat
from posestages.cli import app
from posestages.commands.ablate import ablations, table_entries
from posestages.commands.preset_matching import literature, repeat_of
from posestages.commands.presets import Entries, all_presets, combined

CATALOG = installed()
ABLATIONS, PRESETS = CATALOG.published().ablations, CATALOG.published().presets

TABLES = [(model, table) for model, tables in ABLATIONS.items() for table in tables]


def repeats(params: Params) -> list[Repeat]:
    return [repeat for key in params.runs if (repeat := repeat_of(params, key, CATALOG))]


def starts(names: Iterable[str]) -> set[str]:
    """The presets that these start from, and those that they start from in turn."""
    first = {str(PRESETS[name].init_from) for name in names if PRESETS[name].init_from}
    return first | starts(first) if first else first


def ablate(*words: str) -> None:
    app(["ablate", *words], standalone_mode=False)


@pytest.mark.parametrize("model", ABLATIONS)
def test_the_list_names_every_table_with_its_number_of_rows(model: str, capsys: pytest.CaptureFixture[str]):
    ablate(model)
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    for table, rows in ablations(model).items():
        assert [table, str(len(rows))] in [words[:2] for words in printed]


@pytest.mark.parametrize(("model", "table"), TABLES)
def test_a_table_prints_an_entry_for_every_row_and_seed(model: str, table: str, capsys: pytest.CaptureFixture[str]):
    ablate(model, "--table", table, "--seed", "0", "--seed", "2")
    params = Params.model_validate(yaml.safe_load(capsys.readouterr().out))
    requested = [(run.preset, seed) for run in params.runs.values() for seed in run.seeds]
    rows = ABLATIONS[model][table]
    assert sorted(requested) == sorted((name, seed) for name in {*rows, *starts(rows)} for seed in (0, 2))
    assert not any(repeat.changed or repeat.apart for repeat in repeats(params))


def test_a_table_is_added_once(project: Path):
    ablate("kitpose", "--table", "losses", "--add")
    text = (project / "params.yaml").read_text()
    assert {"baseline", *ABLATIONS["kitpose"]["losses"]} <= set(read_params(project / "params.yaml").runs)
    ablate("kitpose", "--table", "losses", "--add")
    assert (project / "params.yaml").read_text() == text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hrnet"], f"must be one of {', '.join(ABLATIONS)}, but is 'hrnet'"),
        (["kitpose", "--table", "part"], "a table of kitpose must be one of parts, losses, but is 'part'"),
        (["fmmp", "--add"], "--add must be given --table, one of components, padding"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(words: list[str], sentence: str):
    code = "from posestages.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "ablate", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and sentence in done.stderr


def test_tables_and_the_report_s_papers_import_no_torch():
    code = (
        "import sys; from posestages.commands import preset_matching; "
        "print('KITPose' in preset_matching.literature().papers, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


def test_a_model_that_is_no_python_leaves_the_papers_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "broken", {"broken.py": "def ("}, {MODELS: {"broken": "broken"}})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert "broken" in installed().models and "KITPose" in literature().papers


@pytest.mark.parametrize(("model", "table"), TABLES)
def test_an_ablation_that_is_requested_for_stands_in_the_report_row_by_row(model: str, table: str):
    wanted = [repeat.preset for repeat in repeats(Params.model_validate(table_entries(model, table)))]
    shown = [t for _, _, of in papers([], literature(), wanted).shown for t in of if t.ablation == f"{model} {table}"]
    (only,) = shown
    assert [row.presets for row in only.rows] == [(name,) for name in ABLATIONS[model][table]]
    assert all(cell.verdict() == "not run" for row in only.rows for cell in row.cells.values())


def test_every_preset_repeats_itself_and_every_claim_stands_in_a_table():
    repeated = repeats(Params.model_validate(combined(list(all_presets()))))
    assert not any(repeat.changed or repeat.apart for repeat in repeated)
    of = papers([], literature(), [repeat.preset for repeat in repeated])
    assert of.further_rows() == 0
    claimed = {(c.source, c.setting, c.split, c.metric, c.value) for p in all_presets().values() for c in p.claims}
    shown = {
        (t.source, row.setting, dict(t.protocol)["split"], metric, cell.claimed)
        for t in of.tables
        for row in t.rows
        for metric, cell in row.cells.items()
        if cell.claimed is not None
    }
    assert shown == claimed


TUNED = "prompt-pose-r50-coco-ap10k-20shot"
RUN = f"{TUNED}-seed1"


@pytest.mark.parametrize(
    ("other", "deviations", "changed"),
    [
        ({"data": {"ap10k-split1": {"options": {"split": 2}}}}, ("other data",), ""),
        ({"data": {"ap10k-split1": {"path": "elsewhere"}}}, (), ""),
        ({"splits": {"ap10k-split1-20shot-seed1": {"few_shot": 10}}}, ("another split",), ""),
        ({"packs": {"ap10k-split1-256x256": {"crop_size": [128, 128]}}}, ("other crops",), ""),
        ({"runs": {"prompt-pose-r50-coco": {"preset": None}}}, ("another start",), ""),
        ({"runs": {RUN: {"config": {"depth": 3}, "train": {"epochs": 2}}}}, (), "depth 3, train.epochs 2"),
    ],
)
def test_a_run_tells_in_what_it_departs_from_its_preset(other: Entries, deviations: tuple[str, ...], changed: str):
    params = Params.model_validate(merged(combined([TUNED], [1]), other))
    assert repeat_of(params, RUN, CATALOG) == Repeat(preset=TUNED, changed=changed, apart=deviations)

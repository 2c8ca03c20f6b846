"""What is our own gains nothing from lying in our packages: a model with its presets, a dataset and metrics that are
moved into a package of somebody else work as before, and nothing else is told of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import posebed
from experiments import experiment_of
from plugins import install
from posebed.catalog import DATASETS, METRICS, MODELS, PRESETS, installed
from posebed.metrics.distances import per_query
from posebed.params import read_params
from posebed.records import read_records
from posebed.scoring.drawn import drawn_predictions
from posebed.training.log import FolderLog
from posebed.training.loop import epochs
from posestages.prepare import prepare

CHECKOUT = Path(__file__).parents[2]
PRESET = """
from posebed.contracts import Claim, Preset, PresetSpec

CLAIM = Claim("MP-100", "split 1", "POMNet elsewhere", "PCK@0.2", 80.0, "Elsewhere, table 1")
SPEC = PresetSpec(
    presets={
        "elsewhere-split1-1shot": Preset(
            model="elsewhere",
            data={"source": "mp100", "path": "datasets/mp100", "options": {"split": 1}},
            split={"by": "official", "episodes": {"shots": 1}},
            pack={"crop_size": [256, 256]},
            config={"backbone": "resnet50.tv_in1k", "weights": "timm"},
            claims=(CLAIM,),
        )
    },
    ablations={"elsewhere": {"shots": ("elsewhere-split1-1shot",)}},
)
"""
MODEL = """
  {}:
    config: {{backbone: test_resnet, weights: none, stride: 8, width: 16, heads: 2, feed_forward: 16, encoder_layers: 1,
      decoder_layers: 1, deconvs: 1, slots: 20}}
    train: {{epochs: 2, batch_size: 4, draws: 8, checkpoint_every: 1}}"""


@pytest.fixture
def moved(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, a project beside a folder of packages with the copies."""
    files = {
        "elsewhere/__init__.py": "",
        "elsewhere/model.py": (CHECKOUT / "models/posezoo/pomnet.py").read_text(),
        "elsewhere/presets.py": PRESET,
        "elsewhere/dataset.py": (CHECKOUT / "platform/posebed/datasets/coco_folder.py").read_text(),
        "elsewhere/metric.py": (CHECKOUT / "platform/posebed/metrics/distances.py").read_text() + RENAMED,
    }
    points = {
        MODELS: {"elsewhere": "elsewhere.model"},
        PRESETS: {"elsewhere": "elsewhere.presets"},
        DATASETS: {"elsewhere_folder": "elsewhere.dataset"},
        METRICS: {"elsewhere": "elsewhere.metric"},
    }
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "elsewhere", files, points)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    yield project
    for name in [name for name in sys.modules if name.partition(".")[0] == "elsewhere"]:
        del sys.modules[name]


RENAMED = """

from dataclasses import replace

SPEC = replace(SPEC, metrics=tuple(replace(m, name=f"elsewhere {m.name}", leads=0) for m in SPEC.metrics))
"""


def test_a_model_with_presets_is_two_files_and_trains_to_the_last_bit_as_before(moved: Path):
    models = MODEL.format("pomnet") + MODEL.format("elsewhere")
    text = Path("params.yaml").read_text().replace("models:", f"models:{models}")
    runs = "".join(f"  {key}: {{model: {key}, split: held-out, pack: small}}\n" for key in ("pomnet", "elsewhere"))
    Path("params.yaml").write_text(text + runs)
    one, other = ([*epochs(experiment_of(key), FolderLog(moved / key, key))] for key in ("pomnet", "elsewhere"))
    assert [(e.losses, e.validation) for e in one] == [(e.losses, e.validation) for e in other]
    assert len(one) == 2 and all(e.loss > 0 for e in one)

    assert "elsewhere 1.2" in posebed("models", COLUMNS="200").stdout
    assert "elsewhere-split1-1shot" in posebed("presets", COLUMNS="200").stdout
    assert "elsewhere-split1-1shot" in posebed("ablate", "elsewhere").stdout
    assert installed().published().presets["elsewhere-split1-1shot"].claims[0].value == 80


def test_a_dataset_is_one_file(moved: Path):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("source: coco_folder", "source: elsewhere_folder"))
    prepare(read_params(Path("params.yaml")), "quads", Path("prepared"))
    folders = (Path("prepared"), Path("data/prepared/quads"))
    one, other = (read_records(folder / "records.parquet") for folder in folders)
    assert [r.record for r in one] == [r.record for r in other] and len(one) == 48
    assert all((a.keypoints == b.keypoints).all() for a, b in zip(one, other, strict=True))
    assert "read by: elsewhere 1.2" in posebed("datasets", COLUMNS="200").stdout
    checked = posebed("check", "data/menagerie/quads", "--source", "elsewhere_folder")
    assert checked.returncode == 0 and "No problem in 48 annotations" in checked.stdout


def test_metrics_are_one_file(moved: Path):
    known, wrong = installed().measured()
    assert wrong == [] and [*known][-1] == "elsewhere.metric"
    table = drawn_predictions(0)
    assert (known["elsewhere.metric"].per_query(table) == per_query(table)).all()
    assert "measured by: elsewhere 1.2" in posebed("metrics", COLUMNS="200").stdout
    assert installed().judge("elsewhere PCK@0.2") == "elsewhere.metric"

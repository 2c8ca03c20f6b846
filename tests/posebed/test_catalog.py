"""What can be named comes from installed packages and from the project's own parameters, and from nowhere else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins import install, spec
from posebed.catalog import DATASETS, METRICS, MODELS, PRESETS, SAMPLERS, Catalog, installed
from posebed.scoring.scores import usable
from posebed.source_code import SourceCode

PRESET = """
from posebed.contracts import Preset, PresetSpec

MINE = Preset("sketch", {"source": "coco_folder"}, {}, {"crop_size": (64, 64)})
SPEC = PresetSpec({"mine": MINE}, {"sketch": {"parts": ("mine",)}})
"""


CALLABLE = "from collections.abc import Callable\n" + spec().replace("width: int = 8", "width: Callable[[], int] = int")
METRIC = """
import numpy as np

from posebed.contracts import Metric, MetricSpec

SPEC = MetricSpec((Metric("NAME", "What it is."),), lambda p: VALUES, contract=1)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages; the working folder is a project beside it."""
    folder, project = tmp_path / "site", tmp_path / "project"
    folder.mkdir()
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    yield folder
    for name, module in [*sys.modules.items()]:
        if str(tmp_path) in (getattr(module, "__file__", None) or ""):
            del sys.modules[name]


def refusal(catalog: Catalog, name: str) -> str:
    with pytest.raises((LookupError, ValueError)) as error:
        catalog.model(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_zoo_is_a_plugin_among_others(site: Path):
    install(
        site, "mylab-poses", {"mylab/sketch.py": spec(), "mylab/__init__.py": ""}, {MODELS: {"sketch": "mylab.sketch"}}
    )
    catalog = installed()
    assert catalog.model_entry("kitpose").module == "posezoo.kitpose"
    assert catalog.model_entry("kitpose").origin.startswith("posebed ")
    assert catalog.model_entry("sketch").origin == "mylab-poses 1.2"
    assert "mylab" not in sys.modules, "listing imports nothing"
    assert catalog.model("sketch").config().width == 8
    assert catalog.model_entry("mylab.sketch") == catalog.model_entry("sketch")
    assert {"mylab", "posezoo", "posebed"} <= {*catalog.packages}


def test_an_entry_point_may_name_a_package_of_several(site: Path):
    files = {
        "many/__init__.py": "",
        "many/one.py": spec(),
        "many/two.py": spec(),
        "many/_shared.py": "",
        "many/more/__init__.py": "",
    }
    install(site, "many", files, {MODELS: {"any": "many"}})
    own = {name for name, entry in installed().models.items() if entry.origin == "many 1.2"}
    assert own == {"one", "two"}


def test_presets_of_a_plugin_stand_beside_those_of_the_zoo(site: Path):
    files = {"mylab/__init__.py": "", "mylab/presets.py": PRESET}
    install(site, "mylab-poses", files, {PRESETS: {"mylab": "mylab.presets"}})
    assert installed().preset("mine").model == "sketch"
    published = installed().published()
    assert len(published.presets) > 100
    assert published.ablations["sketch"] == {"parts": ("mine",)} and "kitpose" in published.ablations


def test_a_package_of_presets_has_those_of_its_modules(site: Path):
    files = {"mylab/__init__.py": "", "mylab/_shared.py": "1 / 0", "mylab/one.py": PRESET}
    files["mylab/two.py"] = PRESET.replace("mine", "other").replace("parts", "more")
    install(site, "mylab-poses", files, {PRESETS: {"mylab": "mylab"}})
    published = installed().published()
    assert {"mine", "other"} <= published.presets.keys()
    assert published.ablations["sketch"] == {"parts": ("mine",), "more": ("other",)}


@pytest.mark.parametrize(("name", "clash"), [("mine", "preset 'mine'"), ("other", "sketch's table 'parts'")])
def test_what_is_published_at_two_places_is_refused_with_both(site: Path, name: str, clash: str):
    install(site, "one", {"one.py": PRESET}, {PRESETS: {"one": "one"}})
    install(site, "two", {"two.py": PRESET.replace("mine", name)}, {PRESETS: {"two": "two"}})
    with pytest.raises(ValueError, match=rf"{clash} must come from one place, but one 1.2 .* and two 1.2"):
        installed().preset("mine")


def test_presets_that_do_not_import_leave_those_of_others(site: Path):
    install(site, "broken", {"broken.py": "1 / 0"}, {PRESETS: {"broken": "broken"}})
    assert len(installed().published().presets) > 100
    with pytest.raises(
        LookupError, match=r"but is 'mine'.*; broken of broken 1.2 must be importable.*ZeroDivisionError"
    ):
        installed().preset("mine")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"bad.py": "import no_such_module"}, "must be importable, but raises ModuleNotFoundError"),
        ({"bad.py": "def ("}, "must be importable, but raises SyntaxError"),
        ({"bad.py": "raise SystemError('of\\nits own')"}, "must be importable, but raises SystemError: of its own"),
        ({"bad.py": ""}, "must hold a SPEC of type ModelSpec, but has no SPEC"),
        ({"bad.py": "SPEC = 3"}, "must hold a SPEC of type ModelSpec, but has one of type int"),
        ({"bad.py": spec(contract=7)}, "must be written for contract 1, but is for 7"),
        ({"bad.py": spec().replace("width: int", "width: range")}, "but raises PydanticSchemaGenerationError"),
        ({"bad.py": CALLABLE}, "fields of Config must be of types that JSON has, but: Cannot generate a JsonSchema"),
        ({}, "'bad' must be a module of bad 1.2, but there is no bad"),
    ],
)
def test_a_plugin_that_cannot_be_used_says_why_and_leaves_the_others(site: Path, files: dict[str, str], message: str):
    install(site, "bad", files, {MODELS: {"bad": "bad"}})
    catalog = installed()
    assert message in refusal(catalog, "bad") and "bad 1.2" in refusal(catalog, "bad")
    assert catalog.model("mean_pose")


def test_a_name_of_two_origins_is_refused_with_both(site: Path):
    install(site, "impostor", {"impostor.py": spec()}, {MODELS: {"mean_pose": "impostor"}})
    message = refusal(installed(), "mean_pose")
    assert "impostor 1.2 has it in impostor and posebed" in message and "posezoo.mean_pose" in message
    assert installed().model("nearest_box")


def test_a_project_names_a_file_beside_its_parameters(site: Path):
    Path("sketch.py").write_text(spec())
    assert "sketch" not in installed().models
    catalog = installed().with_project(["sketch"], [])
    assert catalog.model_entry("sketch").origin == "sketch.py"
    assert catalog.model("sketch").config().width == 8
    assert "sketch" in SourceCode(catalog.packages).reachable(["sketch"])


def test_a_project_names_a_module_by_its_import_path(site: Path):
    for path in ("lab/__init__.py", "lab/poses/__init__.py", "lab/poses/sketch.py"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(spec() if path.endswith("sketch.py") else "")
    install(site, "elsewhere", {"elsewhere/__init__.py": "", "elsewhere/model.py": spec()}, {})
    catalog = installed().with_project(["lab.poses.sketch", "elsewhere.model"], [])
    assert catalog.model("lab.poses.sketch") and catalog.model("elsewhere.model")
    reached = SourceCode(catalog.packages).reachable(["lab.poses.sketch"])
    assert {"lab", "lab.poses", "lab.poses.sketch"} <= {*reached}


@pytest.mark.parametrize("name", ["json", "yaml", "posestages"])
def test_a_file_beside_the_parameters_is_not_called_as_a_package(site: Path, name: str):
    Path(f"{name}.py").write_text(spec())
    message = refusal(installed().with_project([name], []), name)
    assert message.endswith(
        f"{name!r} must have a name of its own, but {name}.py is called as an installed package; rename it"
    )


@pytest.mark.parametrize("name", ["evil", "os.path", "posebed.config", "no.such.module", "../evil"])
def test_what_is_named_nowhere_is_not_imported(site: Path, name: str):
    Path("evil.py").write_text("raise SystemExit('imported')")
    assert f"but is {name!r}" in refusal(installed(), name)


def test_a_module_that_is_no_model_is_refused(site: Path):
    catalog = installed().with_project(["posebed.config"], ["posezoo.hrnet"])
    assert "posebed.config of the package posebed must hold a SPEC" in refusal(catalog, "posebed.config")
    with pytest.raises(LookupError, match="must hold a SPEC of type DatasetSpec"):
        catalog.dataset("posezoo.hrnet")


def test_datasets_come_from_plugins_too(site: Path):
    text = """
from pathlib import Path

from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec


def read(options: PictureOptions, path: Path):
    raise ValueError(f"{path} must be read")


SPEC = DatasetSpec("Pictures of my lab", PictureOptions, read)
"""
    install(site, "mylab", {"mylab.py": text}, {DATASETS: {"lab_pictures": "mylab"}})
    assert installed().dataset("lab_pictures").title == "Pictures of my lab"


def test_metrics_come_from_plugins_too(site: Path):
    text = METRIC.replace("NAME", "mine").replace("VALUES", "np.ones((len(p), 1))")
    install(site, "mylab", {"mylab.py": text}, {METRICS: {"any": "mylab"}})
    known, left_out = installed().measured()
    assert left_out == [] and known["mylab"].metrics[0].name == "mine"
    assert "posebed.metrics.distances" in known
    assert installed().judge("mine") == "mylab"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "bad of bad 1.2 must be importable, but raises ZeroDivisionError"),
        ("SPEC = 3", "bad of bad 1.2 must hold a SPEC of type MetricSpec, but has one of type int"),
        (METRIC.replace("NAME", "PCK@0.2"), "'PCK@0.2' must come from one place, but posebed"),
        (
            METRIC.replace("lambda p: VALUES", "None"),
            "must be given per_query or measure, but NAME have neither",
        ),
        (METRIC.replace("contract=1", "contract=2"), "must be written for contract 1, but is for 2"),
        (
            METRIC.replace("VALUES", "np.ones(len(p))"),
            r"per_query must give \(12, 1\) values of a table of 12 rows, but",
        ),
        (METRIC.replace("VALUES", "p.no_such_column"), "must measure a table of 12 rows, but raise AttributeError"),
    ],
)
def test_metrics_that_cannot_be_used_are_left_out_with_a_sentence(site: Path, text: str, message: str):
    install(site, "bad", {"bad.py": text}, {METRICS: {"bad": "bad"}})
    known, gone = installed().measured()
    specs, wrong = usable(known)
    names = ("distances", "by_index", "symmetry", "average_precision", "animal_kingdom")
    assert {*specs} == {f"posebed.metrics.{name}" for name in names}
    (sentence,) = gone + wrong
    assert sentence.startswith("metrics ") and re.search(message, sentence) and "\n" not in sentence


def test_a_training_is_judged_by_a_metric_that_there_is(site: Path):
    with pytest.raises(LookupError, match=r"train.judged_by must be .* one of PCK@0.05, .* but is 'NME'"):
        installed().judge("NME")


def test_samplers_come_from_plugins_too(site: Path):
    text = "from posebed.contracts import SamplerSpec\n\nSPEC = SamplerSpec(lambda seed, space: seed)\n"
    install(site, "mylab", {"mylab.py": text}, {SAMPLERS: {"mine": "mylab"}})
    assert installed().sampler("mine").make(3, {}) == 3
    with pytest.raises(LookupError, match="sampler must be one of cmaes, gp, mine, nsga2, random, tpe, or a module"):
        installed().sampler("yours")


@pytest.mark.services
def test_the_engine_imports_without_the_zoo():
    code = """
import importlib, pkgutil, sys
sys.modules["posezoo"] = sys.modules["posestages"] = None
import posebed
for module in pkgutil.walk_packages(posebed.__path__, "posebed."):
    importlib.import_module(module.name)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr

"""The graph of tasks: what decides a task's numbers makes it and all that depend on it stale, and nothing else does.

Pure Python: identities are made from parameters, files of data and the text of the code.
"""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from posebed.catalog import installed
from posebed.config import (
    UNDECIDING,
    AugmentConfig,
    BudgetConfig,
    LimitsConfig,
    ResourcesConfig,
    RunConfig,
    ScoringConfig,
    SearchConfig,
    Section,
    SubmissionConfig,
    TrainConfig,
)
from posebed.jobs.graph import Graph, GraphMaker, Task, start_seed
from posebed.jobs.outcomes import Outcomes, State, accept, write_record
from posebed.params import Params
from posebed.source_code import SourceCode

CATALOG = installed()
CHECKOUT = Path(__file__).parents[3]
ROOTS = {"posebed": "platform/posebed", "posezoo": "models/posezoo"}
RUN = {"split": "a", "pack": "p"}
CONTENT: dict[str, Any] = {
    "data": {"d": {"source": "coco_folder", "path": "d"}},
    "splits": {"a": {"data": "d"}, "b": {"data": "d", "episodes": {"shots": 1}}},
    "packs": {"p": {"data": "d"}, "q": {"data": "d"}},
    "models": {name: {} for name in ("mean_pose", "simple_baseline", "proto_net", "hrnet")},
    "runs": {
        "floor": {**RUN, "model": "mean_pose"},
        "base": {**RUN, "model": "simple_baseline", "seeds": [0, 1]},
        "fine": {"split": "a", "pack": "q", "model": "simple_baseline", "init_from": "base", "seeds": [1, 5]},
        "finer": {**RUN, "model": "simple_baseline", "init_from": "fine"},
        "best": {**RUN, "model": "simple_baseline", "params_from": "s", "seeds": [3]},
        "proto": {"split": "b", "pack": "p", "model": "proto_net"},
        "published": {**RUN, "model": "hrnet", "preset": "hrnet-w32-ap10k"},
    },
    "searches": {
        "s": {**RUN, "model": "simple_baseline", "budget": {"trials": 3}},
        "t": {"split": "b", "pack": "p", "model": "proto_net", "budget": {"epochs": 3}},
    },
    "submissions": {"theirs": {"file": "theirs.json", "split": "b", "pack": "p"}},
}
numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's folder with splits and packs, and a copy of the code that may be changed."""
    folder = tmp_path_factory.mktemp("graph")
    for kind, key, names in (
        *(("splits", key, ("membership.parquet", "episodes.parquet")) for key in "ab"),
        *(("packs", key, ("index.parquet", "categories.json", "about.json")) for key in "pq"),
    ):
        for name in names:
            (folder / "data" / kind / key).mkdir(parents=True, exist_ok=True)
            (folder / "data" / kind / key / name).write_text(f"{kind} {key} {name}")
    (folder / "theirs.json").write_text("[]")
    for package, place in ROOTS.items():
        shutil.copytree(CHECKOUT / place, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


class Copy(SourceCode):
    """The copy of the code as it is when it is first looked at."""

    def __post_init__(self) -> None:
        self._roots = {package: Path(package).absolute() for package in ROOTS}
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def reachable(self, entries: Iterable[str]) -> dict[str, str]:
        if (key := tuple(entries)) not in self._known:
            self._known[key] = super().reachable(key)
        return self._known[key]


@functools.cache
def unchanged_code() -> SourceCode:
    return Copy((*ROOTS,))


def graph_of(
    content: Mapping[str, Any] = CONTENT,
    effective_hash: Callable[[Task], str] = lambda task: task.identity.hash,
    code: SourceCode | None = None,
) -> Graph:
    return GraphMaker(Params.model_validate(content), CATALOG, code or unchanged_code(), effective_hash).graph()


def graph_of_code() -> Graph:
    """With the code as it is now."""
    return graph_of(code=Copy((*ROOTS,)))


@functools.cache
def unchanged() -> Graph:
    return graph_of()


def stale(before: Graph, after: Graph) -> set[str]:
    assert before.tasks.keys() == after.tasks.keys()
    return {name for name in before.tasks if before.tasks[name].identity.hash != after.tasks[name].identity.hash}


def named(graph: Graph, kinds: str, **wanted: Any) -> set[str]:
    """Tasks of these kinds with these attributes."""
    return {
        name
        for name, task in graph.tasks.items()
        if task.kind in kinds.split() and all(getattr(task, attribute) == value for attribute, value in wanted.items())
    }


# --- settings


def other_values(section: type[Section], name: str) -> list[Any]:
    """Values that a field may have instead of its default."""
    field = section.model_fields[name]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    words = [word for arm in (field.annotation, *get_args(field.annotation)) for word in get_args(arm)]
    words = [word for word in words if isinstance(word, str | int)]
    tried = [1, 2, 3, 0.25, 0.75, True, False, ["bias"], [0.5], *words]
    found = []
    for value in tried:
        try:
            made = getattr(section.model_validate({name: value}), name)
        except ValidationError:
            continue
        if made != default or type(made) is not type(default):
            found.append(value)
    return found


def train_fields() -> dict[str, list[Any]]:
    """Dotted names below ``train`` that decide numbers, to other values."""
    left_out = {"augment", *UNDECIDING}
    own = {name: other_values(TrainConfig, name) for name in TrainConfig.model_fields if name not in left_out}
    own["judged_by"] = ["PCK@0.1", "AP"]
    return own | {f"augment.{name}": other_values(AugmentConfig, name) for name in AugmentConfig.model_fields}


TRAIN = train_fields()
WITHOUT_EFFECT = {
    **{f"resources.{name}": other_values(ResourcesConfig, name) for name in ResourcesConfig.model_fields},
    "at_once": [1, 2],
}
SEARCHED = {
    "budget.trials": [4],
    "budget.epochs": [9],
    "budget.device_seconds": [7.5],
    "seed": [7],
    "space": [{"train.lr": [0.1]}],
    "only": [["train.lr"]],
    "sampler": ["random", "gp"],
    "scheduler": ["none"],
    "grace": [2],
    "reduction": [4],
    "cost": ["gflops"],
    "warm_start": ["t"],
}
"""Fields that a search alone has, and other values."""
SUBMITTED = {
    "task": ["category_specific"],
    "method": ["net"],
    "made_by": ["A net"],
    "paper": ["A journal"],
    "shots": [0, 1],
    "told": ["keypoint names"],
}
"""Fields of a submission that its result shows, and other values."""
SHARED = {"task": ["category_specific"], "boxes": ["detected"], "config": [{"channels": 8}]}


def test_every_field_is_one_of_which_it_is_known_what_it_decides():
    assert all(TRAIN.values()), TRAIN
    shared = {"model", "preset", "split", "pack", "train", "resources", *SHARED}
    assert RunConfig.model_fields.keys() == {*shared, "seeds", "init_from", "params_from", "method"}
    assert SearchConfig.model_fields.keys() == {*shared, "at_once", *(name.split(".")[0] for name in SEARCHED)}
    assert {f"budget.{name}" for name in BudgetConfig.model_fields} == {n for n in SEARCHED if n.startswith("budget")}
    assert SubmissionConfig.model_fields.keys() == {"file", "split", "pack", *SUBMITTED}
    assert Params.model_fields.keys() == {*CONTENT, "menagerie", "scoring", "limits"}


def changed(place: str, value: Any, content: Mapping[str, Any] = CONTENT) -> dict[str, Any]:
    """The parameters with another value at a dotted place."""
    result = at = copy.deepcopy(dict(content))
    *way, name = place.split(".")
    for step in way:
        at = at.setdefault(step, {})
    at[name] = value
    return result


def draw_change(draw: st.DrawFn, place: str, fields: Mapping[str, list[Any]]) -> tuple[str, Any]:
    name = draw(st.sampled_from(sorted(fields)))
    return f"{place}.{name}", draw(st.sampled_from(fields[name]))


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Any, Callable[[Graph], set[str]]]:
    """A place in the parameters, another value, and which tasks it decides directly."""
    key, search = draw(st.sampled_from(sorted(CONTENT["runs"]))), draw(st.sampled_from("st"))
    model = draw(st.sampled_from(sorted(CONTENT["models"])))
    trained = {f"train.{name}": values for name, values in TRAIN.items()}

    def of_run(graph: Graph) -> set[str]:
        return named(graph, "train", key=key)

    def of_search(graph: Graph) -> set[str]:
        return named(graph, "search", key=search)

    def of_model(graph: Graph) -> set[str]:
        """A preset stands in the place of the model's entry."""
        return named(graph, "train search", model=model) - named(graph, "train", key="published")

    def none(graph: Graph) -> set[str]:
        return set()

    kinds = {
        "run": (f"runs.{key}", {**trained, **SHARED}, of_run),
        "model": (f"models.{model}", {**trained, "config": [{"depth": 1}, {"a": {"b": [1]}}]}, of_model),
        "search": (f"searches.{search}", {**trained, **SEARCHED, **SHARED}, of_search),
        "method": (f"runs.{key}", {"method": ["net"]}, lambda graph: named(graph, "score", key=key)),
        "submission": ("submissions.theirs", SUBMITTED, lambda graph: named(graph, "score", key="theirs")),
        "checkpoints": (f"runs.{key}.train", {name: other_values(TrainConfig, name) for name in UNDECIDING}, none),
        "resources": (f"runs.{key}", {n: v for n, v in WITHOUT_EFFECT.items() if n != "at_once"}, none),
        "resources of a search": (f"searches.{search}", WITHOUT_EFFECT, none),
        "limits": ("limits", {name: [1.5] for name in LimitsConfig.model_fields}, none),
        "scoring": (
            "scoring",
            {name: other_values(ScoringConfig, name) for name in ScoringConfig.model_fields},
            lambda graph: named(graph, "score"),
        ),
    }
    place, fields, direct = kinds[draw(st.sampled_from(sorted(kinds)))]
    return (*draw_change(draw, place, fields), direct)


@settings(max_examples=150)
@given(changes())
def test_another_setting_makes_stale_what_depends_on_it_and_nothing_else(change: tuple[str, Any, Callable]):
    place, value, direct = change
    before = unchanged()
    assert stale(before, graph_of(changed(place, value))) == before.above(direct(before)), (place, value)


@settings(max_examples=40)
@given(st.sampled_from(sorted(TRAIN)), st.data())
def test_a_setting_is_known_by_its_value_wherever_it_is_written(name: str, data: st.DataObject):
    value, other = (data.draw(st.sampled_from(TRAIN[name])) for _ in range(2))
    by_model = changed(f"models.simple_baseline.train.{name}", value)
    by_run = {key: run for key, run in CONTENT["runs"].items() if run["model"] == "simple_baseline"}
    content = by_model
    for key in by_run:
        content = changed(f"runs.{key}.train.{name}", value, content)
    assert not stale(graph_of(by_model), graph_of(content)), "written twice"
    over = changed(f"runs.base.train.{name}", other, by_model)
    named_so = stale(graph_of(by_model), graph_of(over))
    assert bool(named_so) == (value != other or type(value) is not type(other))


@pytest.mark.parametrize("name", sorted(TRAIN))
def test_a_default_that_is_written_is_another_setting_since_the_model_may_have_its_own(name: str):
    default: Any = TrainConfig()
    for part in name.split("."):
        default = getattr(default, part)
    default = list(default) if isinstance(default, tuple) else default
    after = graph_of(changed(f"runs.proto.train.{name}", default))
    assert stale(unchanged(), after) == unchanged().above(named(after, "train", key="proto"))
    assert "    train=" in Path("posezoo/proto_net.py").read_text(), "or this could not matter"


@pytest.mark.parametrize(
    ("place", "value", "direct"),
    [
        ("runs.floor.split", "b", {"train floor seed 0"}),
        ("runs.base.pack", "q", {"train base seed 0", "train base seed 1"}),
        ("runs.floor.model", "simple_baseline", {"train floor seed 0"}),
        ("searches.t.pack", "q", {"search t"}),
        ("runs.published.preset", "hrnet-w48-ap10k", {"train published seed 0"}),
        ("splits.a.val", 0.4, set()),
        ("packs.p.padding", 1.5, set()),
        ("data.d.invalid", "drop", set()),
        ("menagerie.new", {"set": "mixed"}, set()),
    ],
)
def test_data_is_known_by_its_content_and_a_preset_by_what_it_says(place: str, value: Any, direct: set[str]):
    before = unchanged()
    assert stale(before, graph_of(changed(place, value))) == before.above(direct)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_in_the_file_does_not_count(order: random.Random):
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        items = list(value.items())
        order.shuffle(items)
        return {name: shuffled(below) for name, below in items}

    text = yaml.safe_dump(shuffled(CONTENT), sort_keys=False)
    assert not stale(unchanged(), graph_of(yaml.safe_load(text)))


def test_a_seed_more_leaves_the_other_members_as_they_are():
    before, after = unchanged(), graph_of(changed("runs.base.seeds", [0, 1, 2]))
    common = {n: t for n, t in after.tasks.items() if n in before.tasks}
    changed_tasks = {n for n, t in common.items() if t.identity.hash != before.tasks[n].identity.hash}
    assert changed_tasks == {"score base"}
    assert after.tasks.keys() - before.tasks.keys() == {"train base seed 2", "predict base seed 2"}


# --- data


@contextmanager
def rewritten(path: Path, text: str) -> Iterator[None]:
    """Another text for a while, with a time of change of its own: two writes within the clock's tick look alike."""
    before = path.read_text()
    try:
        _write(path, text)
        yield
    finally:
        _write(path, before)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    tick = 1_000_000 + next(numbers)
    os.utime(path, (tick, tick))


@pytest.mark.parametrize(
    "file",
    [
        *(f"splits/{key}/{name}.parquet" for key in "ab" for name in ("membership", "episodes")),
        *(f"packs/{key}/{name}" for key in "pq" for name in ("index.parquet", "categories.json", "about.json")),
    ],
)
def test_other_data_makes_stale_whoever_reads_it(file: str):
    kind, key, _ = file.split("/")
    before = unchanged()
    with rewritten(Path("data") / file, "other content"):
        found = stale(before, graph_of())
    readers = {name for name, task in before.tasks.items() if f"{kind[:-1]} {key}" in task.identity.data}
    assert found == before.above(readers)
    entries = {**CONTENT["runs"], **CONTENT["searches"], **CONTENT["submissions"]}
    of_run = {k for k, entry in entries.items() if entry[kind[:-1]] == key}
    assert {before.tasks[name].key for name in readers} == of_run


def test_another_file_makes_a_submission_stale_and_none_refuses_it():
    before = unchanged()
    assert before.tasks["score theirs"].needs == () and not before.tasks["score theirs"].refused
    with rewritten(Path("theirs.json"), "[{}]"):
        assert stale(before, graph_of()) == {"score theirs"}
    refused = graph_of(changed("submissions.theirs.file", "none.json")).tasks["score theirs"].refused
    assert refused == "submissions.theirs.file must be there, but there is no none.json"


def test_files_that_no_task_reads_do_not_count_and_absent_data_is_no_error():
    before = unchanged()
    Path("data/splits/a/notes.txt").write_text("mine")
    assert not stale(before, graph_of())
    Path("data/splits/a").rename("data/splits/hidden")
    try:
        after = graph_of()
    finally:
        Path("data/splits/hidden").rename("data/splits/a")
    assert after.tasks["train floor seed 0"].identity.data["split a"] == "absent"
    assert stale(before, after) == before.above(n for n, t in before.tasks.items() if "split a" in t.identity.data)


# --- code


def modules() -> list[str]:
    """All of both packages, as paths below the project's folder."""
    return sorted(
        f"{package}/{path.relative_to(CHECKOUT / place).as_posix()}"
        for package, place in ROOTS.items()
        for path in (CHECKOUT / place).rglob("*.py")
    )


def module_of(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


@settings(max_examples=60)
@given(st.sampled_from(modules()))
def test_a_statement_more_makes_stale_whoever_can_reach_it_and_a_comment_nobody(file: str):
    before, text = unchanged(), Path(file).read_text()
    module = module_of(file)
    users = {name for name, task in before.tasks.items() if module in task.identity.code}
    users |= {name for name, task in before.tasks.items() if f"search.code.{module}" in task.identity.settings}
    with rewritten(Path(file), text + "\nADDED = 1\n"):
        assert stale(before, graph_of_code()) == before.above(users)
    with rewritten(Path(file), f"# before\n\n{text}\n# behind\n" + '"""A string that stands alone."""\n'):
        assert not stale(before, graph_of_code())


def test_a_task_reaches_its_own_code_and_no_other_model():
    graph = graph_of()

    def code(name: str) -> set[str]:
        return {*graph.tasks[name].identity.code}

    assert {"posebed.training.loop", "posezoo.simple_baseline"} <= code("train base seed 0") & code("search s")
    assert {"posebed.inference.predict", "posezoo.simple_baseline"} <= code("predict base seed 0")
    assert "posebed.metrics.coco.oks" in code("score base")
    for name in graph.tasks:
        assert not {"posebed.reporting.page", "posebed.jobs.schedule", "posezoo.fmmp", "posebed.config"} & code(name)
    assert not any(module.startswith("posezoo") for module in code("score base"))
    assert "posebed.training.loop" not in code("predict base seed 0") | code("score base")


DOCSTRING = ast.parse('"""Another sentence."""').body[0]


@settings(max_examples=30)
@given(st.sampled_from([file for file in modules() if "jobs" in file or "training" in file or "posezoo/s" in file]))
def test_layout_and_docstrings_do_not_count(file: str):
    """The module is written anew from its syntax tree, with a docstring more in every function and class."""
    before, tree = unchanged(), ast.parse(Path(file).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is None:
            node.body.insert(0, DOCSTRING)
    with rewritten(Path(file), ast.unparse(tree)):
        assert not stale(before, graph_of_code())


# --- what needs what


@st.composite
def starts(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Runs that start from earlier ones, in any order of the file."""
    keys = [f"r{i}" for i in range(draw(st.integers(1, 6)))]
    runs: dict[str, dict[str, Any]] = {}
    for i, key in enumerate(keys):
        seeds = draw(st.lists(st.integers(0, 4), unique=True, min_size=1, max_size=3))
        runs[key] = {**RUN, "model": "simple_baseline", "seeds": seeds}
        if i and draw(st.booleans()):
            runs[key]["init_from"] = draw(st.sampled_from(keys[:i]))
        if draw(st.booleans()):
            runs[key]["params_from"] = "s"
    return dict(draw(st.permutations(sorted(runs.items()))))


@settings(max_examples=80)
@given(starts())
def test_members_need_the_search_and_the_member_that_they_start_from(runs: dict[str, dict[str, Any]]):
    graph = graph_of({**CONTENT, "runs": runs})
    tasks, seen = graph.tasks, set[str]()
    for name, task in tasks.items():
        assert {*task.needs} == {*task.identity.after} <= seen, "whatever a task needs stands before it"
        assert all(task.identity.after[need] == tasks[need].identity.hash for need in task.needs)
        seen.add(name)
    for key, run in runs.items():
        for seed in run["seeds"]:
            expected = ["search s"] if "params_from" in run else []
            if start := run.get("init_from"):
                theirs = runs[start]["seeds"]
                expected.append(f"train {start} seed {seed if seed in theirs else theirs[0]}")
            assert [*tasks[f"train {key} seed {seed}"].needs] == expected
            assert tasks[f"predict {key} seed {seed}"].needs == (f"train {key} seed {seed}",)
        assert [*tasks[f"score {key}"].needs] == [f"predict {key} seed {seed}" for seed in run["seeds"]]


@settings(max_examples=60)
@given(starts(), st.data())
def test_a_part_of_the_graph_is_what_some_runs_are_and_need(runs: dict[str, dict[str, Any]], data: st.DataObject):
    graph = graph_of({**CONTENT, "runs": runs})
    keys = data.draw(st.lists(st.sampled_from([*runs, "search@s", "search@t"]), min_size=1))
    part = graph.of(keys)
    own = {n for n, t in graph.tasks.items() if (f"search@{t.key}" if t.kind == "search" else t.key) in keys}
    needed = set(own)
    for name in reversed([*graph.tasks]):
        needed |= {*graph.tasks[name].needs} if name in needed else set()
    assert [*part.tasks] == [name for name in graph.tasks if name in needed]
    assert graph.below(own) == needed
    assert all(name in graph.above([need]) for name in needed for need in graph.tasks[name].needs)


def test_runs_and_searches_that_are_not_there_are_refused_with_those_that_are():
    graph = graph_of()
    for key in ("lost", "s", "search@base", "search@", ""):
        with pytest.raises(LookupError, match=r"KEY must name a run or search, but is .*; there is base, best"):
            graph.of(["base", key])


def test_a_member_without_one_of_its_seed_starts_from_the_first():
    run = RunConfig(**RUN, model="m", seeds=(4, 2))
    assert [start_seed(run, seed) for seed in (2, 4, 0)] == [2, 4, 4]


def mistakes(runs: Mapping[str, str | None]) -> set[str]:
    """Runs whose start is not there, or leads back to them."""
    wrong = set[str]()
    for key, start in runs.items():
        way = [key]
        while start in runs and start not in way:
            way.append(start)
            start = runs[start]
        if (runs[key] is not None and runs[key] not in runs) or start == key:
            wrong.add(key)
    return wrong


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.sampled_from([*"abcdef", "lost"]), min_size=1, max_size=6)
)
def test_circles_and_unknown_starts_are_refused_all_at_once(runs: dict[str, str | None]):
    entries = {key: {**RUN, "model": "simple_baseline", "init_from": start} for key, start in runs.items()}
    wrong = mistakes(runs)
    try:
        graph = graph_of({**CONTENT, "runs": entries})
    except ValidationError as refused:
        assert {key for key in runs if f"runs.{key}.init_from" in str(refused)} == wrong
    else:
        assert not wrong and len(graph.tasks) == 3 * len(runs) + 2 + 1  # searches and a submission


def test_a_run_of_an_unknown_model_or_preset_is_refused_and_no_other():
    unknown = changed("runs.floor.model", "lost", changed("models.lost", {}))
    unknown = changed("runs.published.preset", "hrnet-w33-ap10k", unknown)
    graph = graph_of(unknown)
    refused = {task.name: task.refused for task in graph.tasks.values() if task.refused}
    assert {graph.tasks[name].key for name in refused} == {"floor", "published"}
    assert refused["train floor seed 0"].endswith("or a module that params.yaml names, but is 'lost'")
    assert refused["train published seed 0"].startswith("a preset must be one that `posebed presets` lists")
    assert statuses(unknown)["train floor seed 0"] is State.FAILED
    others = graph.tasks.keys() - graph.above(refused)
    assert others and all(graph.tasks[name].identity == unchanged().tasks[name].identity for name in others)


# --- accepted outcomes


def statuses(content: Mapping[str, Any]) -> dict[str, State]:
    outcomes = Outcomes()
    graph = graph_of(content, outcomes.effective_hash)
    return {name: status.state for name, status in outcomes.statuses(graph).items()}


@settings(max_examples=20)
@given(changes())
def test_accepted_tasks_keep_those_that_depend_on_them_true(change: tuple[str, Any, Callable]):
    """After a change, all tasks that it decides directly are accepted; then all is done, until another change."""
    place, value, direct = change
    before = unchanged()
    shutil.rmtree("runs", ignore_errors=True)
    for task in before.tasks.values():
        task.outcome.parent.mkdir(parents=True, exist_ok=True)
        task.outcome.write_text("done")
        write_record(task, 1.0)
    assert {*statuses(CONTENT).values()} == {State.DONE}
    content = changed(place, value)
    chosen = direct(before)
    expected = before.above(chosen)
    assert {name for name, state in statuses(content).items() if state is State.STALE} == expected
    for name in [n for n in before.tasks if n in chosen]:
        outcomes = Outcomes()
        accept(graph_of(content, outcomes.effective_hash).tasks[name], "it changes no number")
    assert {*statuses(content).values()} == {State.DONE}
    again = changed("runs.finer.train.clip", 0.125, content)
    assert {n for n, s in statuses(again).items() if s is State.STALE} == before.above({"train finer seed 0"})

"""Malformed files of our own: each door damages one artefact in a copy of ``artefact_project``'s project and names the
command to run on it, which must end with one sentence, exit code 2 and nothing written."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from faults.door import Door

Damage = Callable[[Path], object]
"""Of the project in a folder."""
Command = tuple[str, ...]


@dataclass(frozen=True)
class Damaged:
    kind: str
    """Of input, such as ``JSON: runs/baseline/result.json``."""
    name: str
    damage: Damage
    command: Command
    """To run in the project."""
    code: int = 2
    """With which it must end: 0 where another command, or an older copy, takes the place of what is damaged."""
    says: str = ""
    """What the sentence must hold: by default the name of the file."""

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Mapping[str, str]]:
        self.damage(folder)
        yield {}


PICTURE = "picture.png"
TRAIN = "runs/baseline/seed-0/train"
PREDICTED = "runs/baseline/seed-0/predicted"
PACK, PREPARED = "data/packs/small", "data/prepared/quads"
SPLIT, EPISODES = "data/splits/quads", "data/splits/held-out"


def stage(call: str) -> Command:
    """A task as a worker does it, ended as every command ends."""
    return ("python", "-c", f"from posestages.stage import run; run(lambda _: {call})")


_HERE = "__import__('posestages.stage', fromlist=['x']).catalog_here()"
PREDICT = ("posebed", "predict", "baseline", PICTURE)
AGNOSTIC = ("posebed", "predict", "prototypes", PICTURE, "--support", "data/menagerie/quads", "--category", "tiger")
ANSWER = stage(f"__import__('posestages.tasks', fromlist=['x']).predict_member('baseline', 0, {_HERE})")
ANSWER_EPISODES = stage(f"__import__('posestages.tasks', fromlist=['x']).predict_member('prototypes', 0, {_HERE})")
SCORE = stage(
    f"__import__('posestages.score', fromlist=['x']).score('baseline', __import__('posebed.params', "
    f"fromlist=['x']).read_params(__import__('pathlib').Path('params.yaml')), {_HERE}, "
    "__import__('posebed.provenance', fromlist=['x']).origin(__import__('pathlib').Path('data/prepared/quads')))"
)
TRAIN_BASELINE = ("python", "-m", "posestages.train_without_ray", "baseline")
TRAIN_EPISODES = ("python", "-m", "posestages.train_without_ray", "prototypes")
CONTINUE = ("python", "-m", "posestages.train_without_ray", "continued")
TRAIN_BEST = ("python", "-m", "posestages.train_without_ray", "best")
REPORT = ("posebed", "report")
REPORT_FROM = ("posebed", "report", "--from", "runs")
STATUS, GC = ("posebed", "status"), ("posebed", "gc", "--dry-run")
QUERIES = ("posebed", "queries", "quads")
SPLIT_AGAIN = ("python", "-m", "posestages.split", "quads")
PACK_AGAIN = ("python", "-m", "posestages.pack", "small")
SUBMIT = ("posebed", "submit", "answers.json", "--name", "handed-in", "--split", "quads", "--task", "category_specific")
IMPORT = ("posebed", "import-checkpoint", "simple_baseline", "given.pth", "--data", "ap10k", "--out", "imported")
IMPORT_SAFE = (*IMPORT[:3], "given.safetensors", *IMPORT[4:])


# Any file -----------------------------------------------------------------------------------------------------------


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def text(file: Path) -> None:
    file.write_text("this is no such file\n" * 20)


def page(file: Path) -> None:
    file.write_text("<!DOCTYPE html><html><body>Not found</body></html>")


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def flipped(file: Path) -> None:
    """64 bytes, spread over the file, with one bit turned."""
    data = bytearray(file.read_bytes())
    for number in range(64):
        data[(number * len(data)) // 64 + len(data) // 200] ^= 1 << number % 8
    file.write_bytes(data)


def longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0" * 4096)


ANY = (empty, cut, text, page, folder, fifo, device, loop)


# JSON ---------------------------------------------------------------------------------------------------------------


def json_text(content: str) -> Damage:
    return lambda file: file.write_text(content) and None


def changed(change: Callable[[Any], Any]) -> Damage:
    """The content with a change, which may give another value instead."""

    def damage(file: Path) -> None:
        content = json.loads(file.read_text())
        new = change(content)
        file.write_text(json.dumps(content if new is None else new))

    return damage


def put(*place: str | int, value: Any) -> Damage:
    """Another value at a place of the content."""

    def change(content: Any) -> None:
        for part in place[:-1]:
            content = content[part]
        content[place[-1]] = value

    return changed(change)


def without(*place: str | int) -> Damage:
    def change(content: Any) -> None:
        for part in place[:-1]:
            content = content[part]
        del content[place[-1]]

    return changed(change)


def twice(file: Path) -> None:
    """The first key after the version again, with another value."""
    content = json.loads(file.read_text())
    first = next(key for key in content if key != "schema")
    file.write_text(f'{{{json.dumps(first)}: "other", {json.dumps(content)[1:]}')


def deep(file: Path) -> None:
    """An unknown value of two thousand levels."""
    content = json.dumps(json.loads(file.read_text()))
    file.write_text(f'{content[:-1]}, "further": {"[" * 2000}{"]" * 2000}}}')


def long_number(file: Path) -> None:
    content = json.loads(file.read_text())
    first = next(key for key in content if key != "schema")
    rest = json.dumps({key: value for key, value in content.items() if key != first})
    file.write_text(f"{{{json.dumps(first)}: {'9' * 10_000}, {rest[1:]}")


JSON: dict[str, Damage] = {
    "a list": json_text("[]"),
    "a list of numbers": json_text("[1, 2, 3]"),
    "a number": json_text("12"),
    "null": json_text("null"),
    "a text": json_text('"run"'),
    "nothing in it": json_text("{}"),
    "no UTF-8": lambda file: file.write_bytes(b'{"schema": 1, "key": "\xff\xfe"}') and None,
    "UTF-16": lambda file: file.write_bytes(file.read_text().encode("utf-16")) and None,
    "a later schema": put("schema", value=99),
    "a schema in words": put("schema", value="two"),
    "a negative schema": put("schema", value=-1),
    "a schema of true": put("schema", value=True),
    "a key twice": twice,
    "2,000 levels": deep,
    "a number of 10,000 digits": long_number,
}

_JSON_FILES: dict[str, Command] = {
    f"{TRAIN}/run.json": PREDICT,
    "runs/baseline/result.json": REPORT,
    f"{PREDICTED}/cost.json": SCORE,
    "runs/search@tuned/search.json": REPORT,
    f"{PACK}/about.json": QUERIES,
    f"{PREPARED}/about.json": PACK_AGAIN,
    f"{SPLIT}/about.json": SCORE,
    f"{TRAIN}/task.json": STATUS,
}
_NEEDED = {
    f"{TRAIN}/run.json": ("key", "model", "task", "config", "size", "padding", "convention", "keypoints", "categories"),
    "runs/baseline/result.json": ("model", "scores", "cost", "provenance", "curve", "by_category", "protocol"),
    f"{PREDICTED}/cost.json": ("parameters", "device"),
    "runs/search@tuned/search.json": ("study", "settings", "space", "seed"),
    f"{PACK}/about.json": ("crop_size", "border", "padding"),
    f"{PREPARED}/about.json": ("root",),
    f"{SPLIT}/about.json": ("records",),
    f"{TRAIN}/task.json": ("identity", "seconds", "created"),
}
_VALUES: dict[str, Any] = {
    "a text": "many words",
    "a list": [[[]]],
    "an object": {"a": {"b": 1}},
    "null": None,
    "true": True,
    "a huge number": 10**400,
    "NaN": float("nan"),
}


_FITTING = {
    *((file, key, "a text") for file, key in (("cost", "device"), ("search", "study"), ("task", "created"))),
    *((file, key, "a text") for file, key in (("about", "root"), ("result", "model"))),
    ("cost", "parameters", "null"),
    ("about", "records", "missing"),
    ("result", "by_category", "an object"),
}
"""Values that are fine there, or are found out elsewhere."""


def _json() -> Iterator[Damaged]:
    for file, command in _JSON_FILES.items():
        of = partial(_door, f"JSON: {file}", file, command)
        for damage in ANY:
            yield of(damage.__name__, damage)
        for name, damage in JSON.items():
            yield of(name, damage)
        for key in _NEEDED[file]:
            if (Path(file).stem, key, "missing") not in _FITTING:
                yield of(f"without {key}", without(key))
            for name, value in _VALUES.items():
                if (Path(file).stem, key, name) in _FITTING:
                    continue
                yield of(f"{key} is {name}", put(key, value=value))


def _door(kind: str, file: str, command: Command, name: str, damage: Damage, **more: Any) -> Damaged:
    return Damaged(kind, name, lambda project: damage(project / file), command, **{"says": Path(file).name, **more})


_LISTS: dict[str, Command] = {
    f"{TRAIN}/curve.json": SCORE,
    f"{PACK}/categories.json": QUERIES,
    f"{PREPARED}/categories.json": SPLIT_AGAIN,
}


def _lists() -> Iterator[Damaged]:
    entries: dict[str, Any] = {"null": None, "a number": 7, "a list": [], "a text": "x", "an empty object": {}}
    for file, command in _LISTS.items():
        of = partial(_door, f"JSON list: {file}", file, command)
        for damage in ANY:
            yield of(damage.__name__, damage)
        for name in ("a number", "null", "a text", "nothing in it", "no UTF-8"):
            yield of(name, JSON[name])
        for name, value in entries.items():
            yield of(f"an entry is {name}", put(0, value=value))
        yield of("2,000 levels", json_text("[" * 2000 + "]" * 2000))
        if "curve" in file:
            yield of("NaN", put(0, "loss", value=float("nan")))
        else:
            yield of("an entry is missing", without(0), says="categor")


def _of_runs() -> Iterator[Damaged]:
    """What ``run.json`` must not decide."""
    file = f"{TRAIN}/run.json"
    of = partial(_door, "trained run: names", file, PREDICT)

    def evil(name: str, model: str) -> Damaged:
        def damage(project: Path) -> None:
            code = "from pathlib import Path\nPath('executed').touch()\n"
            (project / "evil.py").write_text(code)
            (project / "evil_package").mkdir()
            (project / "evil_package/__init__.py").write_text(code)
            put("model", value=model)(project / file)

        return Damaged("trained run: names", name, damage, PREDICT, says=shown_name(model))

    def shown_name(model: str) -> str:
        return model[:20]

    yield evil("a file of the project", "evil")
    yield evil("a package of the project", "evil_package")
    yield evil("an import path", "evil_package.evil")
    yield evil("a module of the library", "antigravity")
    yield evil("a module of ours", "posebed.files")
    yield evil("a path", "../evil")
    yield evil("a path of a file", "./evil.py")
    yield of("another model", put("model", value="hrnet"))
    yield of("another model's task", put("task", value="category_agnostic"), says="category-agnostic")
    yield of("a task that there is not", put("task", value="both"))
    yield of("a key that is a path", put("key", value="../../outside"))
    yield _door("trained run: names", file, ANSWER, "a pack that is a path", put("pack", value="../../../outside"))
    yield _door("trained run: names", file, ANSWER, "a split that is a path", put("split", value="/etc"))
    yield _door("trained run: names", file, SCORE, "data that is a path", put("data", value="../quads"))
    yield of("a million pixels", put("size", value=[1_000_000, 1_000_000]))
    yield of("no pixels", put("size", value=[0, 0]))
    yield of("negative pixels", put("size", value=[-64, 64]))
    yield of("one side", put("size", value=[64]))
    yield of("a billion keypoints", put("keypoints", value=10**9))
    yield of("no keypoint", put("keypoints", value=0))
    yield of("fewer keypoints", put("keypoints", value=3))
    yield of("a billion channels", put("config", "channels", value=10**9))
    yield of("a billion layers", put("config", "deconvs", value=10**9))
    yield of("an unknown setting", put("config", "further", value=1))
    yield of("weights to fetch", put("config", "backbone", value="no_such_net"))
    yield of("a category without keypoints", put("categories", 0, "keypoints", value=[]))
    yield of("a category without a key", without("categories", 0, "key"))
    yield of("limbs beyond the keypoints", put("categories", 0, "limbs", value=[[0, 999]]))
    yield of("limbs of three", put("categories", 0, "limbs", value=[[0, 1, 2]]))
    yield of("flip pairs beyond the keypoints", put("categories", 0, "flip_pairs", value=[[0, 999]]))
    yield of("sigmas in words", put("categories", 0, "sigmas", value=["a"]))
    yield of("a name of a million letters", put("categories", 0, "name", value=7))
    yield of("padding of 1e300", put("padding", value=1e300))
    yield of("a negative padding", put("padding", value=-1))
    yield of("a convention that there is not", put("convention", value="none"))
    yield of("an endless list", changed(lambda content: [content] * 100))
    yield Damaged(
        "published run", "model evil", lambda project: put("model", value="evil")(project / "published/config.json"),
        ("posebed", "predict", "published", PICTURE), says="evil",
    )  # fmt: skip
    for command in (("export", "baseline"), ("inspect", "baseline", PICTURE), ("publish", "baseline", "new")):
        yield Damaged(
            "trained run: other commands", f"{command[0]}, no keypoints",
            lambda project: without("keypoints")(project / file), ("posebed", *command), says="run.json",
        )  # fmt: skip
        yield Damaged(
            "trained run: other commands", f"{command[0]}, model evil",
            lambda project: put("model", value="evil")(project / file), ("posebed", *command), says="evil",
        )  # fmt: skip


def _of_results() -> Iterator[Damaged]:
    file = "runs/baseline/result.json"
    of = partial(_door, "results: values", file, REPORT_FROM)
    yield of("a key that is a path", put("key", value="../../x"))
    yield of("an absolute key", put("key", value="/etc/passwd"))
    yield of("a key with a zero", put("key", value="a\0b"))
    yield of("a seed in words", put("seed", value="first"))
    yield of("seeds of a million", put("seeds", value=[10**30]))
    yield of("a score of NaN", put("scores", 0, "value", value=float("nan")))
    yield of("a score in words", put("scores", 0, "value", value="best"))
    yield of("a score without a name", without("scores", 0, "metric"))
    yield of("no scores", put("scores", value={}))
    yield of("an unknown field", put("further", value=1))
    yield of("a curve of numbers", put("curve", value=[1, 2]))
    yield of("a category's value in words", put("by_category", value={"tiger": {"PCK@0.2": "x"}}))
    yield of("a cost that is a number", put("cost", value=4))
    yield _door("results: values", file, ("posebed", "why", "baseline"), "why, no provenance", without("provenance"))
    yield _door("results: values", file, ("posebed", "results"), "results, no scores", without("scores"))
    yield _door("results: values", file, GC, "gc, data that is a path", put("data", value="../../x"))
    yield _door("results: values", file, GC, "gc, a list", json_text("[]"))
    yield _door("results: values", "runs/baseline/tracked.json", REPORT_FROM, "a list as the tracker", json_text("[]"))
    yield _door("results: values", "runs/baseline/tracked.json", REPORT_FROM, "no run", json_text('{"schema": 1}'))


# Parquet ------------------------------------------------------------------------------------------------------------


def table(change: Callable[[Any], Any]) -> Damage:
    """Another table in its place, with the metadata of the former."""

    def damage(file: Path) -> None:
        import pyarrow.parquet as pq

        before = pq.read_table(file)
        pq.write_table(change(before).replace_schema_metadata(before.schema.metadata), file)

    return damage


def _half(rows: Any) -> Any:
    return rows.slice(0, len(rows) // 2)


def _doubled(rows: Any) -> Any:
    import pyarrow as pa

    return pa.concat_tables([rows, rows])


def _as_text(rows: Any) -> Any:
    """The last column as texts."""
    import pyarrow as pa

    return rows.set_column(rows.num_columns - 1, rows.column_names[-1], pa.array([str(i) for i in range(len(rows))]))


def _with_nulls(rows: Any) -> Any:
    import pyarrow as pa

    first = rows.column(0).to_pylist()
    return rows.set_column(0, rows.column_names[0], pa.array([None, *first[1:]], rows.column(0).type))


def _renamed(rows: Any) -> Any:
    return rows.rename_columns([f"x_{name}" for name in rows.column_names])


def _no_metadata(file: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)


def unknown_record(column: str) -> Damage:
    """The first row names a record that there is not."""

    def change(rows: Any) -> Any:
        import pyarrow as pa

        values = rows[column].to_pylist()
        first = ["nobody"] if isinstance(values[0], list) else "nobody"
        place = rows.column_names.index(column)
        return rows.set_column(place, column, pa.array([first, *values[1:]], rows[column].type))

    return table(change)


def numbers(column: str, value: float) -> Damage:
    """One number of a list column is another one."""

    def change(rows: Any) -> Any:
        import pyarrow as pa

        values = rows[column].to_pylist()
        values[0] = [value, *values[0][1:]] if isinstance(values[0], list) else value
        return rows.set_column(rows.column_names.index(column), column, pa.array(values, rows[column].type))

    return table(change)


def bomb(file: Path) -> None:
    """A hundred million rows in a few kilobytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    rows = pa.table({name: pa.nulls(2_000_000, schema.field(name).type) for name in schema.names}, schema=schema)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for _ in range(50):
            writer.write_table(rows)


PARQUET: dict[str, Damage] = {
    "half the rows": table(_half),
    "no row": table(lambda rows: rows.slice(0, 0)),
    "every row twice": table(_doubled),
    "without its last column": table(lambda rows: rows.drop_columns(rows.column_names[-1:])),
    "texts as the last column": table(_as_text),
    "a null in the first column": table(_with_nulls),
    "other names of columns": table(_renamed),
    "a further column": table(lambda rows: rows.append_column("further", rows.column(0))),
    "64 flipped bits": flipped,
    "100 million rows": bomb,
}

_TABLES: dict[str, Command] = {
    f"{PREDICTED}/predictions.parquet": SCORE,
    f"{SPLIT}/membership.parquet": TRAIN_BASELINE,
    f"{EPISODES}/episodes.parquet": ANSWER_EPISODES,
    f"{PACK}/index.parquet": QUERIES,
    f"{PREPARED}/records.parquet": SPLIT_AGAIN,
    f"{PREPARED}/pictures.parquet": SPLIT_AGAIN,
    "runs/search@tuned/trials.parquet": REPORT,
}


def _tables() -> Iterator[Damaged]:
    for file, command in _TABLES.items():
        of = partial(_door, f"Parquet: {file}", file, command)
        for damage in ANY:
            yield of(damage.__name__, damage)
        for name, damage in PARQUET.items():
            yield of(name, damage)
    of = partial(_door, "split: names", f"{EPISODES}/episodes.parquet", ANSWER_EPISODES)
    yield of("a query that there is not", unknown_record("query"))
    yield of("a support that there is not", unknown_record("supports"))
    of = partial(_door, "split: names", f"{SPLIT}/membership.parquet", TRAIN_BASELINE)
    yield of("a record that there is not", unknown_record("record"))
    yield of("a part that there is not", unknown_record("part"))
    of = partial(_door, "pack: values", f"{PACK}/index.parquet", QUERIES)
    yield of("a category that there is not", unknown_record("category"))
    yield of("keypoints of NaN", numbers("keypoints", float("nan")))
    yield of("an affine of infinity", numbers("affine", float("inf")))
    of = partial(_door, "results: values", f"{PREDICTED}/predictions.parquet", SCORE)
    yield of("xy of NaN", numbers("xy", float("nan")))
    yield of("a category that there is not", unknown_record("category"))
    yield of("no metadata", _no_metadata)
    yield Damaged(
        "results: values", "report of half a table",
        lambda project: table(_half)(project / PREDICTED / "predictions.parquet"), REPORT, says="predictions.parquet",
    )  # fmt: skip


# Weights ------------------------------------------------------------------------------------------------------------


def tensors(change: Callable[[dict[str, Any]], None]) -> Damage:
    def damage(file: Path) -> None:
        from safetensors.torch import load_file, save_file

        state = load_file(file)
        change(state)
        save_file(state, file)

    return damage


def _first(state: dict[str, Any]) -> str:
    return next(name for name in sorted(state) if state[name].is_floating_point() and state[name].numel() > 8)


def _filled(value: float) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state[_first(state)].view(-1)[3] = value

    return change


def _other_shape(state: dict[str, Any]) -> None:
    name = _first(state)
    state[name] = state[name].flatten()[:5].clone()


def _whole_numbers(state: dict[str, Any]) -> None:
    name = _first(state)
    state[name] = state[name].to(dtype=__import__("torch").int32)


def _header(size: int, rest: bytes = b"") -> Damage:
    return lambda file: file.write_bytes(struct.pack("<Q", size) + rest) and None


def _pickled(file: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(2)}, file)


WEIGHTS: dict[str, Damage] = {
    "NaN in a tensor": tensors(_filled(float("nan"))),
    "infinity in a tensor": tensors(_filled(float("inf"))),
    "a tensor of another shape": tensors(_other_shape),
    "a tensor of whole numbers": tensors(_whole_numbers),
    "a tensor is missing": tensors(lambda state: state.__delitem__(_first(state))),
    "a further tensor": tensors(lambda state: state.update(further=next(iter(state.values())).clone())),
    "no tensor": tensors(lambda state: state.clear()),
    "a pickle": _pickled,
    "a header of 2**60 bytes": _header(2**60),
    "a header beyond the file": _header(10_000, b"{}"),
    "a header that is no JSON": _header(4, b"????"),
    "a tensor of 2**60 numbers": _header(
        len(h := b'{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}'), h
    ),
    "64 flipped bits": flipped,
    "longer than its header says": longer,
}


def _weights() -> Iterator[Damaged]:
    for file, command in (
        (f"{TRAIN}/best.safetensors", PREDICT),
        (f"{TRAIN}/best.safetensors", CONTINUE),
        ("published/model.safetensors", ("posebed", "predict", "published", PICTURE)),
        ("runs/prototypes/seed-0/train/best.safetensors", AGNOSTIC),
    ):
        of = partial(_door, f"weights: {file} ({command[1]})", file, command)
        for damage in ANY:
            yield of(damage.__name__, damage)
        for name, damage in WEIGHTS.items():
            yield of(name, damage)


# Crops --------------------------------------------------------------------------------------------------------------


def crops(change: Callable[[Any], Any]) -> Damage:
    def damage(file: Path) -> None:
        import numpy as np

        np.save(file, change(np.load(file)), allow_pickle=True)

    return damage


def _npy(header: str) -> Damage:
    padded = header.ljust(117) + "\n"
    return lambda file: file.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + padded.encode()) and None


def gone(file: Path) -> None:
    file.unlink()


NPY: dict[str, Damage] = {
    "missing": gone,
    "crops of another size": crops(lambda a: a[:, :32, :32].copy()),
    "fewer crops": crops(lambda a: a[:5].copy()),
    "more crops": crops(lambda a: a.repeat(2, axis=0)),
    "two channels": crops(lambda a: a[..., :2].copy()),
    "floats": crops(lambda a: a.astype("float32")),
    "objects": crops(lambda a: __import__("numpy").array([{}, None], object)),
    "Fortran order": crops(lambda a: __import__("numpy").asfortranarray(a)),
    "no crop": crops(lambda a: a[:0].copy()),
    "shape of 2**60": _npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**60}, 64, 64, 3), }}"),
    "a header of code": _npy("__import__('os').system('touch executed')"),
    "longer": longer,
    "64 flipped bits": flipped,
}


def _crops() -> Iterator[Damaged]:
    for name_of in ("evaluation", "training"):
        file = f"{PACK}/{name_of}-0000.npy"
        of = partial(_door, f"crops: {file}", file, ANSWER if name_of == "evaluation" else TRAIN_BASELINE)
        for damage in ANY:
            yield of(damage.__name__, damage)
        for name, damage in NPY.items():
            yield of(name, damage)
    yield _door(
        "crops",
        f"{PACK}/about.json",
        ANSWER,
        "another size than the crops",
        put("crop_size", value=[32, 32]),
        says="training-0000.npy",
    )
    yield _door(
        "crops", f"{PACK}/about.json", ANSWER, "another border", put("border", value=[0, 0]), says="training-0000.npy"
    )

    def further(project: Path) -> None:
        shard = project / PACK / "evaluation-0000.npy"
        (project / PACK / "evaluation-0001.npy").write_bytes(shard.read_bytes())

    yield Damaged("crops", "a further shard", further, ANSWER, says="evaluation-0001.npy")


# Searches -----------------------------------------------------------------------------------------------------------


def yaml_text(content: str) -> Damage:
    return lambda file: file.write_text(content) and None


BEST: dict[str, Damage] = {
    "a list": yaml_text("- 1\n- 2\n"),
    "a number": yaml_text("7\n"),
    "no params": yaml_text("study: x\n"),
    "params in words": yaml_text("params: best\n"),
    "params that are a list": yaml_text("params: [1]\n"),
    "a setting that there is not": yaml_text("params: {train.none: 1}\n"),
    "a setting of something else": yaml_text("params: {seed: 1}\n"),
    "a number as a name": yaml_text("params: {1: 1}\n"),
    "a value in words": yaml_text("params: {train.lr: fast}\n"),
    "aliases that unfold": yaml_text(
        "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
        + "params: {train.lr: *a8}\n"
    ),
    "2,000 levels": yaml_text(f"params: {'[' * 2000}{']' * 2000}\n"),
    "an object of Python": yaml_text("params: !!python/object/apply:os.system ['touch executed']\n"),
    "a tag of its own": yaml_text("params: !evil {a: 1}\n"),
    "a key twice": yaml_text("params: {train.lr: 0.1}\nparams: {train.lr: 0.2}\n"),
    "binary": lambda file: file.write_bytes(bytes(range(256))) and None,
}  # fmt: skip


def _searches() -> Iterator[Damaged]:
    file = "runs/search@tuned/best.yaml"
    for damage in ANY:
        yield _door("searches: best.yaml", file, TRAIN_BEST, damage.__name__, damage)
    for name, damage in BEST.items():
        yield _door("searches: best.yaml", file, TRAIN_BEST, name, damage)
    file = "runs/search@tuned/trials.parquet"
    for command in (REPORT, ("posebed", "why", "search@tuned")):
        of = partial(_door, f"searches: values ({command[1]})", file, command)
        yield of("params in words", unknown_record("params"))
        yield of("a curve in words", unknown_record("curve"))
        yield of("a state that there is not", unknown_record("state"))


# Submissions and supports -------------------------------------------------------------------------------------------

ANSWERS: dict[str, Damage] = {
    "an object": json_text("{}"),
    "no answer": json_text("[]"),
    "a list of numbers": json_text("[1, 2]"),
    "half the answers": changed(lambda answers: answers[: len(answers) // 2]),
    "every answer twice": changed(lambda answers: answers * 2),
    "a record that there is not": put(0, "record", value="nobody"),
    "a record that is a number": put(0, "record", value=7),
    "no record": without(0, "record"),
    "too few keypoints": put(0, "keypoints", value=[1, 2, 0.5]),
    "keypoints in words": put(0, "keypoints", value="all"),
    "NaN": put(0, "keypoints", 0, value=float("nan")),
    "infinity": put(0, "keypoints", 0, value=float("inf")),
    "1e300": put(0, "keypoints", 0, value=1e300),
    "a number of 400 digits": put(0, "keypoints", 0, value=10**400),
    "a confidence of 2": put(0, "keypoints", 2, value=2),
    "a further field": put(0, "further", value=1),
    "an escape sequence as a field": put(0, "\x1b[31mred", value=1),
    "2,000 levels": json_text("[" * 2000 + "]" * 2000),
}


def _submissions() -> Iterator[Damaged]:
    for damage in ANY:
        yield _door("submissions", "answers.json", SUBMIT, damage.__name__, damage)
    for name, damage in ANSWERS.items():
        yield _door("submissions", "answers.json", SUBMIT, name, damage)

    def as_parquet(damage: Damage) -> Damage:
        def both(project: Path) -> None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            answers = json.loads((project / "answers.json").read_text())
            pq.write_table(pa.Table.from_pylist(answers), project / "answers.parquet")
            damage(project / "answers.parquet")

        return both

    submit = (*SUBMIT[:2], "answers.parquet", *SUBMIT[3:])
    for name, damage in {**PARQUET, **{d.__name__: d for d in ANY}}.items():
        if name != "64 flipped bits":  # nobody wrote down what users' files were
            yield Damaged("submissions: Parquet", name, as_parquet(damage), submit, says="answers")


# Checkpoints: official ones, and a training's own -------------------------------------------------------------------


def official(write: Damage, suffix: str = ".pth") -> Damage:
    return lambda project: write(project / f"given{suffix}")


def _torch_file(content: Callable[[Any], Any], legacy: bool = False) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        import torch

        torch.save(content(torch), file, _use_new_zipfile_serialization=not legacy)

    return write


def _cut_torch_file(share: float, legacy: bool) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        _torch_file(lambda torch: {"state_dict": {"a.weight": torch.zeros(1000)}}, legacy)(file)
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return write


def _script(file: Path) -> None:
    import torch

    torch.jit.trace(torch.nn.ReLU(), torch.zeros(1, 2)).save(str(file))  # pyright: ignore


def _tar(file: Path) -> None:
    import tarfile

    with tarfile.open(file, "w") as archive:
        info = tarfile.TarInfo("../outside")
        archive.addfile(info, io.BytesIO())


class _Runs:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def _pickle(content: Any) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        import pickle

        file.write_bytes(pickle.dumps(content))

    return write


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    return write


def _unpacking(file: Path) -> None:
    """A torch file whose member unpacks to 2 GB."""
    _torch_file(lambda torch: {"a.weight": torch.zeros(4)})(file)
    with zipfile.ZipFile(file) as archive:
        names = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            if name.endswith("/data/0"):
                with archive.open(name, "w", force_zip64=True) as member:
                    for _ in range(2048):
                        member.write(bytes(2**20))
            else:
                archive.writestr(name, data)


def _self_containing(torch: Any) -> Any:
    inner: dict[str, Any] = {}
    inner["state_dict"] = inner
    return inner


OFFICIAL: dict[str, Callable[[Path], None]] = {
    "empty": empty,
    "a line of text": text,
    "a web page": page,
    "cut": _cut_torch_file(0.5, legacy=False),
    "cut at the end": _cut_torch_file(0.95, legacy=False),
    "cut, the old form": _cut_torch_file(0.5, legacy=True),
    "cut at its head, the old form": _cut_torch_file(0.05, legacy=True),
    "TorchScript": _script,
    "a tar file": _tar,
    "a zip file of something else": _zip({"a.txt": b"a"}),
    "an empty zip file": _zip({}),
    "a zip file that unpacks to 2 GB": _unpacking,
    "a pickle that runs code": _pickle({"state_dict": _Runs()}),
    "a pickle of a number": _pickle(7),
    "names that are numbers": _torch_file(lambda torch: {1: torch.zeros(2), 2: torch.zeros(2)}),
    "names that are numbers, wrapped": _torch_file(lambda torch: {"state_dict": {1: torch.zeros(2)}}),
    "one tensor": _torch_file(lambda torch: torch.zeros(2)),
    "a list": _torch_file(lambda torch: [torch.zeros(2)]),
    "nothing": _torch_file(lambda torch: {}),
    "nothing, wrapped": _torch_file(lambda torch: {"state_dict": {}}),
    "None": _torch_file(lambda torch: None),
    "what contains itself": _torch_file(_self_containing),
    "another model": _torch_file(lambda torch: {"state_dict": {"fc.weight": torch.zeros(2, 2)}}),
    "a sparse tensor": _torch_file(lambda torch: {"a.weight": torch.zeros(2, 2).to_sparse()}),
    "a tensor that is its first number over and over": _torch_file(
        lambda torch: {"backbone.conv1.weight": torch.zeros(1).expand(2**20, 2**20)}
    ),
    "a tensor without numbers": _torch_file(lambda torch: {"a.weight": torch.zeros(2, device="meta")}),
    "a whole module": _torch_file(lambda torch: torch.nn.Linear(2, 2)),
    "an optimizer's state": _torch_file(
        lambda torch: torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict()
    ),
}
OFFICIAL_SAFE: dict[str, Damage] = {
    "empty": empty,
    "a line of text": text,
    "a web page": page,
    "a header of 2**60 bytes": _header(2**60),
    "a header beyond the file": _header(10_000, b"{}"),
    "a header that is no JSON": _header(4, b"????"),
    "a pickle": _pickled,
    "no tensor": lambda file: __import__("safetensors.torch", fromlist=["x"]).save_file({}, file),
    "another model": lambda file: __import__("safetensors.torch", fromlist=["x"]).save_file(
        {"fc.weight": __import__("torch").zeros(2)}, file
    ),
}


def _checkpoints() -> Iterator[Damaged]:
    for name, write in OFFICIAL.items():
        yield Damaged("official checkpoints: .pth", name, official(write), IMPORT, says="given.pth")
    for name, write in OFFICIAL_SAFE.items():
        damage = official(write, ".safetensors")
        yield Damaged("official checkpoints: .safetensors", name, damage, IMPORT_SAFE, says="given.safetensors")
    for make in (folder, fifo, device, loop):
        for suffix, command in ((".pth", IMPORT), (".safetensors", IMPORT_SAFE)):

            def special(file: Path, make: Damage = make) -> None:
                file.touch()
                make(file)

            yield Damaged(
                f"official checkpoints: {suffix}", make.__name__, official(special, suffix), command, says="given"
            )


def _trainings() -> Iterator[Damaged]:
    """A training's own checkpoints. A damaged one is passed over, and the one before, or none, goes on."""

    def own(damage: Damage, file: str) -> Damage:
        def everywhere(project: Path) -> None:
            for checkpoint in project.glob(".posebed/local/baseline-*/checkpoint*"):
                damage(checkpoint / file)

        return everywhere

    for file in ("seal-0.json", "curve.json", "mode.json", "best.safetensors"):
        for damage in ANY:
            yield Damaged(
                f"a training's checkpoints: {file}", damage.__name__, own(damage, file), TRAIN_BASELINE, code=0
            )
        yield Damaged(
            f"a training's checkpoints: {file}", "64 flipped bits", own(flipped, file), TRAIN_BASELINE, code=0
        )
    for name in ("a list", "a number", "null", "a text", "nothing in it"):
        yield Damaged(
            "a training's checkpoints: seal-0.json", name, own(JSON[name], "seal-0.json"), TRAIN_BASELINE, code=0
        )

    def sealed(damage: Damage, file: str) -> Damage:
        """The seal says that it is whole."""

        def both(project: Path) -> None:
            from posebed.training.checkpoint_integrity import seal

            for checkpoint in project.glob(".posebed/local/baseline-*/checkpoint*"):
                damage(checkpoint / file)
                seal(checkpoint, 0)

        return both

    for name, damage in {
        "a list": JSON["a list"],
        "no precision": without("precision"),
        "a precision that there is not": put("precision", value="float8"),
        "a list as its compilation": put("compile", value=[]),
        "a later schema": JSON["a later schema"],
    }.items():
        yield Damaged("a training's checkpoints: sealed", f"mode: {name}", sealed(damage, "mode.json"), TRAIN_BASELINE)
    for name, damage in {"an object": json_text("{}"), "an entry is a number": put(0, value=3)}.items():
        yield Damaged(
            "a training's checkpoints: sealed", f"curve: {name}", sealed(damage, "curve.json"), TRAIN_BASELINE
        )


def _others() -> Iterator[Damaged]:
    """Files that the platform can do without, or that only some commands read."""
    of = partial(_door, "notes: .posebed/stages.json", ".posebed/stages.json", ("python", "-m", "posestages.report"))
    for name in ("a list", "nothing in it", "a later schema", "a number"):
        yield of(name, JSON[name], code=0)
    for damage in (empty, cut, text):
        yield of(damage.__name__, damage, code=0)
    yield of("stages in words", put("stages", value="all"), code=0)
    yield of("no beginning", put("began", value="then"), code=0)
    for name in ("a list", "nothing in it", "a later schema"):
        for file in ("published/config.json",):
            command = ("posebed", "predict", "published", PICTURE)
            yield _door("published run", file, command, name, JSON[name])
    file = f"{EPISODES}/about.json"
    score = stage(SCORE[2].partition("lambda _: ")[2][:-1].replace("'baseline'", "'prototypes'"))
    yield _door("split: description", file, score, "no draw", without("draw"))
    yield _door("split: description", file, score, "records in words", put("records", value="all"))


def doors() -> Iterator[Door]:
    """All of them, with names of their own within a kind."""
    groups = (_json, _lists, _of_runs, _of_results, _tables, _weights, _crops, _searches, _submissions, _checkpoints)
    for group in (*groups, _trainings, _others):
        for one in group():
            yield Door(
                "artefacts", one.kind, one.name, one.command, one.opened, (one.code,), one.says if one.code else ""
            )

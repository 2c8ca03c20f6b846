"""Tables are read only as what they must be, and no file makes more of itself than is allowed."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed import parquet
from posebed.parquet import read_table, write_table

SCHEMA = pa.schema([("name", pa.string()), ("numbers", pa.list_(pa.float64())), ("sure", pa.float64())])
ROW = {"name": "a", "numbers": [1.0, 2.0], "sure": None}


def read(path: Path) -> pa.Table:
    return read_table(path, "a table", SCHEMA, "write it again", nullable=("sure",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(st.characters(codec="utf-8")),
                "numbers": st.lists(st.floats(allow_nan=False), max_size=4),
                "sure": st.none() | st.floats(allow_nan=False),
            }
        )
    ),
)
def test_a_table_is_read_as_it_was_written_with_its_metadata(folder: Path, rows: list[dict[str, object]]):
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({"of": "it"})), folder / "a.parquet")
    assert read(folder / "a.parquet").to_pylist() == rows
    assert read(folder / "a.parquet").schema.metadata == {b"of": b"it"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pa.table({"name": ["a"]}), "has no column numbers, sure"),
        (pa.table({"name": [1], "numbers": [[1.0]], "sure": [1.0]}), "has other columns or other types: name"),
        (pa.table({"name": ["a"], "numbers": [["1"]], "sure": [1.0]}), "has other columns or other types: numbers"),
        (pa.Table.from_pylist([{**ROW, "name": None}], schema=SCHEMA), "without gaps, but name lacks values"),
        (pa.Table.from_pylist([{**ROW, "numbers": None}], schema=SCHEMA), "without gaps, but numbers lacks values"),
        (pa.Table.from_pylist([{**ROW, "numbers": [None]}], schema=SCHEMA), "without gaps, but numbers lacks values"),
        (pa.Table.from_pylist([ROW], schema=SCHEMA).append_column("x", pa.array([1])), "other types: x"),
        (
            pa.table({"name": pa.array([b"\xff"]).view(pa.string()), "numbers": [[1.0]], "sure": [1.0]}),
            "as Parquet, but cannot be read: .*UTF",
        ),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, table: pa.Table, says: str):
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=rf"x\.parquet must be a table .*{says}.*; write it again"):
        read(tmp_path / "x.parquet")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "endless.parquet").symlink_to("/dev/zero")
    (tmp_path / "circle.parquet").symlink_to("circle.parquet")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="must be a table, but is no regular file; write it again"):
            read(path)


def test_more_rows_than_are_allowed_are_refused_before_they_are_decoded(tmp_path: Path):
    rows = pa.nulls(2_000_000, pa.float64())
    with pq.ParquetWriter(tmp_path / "x.parquet", pa.schema([("sure", pa.float64())]), compression="zstd") as writer:
        for _ in range(6):
            writer.write_table(pa.table({"sure": rows}))
    with pytest.raises(ValueError, match="must be a table of at most 10000000 rows, but has 12000000"):
        read(tmp_path / "x.parquet")


def test_few_bytes_that_unfold_to_many_are_refused_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "MOST_BYTES", 2**26)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"name": texts}), tmp_path / "x.parquet", store_schema=False)
    assert (tmp_path / "x.parquet").stat().st_size < 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"must be a table of at most 67\.1 MB, but is larger once decoded"):
        read(tmp_path / "x.parquet")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "in kilobytes"

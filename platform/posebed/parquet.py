"""Parquet of our own: written whole or not at all, and read only as what it must be."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from posebed.files import must_be_file, writing
from posebed.listing import amount, reason, shortened

MOST_ROWS = 10_000_000
"""Rows of a table. Large sets have a million instances, and each may be the query of ten episodes."""
MOST_BYTES = 2**30
"""Bytes of a table once it is decoded: some kilobytes of Parquet can hold any number of equal rows."""
_MOST_VALUES = MOST_BYTES // 4
"""Numbers in a table, counted before any is decoded."""
_MOST_GROUPS = 1000
"""Of rows, each with a description of its own; a million rows of ours are one."""
_AT_ONCE = 1024
"""Rows that are decoded before their bytes are counted."""


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, whole or not at all."""
    with writing(path) as unfinished:
        pq.write_table(table, unfinished)


def read_table(path: Path, name: str, schema: pa.Schema, again: str, nullable: Collection[str] = ()) -> pa.Table:
    """A table with exactly these columns, and the metadata of its file.

    Args:
        name: in messages, what it is.
        again: in messages, how to get such a file back.
        nullable: columns that may lack values.

    Raises:
        ValueError: there is no such file, it holds something else, or more than ``MOST_ROWS`` or ``MOST_BYTES``.
    """
    table = read_any_table(path, name, again)
    found = [field.name for field in table.schema if not _is_like(field, schema)]
    missing = [column for column in schema.names if column not in table.schema.names]
    if found or missing or len(table.schema.names) != len(schema.names):
        unlike = f"other columns or other types: {shortened(found)}" if found else f"no column {shortened(missing)}"
        raise ValueError(f"{path} must be {name} with {', '.join(schema.names)}, but has {unlike}; {again}")
    table = table.select(schema.names).cast(schema.with_metadata(table.schema.metadata))
    for column in schema.names:
        if column not in nullable and any(map(_lacks_values, table[column].chunks)):
            raise ValueError(f"{path} must be {name} without gaps, but {column} lacks values; {again}")
    return table


def read_any_table(path: Path, name: str, again: str) -> pa.Table:
    """A table of whatever columns. Raises as ``read_table``."""
    must_be_file(path, name, again)
    try:
        with pq.ParquetFile(path) as file:
            _must_be_moderate(file)
            table = pa.Table.from_batches([*_bounded(file)], file.schema_arrow)
            table.validate(full=True)  # such as that texts are UTF-8
            return table
    except _TooLarge as error:
        raise ValueError(f"{path} must be {name} of at most {error}; {again}") from None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, pa.ArrowException) as error:
        raise ValueError(f"{path} must be {name} as Parquet, but cannot be read: {reason(error)}; {again}") from None


class _TooLarge(Exception):
    """More than is allowed, which its text says."""


def _must_be_moderate(file: pq.ParquetFile) -> None:
    metadata = file.metadata
    if metadata.num_rows > MOST_ROWS:
        raise _TooLarge(f"{MOST_ROWS} rows, but has {metadata.num_rows}")
    if metadata.num_row_groups > _MOST_GROUPS:
        raise _TooLarge(f"{_MOST_GROUPS} groups of rows, but has {metadata.num_row_groups}")
    values = 0
    for number in range(metadata.num_row_groups):
        # Asked for the description of a damaged column, pyarrow 25 ends the process; reading a row raises an error.
        next(file.iter_batches(1, row_groups=[number], use_threads=False), None)
        group = metadata.row_group(number)
        values += sum(group.column(column).num_values for column in range(group.num_columns))
    if values > _MOST_VALUES:
        raise _TooLarge(f"{_MOST_VALUES} values, but has {values}")


def _bounded(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    decoded = 0
    for batch in file.iter_batches(_AT_ONCE, use_threads=False):
        decoded += batch.nbytes
        if decoded > MOST_BYTES:
            raise _TooLarge(f"{amount(MOST_BYTES)}, but is larger once decoded")
        yield batch


def _is_like(field: pa.Field, schema: pa.Schema) -> bool:
    """Whether a column is one of the schema."""
    place = schema.get_field_index(field.name)
    wanted = schema.field(place).type if place >= 0 else None
    return wanted is not None and (field.type.equals(wanted) or _empty(field.type, wanted) or _text(field, wanted))


def _empty(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether it is the type that Arrow gives a column without any value, or one of lists that are all empty."""
    of_lists = pa.types.is_list(kind) and pa.types.is_list(wanted)
    return pa.types.is_null(kind.value_type if of_lists else kind)


def _text(field: pa.Field, wanted: pa.DataType) -> bool:
    """Whether both are texts, of which there are two types."""
    return pa.types.is_large_string(field.type) and pa.types.is_string(wanted)


def _lacks_values(column: pa.Array) -> bool:
    """Whether a value, or one within its lists, is null."""
    if column.null_count:
        return True
    nested = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    return nested and _lacks_values(column.flatten())

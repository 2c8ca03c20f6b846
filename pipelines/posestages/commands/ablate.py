"""The ablation tables of papers as runs: which tables there are, and the entries that one of them needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from posebed.catalog import installed
from posestages.commands.presets import Entries, combined


def ablations(model: str) -> Mapping[str, Sequence[str]]:
    """The model's tables: short name to the presets that are its rows, in order.

    Raises:
        LookupError: no table of that model is known.
    """
    known = installed().published().ablations
    if model not in known:
        raise LookupError(f"a model with ablations must be one of {', '.join(known)}, but is {model!r}")
    return known[model]


def rows(model: str, table: str) -> Sequence[str]:
    """The presets of one table.

    Raises:
        LookupError: the model has no table of that name.
    """
    known = ablations(model)
    if table not in known:
        raise LookupError(f"a table of {model} must be one of {', '.join(known)}, but is {table!r}")
    return known[table]


def table_entries(model: str, table: str, seeds: Sequence[int] = (0,)) -> Entries:
    """What ``params.yaml`` must say for every row of a table, with every seed."""
    return combined(rows(model, table), seeds)

"""The first tables of the report as text that fits a terminal."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from posebed.listing import visible
from posebed.reporting.common_ground import spanned
from posebed.reporting.formats import mean
from posebed.reporting.headlines import HeadlineRow, Headlines, HeadlineTable, read_headlines
from posebed.scoring.paired import Estimate

SHOWN = 20
"""Runs of a table, the best, that are printed."""


def headlines_text(headlines: Headlines, width: int | None = None) -> str:
    """Each table with what is sure of its runs, without colour and orders to the terminal, ending without a line break.

    Args:
        width: in characters; by default the terminal's, 80 where there is none.
    """
    text = StringIO()
    width = width or shutil.get_terminal_size().columns
    console = Console(file=text, width=width, color_system=None, markup=False, highlight=False, emoji=False)
    for table in headlines.tables:
        console.print(Text(table.title))
        console.print(_drawn(table))
        if len(table.rows) > SHOWN:
            console.print(f"The best {SHOWN} of {len(table.rows)} runs.")
        console.print()
        console.print(Text(table.sure))
        console.print(Text(table.note), end="\n\n")
    return "\n".join(visible(line.rstrip(), keep="") for line in text.getvalue().split("\n")).rstrip("\n")


def print_headlines(folder: Path) -> None:
    """Print the tables that the report in this folder starts with."""
    if text := headlines_text(read_headlines(folder)):
        print(text)


def _drawn(table: HeadlineTable) -> Table:
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    drawn.add_column("run", overflow="fold")
    drawn.add_column("family", no_wrap=True)
    drawn.add_column(table.metric, no_wrap=True)
    drawn.add_column("95 % interval", no_wrap=True)
    drawn.add_column("seeds", no_wrap=True, justify="right")
    for row in table.rows[:SHOWN]:
        drawn.add_row(*map(Text, _cells(row)))
    return drawn


def _cells(row: HeadlineRow) -> tuple[str, ...]:
    family = row.family.removeprefix("category-")
    interval = spanned(Estimate(row.value, row.low, row.high)) or "none"
    seeds = "submitted" if row.submitted else str(row.seeds)
    return row.run, family, mean(row.value, row.spread), interval, seeds

"""Tables as text: CSV unrounded, Markdown and LaTeX with four digits. A table is a list of lines, each a mapping from
column to value.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from posebed.listing import cell, visible

Line = Mapping[str, object]

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "−": "$-$", "±": r"$\pm$", "×": r"$\times$",
}  # fmt: skip
"""Characters that LaTeX takes for commands, and those that its first fonts lack."""


def columns(lines: Sequence[Line]) -> list[str]:
    """In the order in which lines first name them."""
    return list(dict.fromkeys(name for line in lines for name in line))


def as_csv(lines: Sequence[Line]) -> str:
    text, names = io.StringIO(), columns(lines)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, names))
    writer.writerows([cell(line.get(name)) for name in names] for line in lines)
    return text.getvalue()


def as_markdown(lines: Sequence[Line], title: str = "") -> str:
    """A pipe table, its title in bold above it."""
    names = columns(lines)
    rows = [
        [_markdown(name) for name in names],
        ["--:" if _numeric(lines, name) else ":--" for name in names],
        *([_markdown(format_value(line.get(name))) for name in names] for line in lines),
    ]
    head = f"**{_markdown(title)}**\n\n" if title else ""
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def as_latex(lines: Sequence[Line], title: str = "") -> str:
    """A ``table`` for the package booktabs, its title as the caption."""
    names = columns(lines)
    rows = [" & ".join(_latex(format_value(line.get(name))) for name in names) + r" \\" for line in lines]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            *([rf"\caption{{{_latex(title)}}}"] if title else []),
            rf"\begin{{tabular}}{{{''.join('r' if _numeric(lines, name) else 'l' for name in names)}}}",
            r"\toprule",
            " & ".join(map(_latex, names)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def format_value(value: object) -> str:
    """A value as people read it: four digits of a fraction, nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _numeric(lines: Sequence[Line], name: str) -> bool:
    values = [line.get(name) for line in lines]
    return all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(visible(text).split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(visible(text).split()))

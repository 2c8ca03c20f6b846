"""The section of ``docs/performance.md`` on accelerators, which says so until one is measured."""

from __future__ import annotations

import re
from pathlib import Path

from figures import Figure, record_values

from card.run_file import Run
from card.table import STEPS, USE, figures, names_in
from posebed.files import write_text

PAGE = Path("docs/performance.md")
OPENING, CLOSING = "<!--accelerator-->", "<!--/accelerator-->"
PICTURE = Path("docs/pictures/accelerator.svg")


def record(run: Run, root: Path) -> None:
    """Write the section and its figures, with the card's name, the commit and the date of the run.

    Raises:
        ValueError: it is no whole measurement of a card, or of code that is not committed.
    """
    if not run.about.is_card:
        raise ValueError(f"a page must show a card that was measured in full, but {run.path} is not of one")
    if not re.fullmatch("[0-9a-f]{7}", run.about.commit):
        raise ValueError(f"a page must show what a commit does, but {run.path} is of {run.about.commit}")
    shown, page = figures(run), root / PAGE
    before, _, rest = page.read_text(encoding="utf-8").partition(OPENING)
    _, closing, after = rest.partition(CLOSING)
    if not closing:
        raise ValueError(f"{PAGE} must have {OPENING} and {CLOSING}, but has not")
    about = run.about
    section = _section(run, shown, root)
    write_text(f"{before}{OPENING}\n{section}\n{CLOSING}{after}", page)
    command, processor = "python benchmarks/accelerator.py", f"{about.device}, {about.hardware}"
    values = {name: Figure(value, command, about.commit, processor, about.date) for name, value in shown.items()}
    record_values(values, root)


def _section(run: Run, shown: dict[str, str], root: Path) -> str:
    def marked(name: str) -> str:
        return f"<!--figure:{name}-->{shown[name]}<!--/figure-->"

    def table(columns: tuple[str, ...], what: str) -> list[str]:
        head = f"| model | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"
        return [*head, *(f"| `{name}` | {marked(f'accelerator/{name.lower()}/{what}')} |" for name in names_in(run))]

    lines = [
        f"Measured on {marked('accelerator/card')}, whose own speeds in bfloat16, in float32 and in copying are "
        f"{marked('accelerator/speeds')}. Of the proofs {marked('accelerator/proofs')} hold: trainings, also killed "
        "and resumed ones, predictions, ZeRO's stages, losses, gradients and answers are those of a CPU within the "
        "tolerances that `benchmarks/card/` states.",
        "",
        *table(STEPS, "step"),
        "",
        "Shares of the card's own speeds in bfloat16, of the fastest of these forms, and at the largest power-of-two "
        "batch that fits; images per second from pack to optimizer; answers in float32:",
        "",
        *table(USE, "use"),
    ]
    if (root / PICTURE).is_file():
        lines += ["", f"![Step time of each model over the recorded runs of a card](pictures/{PICTURE.name})"]
    return "\n".join(lines)

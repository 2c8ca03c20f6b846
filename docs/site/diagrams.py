"""Draw ``docs/pictures/models/NAME.svg`` from ``diagrams.yaml``: the parts of each model, from top to bottom.

Boxes bring their own background and lines are of a middle grey, so that a diagram reads on light and dark pages alike.

Usage: python docs/site/diagrams.py
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path

import yaml

HERE = Path(__file__).parent
OUT = HERE.parent / "pictures" / "models"
WIDTH, GAP, BETWEEN, PAD, LINE = 400, 24, 34, 9, 19
COLOURS = {
    "data": ("#e3e8ee", "#5c6b7a"),
    "part": ("#cfe8e4", "#00796b"),
    "fixed": ("#e6dff3", "#6a4fa3"),
    "result": ("#fbe6c4", "#a86a00"),
}
"""Fill and outline by what a box is: what is given, what is learned, what is not trained, what comes out."""
LINES = "#7d8896"


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    text: tuple[str, ...]
    note: tuple[str, ...]
    kind: str
    switch: bool
    """It can be switched off, and has a dashed outline."""

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def read() -> dict[str, dict]:
    return yaml.safe_load((HERE / "diagrams.yaml").read_text(encoding="utf-8"))


def drawn(name: str, diagram: dict) -> str:
    """The diagram as SVG.

    Raises:
        LookupError: a row or an arrow names a part that the diagram has not.
    """
    boxes, height = _boxes(diagram)
    arrows = [_arrow(boxes, arrow) for arrow in diagram["arrows"]]
    title, words = f"The parts of {name}", "; ".join(diagram["arrows"]).replace(" > ", " to ")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        'font-family="system-ui, sans-serif" text-anchor="middle">'
    )
    tip = (
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{LINES}"/></marker></defs>'
    )
    about = [f"<title>{escape(title)}</title>", f"<desc>{escape(words)}</desc>"]
    return "\n".join([head, *about, tip, *arrows, *map(_drawn_box, boxes.values()), "</svg>", ""])


def _boxes(diagram: dict) -> tuple[dict[str, Box], float]:
    boxes: dict[str, Box] = {}
    y = 2.0
    for row in diagram["rows"]:
        columns = max(len(row), 1)
        width = (WIDTH - 4 - GAP * (columns - 1)) / columns
        inner = min(width, 270)
        here: dict[str, Box] = {}
        for place, part in enumerate(row):
            if part is None:
                continue
            text, note = _wrapped(diagram["parts"][part], inner)
            x = 2 + place * (width + GAP) + (width - inner) / 2
            kind = diagram["parts"][part].get("kind", "part")
            switch = diagram["parts"][part].get("switch", False)
            here[part] = Box(x, y, inner, 2 * PAD + LINE * len(text) + (LINE - 2) * len(note), text, note, kind, switch)
        tallest = max(box.height for box in here.values())
        boxes |= {part: Box(**{**vars(box), "height": tallest}) for part, box in here.items()}
        y += tallest + BETWEEN
    return boxes, y - BETWEEN + 2


def _wrapped(part: dict, width: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def lines(text: str, size: float) -> tuple[str, ...]:
        return tuple(textwrap.wrap(text, int((width - 10) / (size * 0.53)), break_long_words=False))

    return lines(part["text"], 16), lines(part.get("note", ""), 13)


def _drawn_box(box: Box) -> str:
    fill, outline = COLOURS[box.kind]
    dashes = ' stroke-dasharray="6 4"' if box.switch else ""
    shape = (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="8" fill="{fill}" '
        f'stroke="{outline}" stroke-width="1.5"{dashes}/>'
    )
    content = LINE * len(box.text) + (LINE - 2) * len(box.note)
    y, out = box.y + (box.height - content) / 2, [shape]
    for lines, size, colour, step in ((box.text, 16, "#1c2733", LINE), (box.note, 13, "#46525f", LINE - 2)):
        for line in lines:
            y += step
            at = f'x="{box.middle:g}" y="{y - 5:g}"'
            out.append(f'<text {at} font-size="{size}" fill="{colour}">{escape(line)}</text>')
    return "\n".join(out)


def _arrow(boxes: dict[str, Box], arrow: str) -> str:
    """From the lower edge of one box to the upper edge of another, or between two beside each other."""
    start, end = (boxes[name] for name in arrow.split(" > "))
    if start.y == end.y:
        right = start.x < end.x
        x, to = (start.x + start.width, end.x) if right else (start.x, end.x + end.width)
        y = start.y + start.height / 2
        path = f"M{x:g} {y:g}H{to:g}"
    else:
        top, bottom = start.y + start.height, end.y - 1
        # A straight line where the boxes overlap, so that it enters and leaves at right angles.
        low, high = max(start.x, end.x) + 14, min(start.x + start.width, end.x + end.width) - 14
        if low <= high:
            x = min(max(start.middle, low), high) if start.width < end.width else min(max(end.middle, low), high)
            path = f"M{x:g} {top:g}V{bottom:g}"
        else:
            x, to, half = start.middle, end.middle, (top + bottom) / 2
            path = f"M{x:g} {top:g}C{x:g} {half:g} {to:g} {half:g} {to:g} {bottom:g}"
    return f'<path d="{path}" fill="none" stroke="{LINES}" stroke-width="2" marker-end="url(#tip)"/>'


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, diagram in read().items():
        (OUT / f"{name}.svg").write_text(drawn(name, diagram), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Draws what a model computes on its way: maps laid over the crop that they were made from, and matrices.

Pictures are RGB uint8 arrays (H, W, 3), as in ``draw``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from posebed.reporting.draw import GAP, LINE, WHITE, blank, contact_sheet, write_line

COLUMNS = 6
LEAST_CELL, WIDEST = 14, 1500
"""Pixels of a matrix's cell at least, and of its side at most where that leaves them so large."""
FAINTEST = 0.25
"""How much of a heat colour covers the picture where a map is smallest."""


def heat(values: np.ndarray) -> np.ndarray:
    """Any numbers (h, w) as colours (h, w, 3), dark where they are smallest."""
    low, high = float(values.min()), float(values.max())
    shade = np.round(255 * (values - low) / (high - low) if high > low else np.zeros_like(values)).astype(np.uint8)
    return cv2.applyColorMap(shade, cv2.COLORMAP_INFERNO)[..., ::-1]


def over_picture(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One map (h, w), enlarged to the picture that it covers, as colours through which the picture shows."""
    size = picture.shape[1::-1]
    enlarged = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    spread = float(np.ptp(enlarged))
    share = (enlarged - enlarged.min()) / spread if spread else np.zeros_like(enlarged)
    cover = (FAINTEST + (0.75 - FAINTEST) * share)[..., None]
    return np.round(cover * heat(enlarged) + (1 - cover) * picture).astype(np.uint8)


def map_sheet(picture: np.ndarray, maps: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """The picture itself, then each of its maps (n, h, w) over it, above its label."""
    shown = [picture, *(over_picture(picture, values) for values in maps)]
    return contact_sheet(shown, ["the crop", *labels], min(COLUMNS, len(shown)))


def matrix_sheet(matrix: np.ndarray, labels: Sequence[str], header_size: int = 0) -> np.ndarray:
    """A square matrix (n, n) with its n labels beside the rows and above the columns, and a line behind the first
    ``header_size`` of both."""
    count = len(labels)
    cell = max(LEAST_CELL, min(28, WIDEST // count))
    room = 12 + max(_width(label) for label in labels)
    colours = np.repeat(np.repeat(heat(matrix), cell, 0), cell, 1)
    sheet = blank(room + count * cell + GAP, room + count * cell + GAP)
    sheet[room : room + len(colours), room : room + len(colours)] = colours
    if header_size:
        line = room + header_size * cell
        sheet[line - 1 : line + 1, room : room + len(colours)] = WHITE
        sheet[room : room + len(colours), line - 1 : line + 1] = WHITE
    names = blank(count * cell, room)
    for row, label in enumerate(labels):
        write_line(names, label, (6, row * cell + math.ceil(cell / 2) + 5), room)
    sheet[room : room + len(names), :room] = names
    # Columns are named upwards, so that long names fit.
    sheet[:room, room : room + len(names)] = np.rot90(names)
    return sheet


def _width(label: str) -> int:
    return cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, LINE * 0.023, 1)[0][0]

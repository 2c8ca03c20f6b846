"""Pictures to look at: contact sheets of datasets, and poses found in anybody's images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.progress import track

from posebed.data.images import Images, decode_named
from posebed.files import write_bytes, write_text
from posebed.listing import clipped, shortened
from posebed.records import Category, Dataset, Record
from posebed.reporting.draw import CELL, contact_sheet, draw_pose
from posestages.commands.boxes import boxes_of, distinct, whole
from posestages.commands.members import member_of
from posestages.commands.support import Shots, beside, read_shots
from posestages.stage import catalog_here

if TYPE_CHECKING:
    from posebed.inference.trained_model import Trained


_WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Endings of pictures that every OpenCV writes: of others some raise, some need a switch."""


def draw_sheet(dataset: Dataset, out: Path, count: int, chosen: Sequence[str]) -> None:
    """A contact sheet with so many annotated records of every chosen category, evenly spread over the dataset.

    Raises:
        LookupError: a chosen category is not there.
        ValueError: no sound record to show.
    """
    known = {category.key: category for category in dataset.categories}
    missing = [key for key in chosen if key not in known]
    if missing:
        raise LookupError(f"{dataset.root} must have the categories {shortened(missing)}, but has {shortened(known)}")
    members = defaultdict[str, list[Record]](list)
    for record in dataset.records:
        if record.keypoints[:, 2].any():
            members[record.category].append(record)
    images = Images(dataset.root, dataset.reading)
    pictures, titles = [], []
    for key in chosen or known:
        spread = np.linspace(0, len(members[key]) - 1, min(count, len(members[key]))).round().astype(int)
        for record in (members[key][i] for i in spread):
            pictures.append(_annotated(images.decode(record.image), record, known[key]))
            titles.append(f"{known[key].name}: {record.record}")
    if not pictures:
        raise ValueError(f"{dataset.root} must have a sound record to show, but has none; `posebed check` tells why")
    skeletons = {known[key].keypoints: known[key] for key in reversed(chosen or list(known))}
    write_picture(contact_sheet(pictures, titles, count, list(reversed(skeletons.values()))), out)


def _annotated(picture: np.ndarray, record: Record, category: Category) -> np.ndarray:
    """The part of the picture around the record's box, with its keypoints."""
    x, y, w, h = record.box
    room = 0.15 * max(w, h)
    left, top = max(0, int(x - room)), max(0, int(y - room))
    part = picture[top : int(y + h + room) + 1, left : int(x + w + room) + 1]
    xy = record.keypoints[:, :2] - (left, top)
    return draw_pose(part, xy, record.keypoints[:, 2] > 0, category, longest=CELL, numbered=True)


def predict_pictures(
    run: str,
    paths: Sequence[Path],
    boxes: Path | None,
    out: Path,
    support: Path | None = None,
    category: str | None = None,
) -> int:
    """Find poses, write ``poses.json`` (COCO keypoints) and a drawn picture of each image; returns their number.

    Args:
        run: as in ``members.member_of``.
        paths: pictures, of which each counts once.
        boxes: a COCO file whose pictures are matched as ``boxes.matched`` does; by default each picture is one box.
        support, category: as in ``open_run``.

    Raises:
        ValueError: as ``boxes.boxes_of``; or the model's answer is not finite. Nothing is written.
    """
    from posebed.inference.pictures import poses_in_boxes, supports
    from posebed.inference.poses import SURE, Poses

    trained, shots = open_run(run, support, category)
    paths = distinct(paths)
    wanted = boxes_of(paths, boxes)
    shown = supports(trained, shots.pictures()) if shots else None
    parts: list[Poses] = []
    drawn: list[tuple[Path, np.ndarray]] = []
    for path in track(paths, "finding poses"):
        picture = decode_named(path)
        parts.append(poses_in_boxes(trained, str(path), picture, wanted.get(path) or [whole(picture)], shown))
        picture = parts[-1].drawn_on(picture, 0.0 if shots else SURE)
        drawn.append((path, beside(picture, shots) if shots else picture))
    for number, (path, picture) in enumerate(drawn):
        write_picture(picture, out / f"{number:04}-{path.stem}.png")
    found = Poses.joined(parts)
    write_text(json.dumps(found.to_coco(), indent=1, allow_nan=False), out / "poses.json")
    return len(found)


def open_run(run: str, support: Path | None, category: str | None) -> tuple[Trained, Shots | None]:
    """A trained run, on the device there is; and what a category-agnostic one is to look for.

    Args:
        run: as in ``members.member_of``.
        support: annotated pictures as ``support.read_shots`` takes them, for such a run alone.
        category: of those, where there are several.

    Raises:
        LookupError: there is no such run, or it has no such member.
        ValueError: supports where the run takes none, or none where it needs some. Else as ``support.read_shots``.
    """
    import torch

    from posebed.contracts import Task
    from posebed.inference.trained_model import of_category, open_trained
    from posebed.training.run_folder import read_about, setting_of

    folder = member_of(run)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    about = read_about(folder)
    if about["task"] == Task.CATEGORY_SPECIFIC:
        if support or category:
            raise ValueError(f"a run with --support must be category-agnostic, but {run} knows its one skeleton itself")
        return open_trained(folder, catalog_here(), device), None
    if support is None:
        raise ValueError(f"{run} is category-agnostic and must be given --support, annotated pictures, but got none")
    shots = read_shots(support, category)
    setting = of_category(setting_of(about), shots.category)
    return open_trained(folder, catalog_here(), device, setting), shots


def write_picture(picture: np.ndarray, path: Path) -> None:
    """Write RGB (H, W, 3), whole or not at all; the ending chooses the format.

    Raises:
        ValueError: the ending is of no format that can be written.
    """
    ending = path.suffix or ".png"
    if ending.lower() not in _WRITTEN:
        raise ValueError(f"a picture must be written as {', '.join(_WRITTEN)}, but {path} ends in {clipped(ending)}")
    written, data = False, np.empty(0, np.uint8)
    with suppress(cv2.error):  # such as of WebP beyond 16,383 pixels
        written, data = cv2.imencode(ending, np.ascontiguousarray(picture[..., ::-1]))
    if not written:
        height, width = picture.shape[:2]
        raise ValueError(
            f"{path} must hold a picture of {width} x {height} pixels, which {ending} does not take; choose .png"
        )
    write_bytes(data.tobytes(), path)

"""Poses in films: found frame by frame, written in parts so that an interrupted command goes on where it was."""

from __future__ import annotations

import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from posebed.annotations.checks import box_faults, is_whole, shown
from posebed.annotations.jsonfile import read_json as read_users_json
from posebed.data.film import Film, Frame
from posebed.files import file_hash, writing
from posebed.inference.pictures import Box
from posebed.inference.poses import SURE, Poses, read_poses, write_coco, write_poses
from posebed.limits import MOST_ON_PICTURE
from posebed.listing import shortened
from posebed.own_json import Kind, read_json, write_json
from posebed.places import weights_file
from posestages.commands.boxes import whole
from posestages.commands.members import member_of
from posestages.commands.pictures import open_run

if TYPE_CHECKING:
    from posebed.inference.pictures import Supports
    from posebed.inference.trained_model import Trained

LOOK = Kind("the settings of an unfinished search for poses in a film")
PART_POSES, PART_FRAMES = 4096, 1024
"""That are in memory at most before they are written down."""
USUAL_RATE = 25.0
"""Of a drawn film whose own is not known."""
_NUMBERED = ("frame", "frame_number", "frame_id")
_LAST_DIGITS = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True)
class Found:
    """What became of a film."""

    frames: int
    """That were looked at."""
    poses: int
    table: Path
    notes: list[str]
    """One sentence each: what the film or the boxes do not hold."""


def predict_film(
    run: str,
    path: Path,
    boxes: Path | None,
    out: Path,
    every: int = 1,
    draw: bool = False,
    slp: bool = False,
    support: Path | None = None,
    category: str | None = None,
) -> Found:
    """Find poses in a film; write ``NAME.parquet``, ``NAME.json`` (COCO keypoints) if drawn, ``NAME.mp4``, and
    SLEAP's ``NAME.slp``, if that is wanted.

    Args:
        run: as in ``members.member_of``.
        boxes: as in ``boxes_by_frame``; by default each frame is one box.
        every: frames from one that is looked at to the next.
        support, category: as in ``pictures.open_run``.

    Raises:
        ValueError: what is no film, boxes that do not fit, or a model that does not answer with finite numbers.
    """
    from posebed.inference.pictures import supports

    film = Film.open(path)
    by_frame = boxes_by_frame(boxes, film) if boxes else None
    trained, shots = open_run(run, support, category)
    shown_to_it = supports(trained, shots.pictures()) if shots else None
    settings = {"weights": file_hash(weights_file(member_of(run))), "film": _stamp(path), "every": every}
    settings |= {"boxes": _stamp(boxes), "support": _stamp(support), "category": category}
    unfinished = out / f".{path.stem}.unfinished"
    _begin(unfinished, settings)
    _look(trained, film, by_frame, shown_to_it, every, unfinished)

    parts = sorted(unfinished.glob("*.parquet"))
    if not parts:
        shutil.rmtree(unfinished)
        with suppress(OSError):  # others' files are there
            out.rmdir()
        raise ValueError(f"{path} must have a frame that can be decoded, but has none")
    table = out / f"{path.stem}.parquet"
    write_poses(map(read_poses, parts), table)
    write_coco(lambda: map(read_poses, parts), out / f"{path.stem}.json")
    looked, poses = _count(parts[-1], every), sum(len(read_poses(part)) for part in parts)
    if slp:
        read_poses(table).to_sleap(out / f"{path.stem}.slp")
    if draw:
        _draw(film, parts, every, 0.0 if shots else SURE, out / f"{path.stem}.mp4")
    shutil.rmtree(unfinished)
    return Found(looked, poses, table, [*_notes(film, by_frame, _last(parts[-1]), every)])


def boxes_by_frame(file: Path, film: Film) -> dict[int, list[Box]]:
    """The boxes of each frame that has one.

    Args:
        file: COCO JSON, whose images say their number as ``frame``, ``frame_number`` or ``frame_id``, or by the last
            digits of ``file_name``; or COCO's list of results, whose ``image_id`` is the number. Numbers count from 0.

    Raises:
        ValueError: it is neither, a number is none, or a box does not fit the frames of the film.
    """
    content = read_users_json(file)
    entries, number_of = content, {}
    if isinstance(content, dict):
        entries = content.get("annotations")
        images = content.get("images")
        number_of = {str(image.get("id")): _frame_of(image) for image in images} if isinstance(images, list) else {}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file} must be COCO JSON with boxes, or a list of a detector's results, but is neither")
    boxes: dict[int, list[Box]] = defaultdict(list)
    for place, entry in enumerate(entries):
        named = entry.get("image_id")
        number = number_of.get(str(named)) if number_of else named
        if not is_whole(number) or number < 0:
            raise ValueError(f"{file}: the frame of box {place} must be a whole number from 0, but is {shown(number)}")
        if faults := box_faults(entry.get("bbox"), film.size):
            raise ValueError(f"{file}: bbox of box {place} must be {faults[0].must}, but is {faults[0].found}")
        x, y, width, height = map(float, entry["bbox"])
        boxes[int(number)].append((x, y, width, height))
    if not boxes:
        raise ValueError(f"{file} must have a box, but has none")
    if crowded := [number for number, of in boxes.items() if len(of) > MOST_ON_PICTURE]:
        raise ValueError(
            f"{file} must have at most {MOST_ON_PICTURE} boxes for a frame, but has more for {shortened(crowded)}"
        )
    if film.stated and min(boxes) >= film.stated:
        raise ValueError(
            f"{file} must have a box within the {film.stated} frames of {film.path}, but its first is of {min(boxes)}"
        )
    return dict(boxes)


def _frame_of(image: Any) -> object:
    if not isinstance(image, dict):
        return None
    for name in _NUMBERED:
        if name in image:
            return image[name]
    match = _LAST_DIGITS.search(str(Path(str(image.get("file_name", ""))).with_suffix("")))
    return int(match[1]) if match else None


def _stamp(path: Path | None) -> list[Any] | None:
    """By which a file or folder is known again, without reading it."""
    if path is None:
        return None
    stat = path.stat()
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns]


def _begin(unfinished: Path, settings: Mapping[str, Any]) -> None:
    """Keep what is there of a command with the same settings, and nothing else."""
    place = unfinished / "look.json"
    if place.is_file() and read_json(place, LOOK) == settings:
        return
    shutil.rmtree(unfinished, ignore_errors=True)
    write_json(settings, place, LOOK)


def _look(
    trained: Trained,
    film: Film,
    by_frame: Mapping[int, list[Box]] | None,
    shown_to_it: Supports | None,
    every: int,
    unfinished: Path,
) -> None:
    """Write the parts that are missing. What was found is written when the command is interrupted, too."""
    from posebed.inference.film import poses_in_film

    def boxes_of(frame: Frame) -> list[Box]:
        return [whole(frame.picture)] if by_frame is None else by_frame.get(frame.number, [])

    done = [_last(part) for part in sorted(unfinished.glob("*.parquet"))]
    first = done[-1] + 1 if done else 0
    waiting: list[Poses] = []
    last = written = first - 1

    def write() -> None:
        if waiting:
            write_poses([Poses.joined(waiting)], unfinished / f"{last:09}.parquet")
            waiting.clear()

    columns = (TextColumn("finding poses"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("", total=film.stated or None, completed=first, rate="")
        try:
            for last, poses in poses_in_film(trained, film, boxes_of, shown_to_it, every, first):
                waiting.append(poses)
                speed = progress.tasks[0].speed
                progress.update(bar, completed=last + 1, rate=f"{speed:.0f} frames/s" if speed else "")
                if sum(map(len, waiting)) >= PART_POSES or last - written >= PART_FRAMES * every:
                    write()
                    written = last
        finally:
            write()


def _last(part: Path) -> int:
    """The last frame that was looked at for a part."""
    return int(part.stem)


def _count(part: Path, every: int) -> int:
    return _last(part) // every + 1


def _notes(film: Film, by_frame: Mapping[int, list[Box]] | None, last: int, every: int) -> Iterator[str]:
    if film.stated and last + every < film.stated:
        yield (
            f"{film.path} states {film.stated} frames, but the last that could be decoded is {last}: it is cut short, "
            "or damaged and the frames behind the damage have too small numbers"
        )
    beyond = sum(len(boxes) for number, boxes in (by_frame or {}).items() if number > last)
    if beyond:
        yield f"{beyond} boxes are of frames behind the last one, {last}, and were not used"
    between = sum(len(boxes) for number, boxes in (by_frame or {}).items() if number % every and number <= last)
    if between:
        yield f"{between} boxes are of frames that --every {every} leaves out"


def _draw(film: Film, parts: list[Path], every: int, sure: float, out: Path) -> None:
    """The frames that were looked at, with their poses."""
    found = (part for path in parts for part in _by_frame(read_poses(path)))
    nothing, coming = read_poses(parts[0]).taken(np.array([], int)), next(found, None)
    place = parts[0].with_name(f"drawn{out.suffix}")  # by the ending the writer knows the format
    writer: cv2.VideoWriter | None = None
    try:
        for frame in film.frames(every):
            here = coming if coming and coming.frame[0] == frame.number else nothing
            coming = next(found, None) if here is coming else coming
            picture = here.drawn_on(frame.picture, sure)
            writer = writer or _writer(place, picture, (film.rate or USUAL_RATE) / every)
            writer.write(np.ascontiguousarray(picture[..., ::-1]))
    finally:
        if writer is not None:
            writer.release()
    with writing(out) as unfinished:
        place.rename(unfinished)


def _writer(place: Path, picture: np.ndarray, rate: float) -> cv2.VideoWriter:
    height, width = picture.shape[:2]
    writer = cv2.VideoWriter(str(place), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    if not writer.isOpened():
        raise ValueError(f"a film of {width} x {height} pixels must be written to {place}, but cannot be")
    return writer


def _by_frame(poses: Poses) -> Iterator[Poses]:
    """The poses of each frame."""
    edges = np.flatnonzero(np.diff(poses.frame)) + 1
    for rows in np.split(np.arange(len(poses)), edges):
        if len(rows):
            yield poses.taken(rows)

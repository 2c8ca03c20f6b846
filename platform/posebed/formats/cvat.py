"""CVAT's own XML, "CVAT for images 1.1" and "CVAT for video 1.1".

CVAT's picture is a plane from 0, 0 to width, height, so that whole numbers are corners of pixels; other converters pass
the numbers on unchanged, and so does this one unless ``half_pixel`` is asked for. Names and addresses of annotators,
which the file holds, are not read.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.parsers import expat

import numpy as np

from posebed.foreign_files import head, read_foreign
from posebed.formats.labels import Animal, Frame, Labels, category_of, found_in, guessed_pairs, points_of
from posebed.listing import clipped, shortened
from posebed.records import Category

NAME = "CVAT"
LOOKED_FOR = "annotations.xml (CVAT for images or video 1.1)"
_MOST_DIGITS = 9
"""Of a frame's number, or of a picture's side."""
_NODE = re.compile(r"<circle[^>]*>")
_EDGE = re.compile(r"<line[^>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def recognises(path: Path) -> bool:
    file = path / "annotations.xml" if path.is_dir() else path
    return file.suffix == ".xml" and b"<annotations>" in head(file, 2000)


def read(path: Path, pictures: Path | None = None, half_pixel: bool = False) -> Labels:
    """Read an export, or a folder that holds ``annotations.xml``.

    Args:
        pictures: a further folder to look for pictures and the film in.
        half_pixel: subtract 0.5 from coordinates, which makes whole numbers pixel centres.

    Raises:
        ValueError: the file is no such XML, or an object in it cannot be told.
    """
    file = path / "annotations.xml" if path.is_dir() else path
    top, root = _without_entities(file), pictures or file.parent
    content = _Content(file, root, [root, root / "images"], _known_labels(top), 0.5 if half_pixel else 0.0)
    objects = [*_objects_of_images(top, content), *_objects_of_tracks(top, content)]
    categories = _categories(content, objects)
    animals = _animals(content, objects, categories)
    frames = _frames_of_images(top, content, animals) or _frames_of_film(top, content, animals)
    notes = [*filter(None, map(guessed_pairs, categories)), *content.notes()]
    if half_pixel:
        notes.append("Half a pixel was subtracted from every coordinate.")
    return Labels(root, tuple(categories), tuple(frames), tuple(notes), content.missing)


class _DeclaresType(ValueError):
    """A document type is declared."""


def _without_entities(file: Path) -> Element:
    """The top element of an XML file that declares no entities, which could expand without end.

    Raises:
        ValueError: it does, or is no XML.
    """

    def refuse(*declared: object) -> None:
        raise _DeclaresType(f"{file} must be an export of CVAT, but declares a document type, which CVAT never does")

    data = read_foreign(file, "an export of CVAT")
    try:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = refuse
        parser.Parse(data, True)
        return fromstring(data)  # noqa: S314
    except (expat.ExpatError, ParseError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        if isinstance(error, _DeclaresType):
            raise
        raise ValueError(f"{file} must be an export of CVAT, but cannot be read: {clipped(str(error))}") from error


class _Point(NamedTuple):
    name: str
    x: float
    y: float
    visibility: int


@dataclass
class _Object:
    """One object on one picture or frame."""

    category: str
    frame: str
    """Id of the picture, or number of the frame."""
    group: str
    """What ties its shapes together."""
    points: list[_Point] = field(default_factory=list[_Point])
    box: tuple[float, float, float, float] | None = None
    track: str = ""


@dataclass
class _Content:
    """What is gathered on the way through a file."""

    file: Path
    root: Path
    folders: Sequence[Path]
    """Where pictures and films are looked for."""
    labels: Mapping[str, _Label]
    shift: float
    """What is subtracted from coordinates."""
    missing: dict[str, str] = field(default_factory=dict[str, str])
    ignored: Counter[str] = field(default_factory=Counter[str])
    other_labels: set[str] = field(default_factory=set[str])
    """Labels of shapes that are no points."""

    def notes(self) -> list[str]:
        return [f"{what}, left out: {count}." for what, count in self.ignored.items()]


class _Label(NamedTuple):
    """A label of the task."""

    keypoints: tuple[str, ...]
    """Of a skeleton."""
    links: tuple[tuple[str, str], ...]


def _known_labels(top: Element) -> dict[str, _Label]:
    """The labels of the task, in their order; the points of skeletons are labels with a parent."""
    found: dict[str, _Label] = {}
    entries = [label for label in top.iter("label") if label.find("name") is not None]
    for entry in entries:
        if entry.findtext("parent"):
            continue
        name = entry.findtext("name") or ""
        inner = [e.findtext("name") or "" for e in entries if e.findtext("parent") == name]
        found[name] = _Label(tuple(dict.fromkeys(inner)), tuple(_links(entry.findtext("svg") or "")))
    return found


def _links(svg: str) -> Iterator[tuple[str, str]]:
    """The links of a skeleton, which are lines of its drawing between numbered circles."""
    nodes = [dict(_ATTRIBUTE.findall(circle)) for circle in _NODE.findall(svg)]
    names = {node.get("data-node-id"): node.get("data-label-name") for node in nodes}
    for line in _EDGE.findall(svg):
        about = dict(_ATTRIBUTE.findall(line))
        ends = names.get(about.get("data-node-from")), names.get(about.get("data-node-to"))
        if ends[0] and ends[1]:
            yield ends[0], ends[1]


def _objects_of_images(top: Element, content: _Content) -> list[_Object]:
    """The objects of ``image`` elements: skeletons, and loose points that share a group."""
    objects: list[_Object] = []
    for image in top.iter("image"):
        loose: dict[tuple[str, str], _Object] = {}
        identity = image.get("id", "")
        for position, shape in enumerate(image):
            label, group = shape.get("label", ""), shape.get("group_id", "")
            if shape.tag == "skeleton":
                objects.append(_skeleton(shape, label, identity, f"skeleton {position}", content))
            elif shape.tag == "points":
                category, name = _split(label)
                one = loose.setdefault((category, group), _Object(category, identity, group))
                one.points.append(_point(shape, name, content))
            elif shape.tag == "box":
                content.other_labels.add(label)
                category = label.removesuffix(".bbox")
                loose.setdefault((category, group), _Object(category, identity, group)).box = _box(shape, content)
            else:
                content.other_labels.add(label)
                content.ignored[f"Shapes that are no points ({shape.tag})"] += shape.tag != "tag"
        boxes = sum(not one.points for one in loose.values())
        content.ignored["Boxes without points"] += boxes
        objects += [one for one in loose.values() if one.points]
    content.ignored += Counter()  # drops what was counted as 0
    return objects


def _split(label: str) -> tuple[str, str]:
    """Category and keypoint of a label of loose points, ``category.keypoint``; without a dot it is a keypoint."""
    category, dot, name = label.rpartition(".")
    return (category, name) if dot else ("animal", label)


def _skeleton(shape: Element, label: str, frame: str, group: str, content: _Content) -> _Object:
    points = [_point(inner, inner.get("label", ""), content) for inner in shape.iter("points")]
    return _Object(label, frame, group, points)


def _point(shape: Element, name: str, content: _Content) -> _Point:
    pair = shape.get("points", "").split(";")
    try:
        x, y = (float(value) - content.shift for value in pair[0].split(","))
    except ValueError as error:
        raise ValueError(f"{content.file} must give x,y of {name!r}, but gives {clipped(pair[0])!r}") from error
    if len(pair) != 1:
        raise ValueError(f"{content.file} must have one point in a shape of points, but {name!r} has {len(pair)}")
    outside, hidden = shape.get("outside") == "1", shape.get("occluded") == "1"
    return _Point(name, x, y, 0 if outside else 1 if hidden else 2)


def _box(shape: Element, content: _Content) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(shape.get(side, "")) for side in ("xtl", "ytl", "xbr", "ybr"))
    except ValueError as error:
        raise ValueError(f"{content.file} must give four sides of every box, but one is no number") from error
    return left - content.shift, top - content.shift, right - left, bottom - top


def _objects_of_tracks(top: Element, content: _Content) -> list[_Object]:
    """The objects of ``track`` elements, on the frames that a person set."""
    objects: list[_Object] = []
    for track in top.iter("track"):
        label, identity = track.get("label", ""), track.get("id", "")
        for shape in track:
            if shape.tag != "skeleton":
                content.ignored[f"Tracks of shapes that are no skeletons ({shape.tag}), frames"] += 1
            elif not _is_set(shape):
                content.ignored["Interpolated frames of tracks"] += 1
            elif shape.get("outside") != "1":
                one = _skeleton(shape, label, shape.get("frame", ""), f"track {identity}", content)
                one.track = identity
                objects.append(one)
    return objects


def _is_set(skeleton: Element) -> bool:
    return skeleton.get("keyframe") == "1" or any(point.get("keyframe") == "1" for point in skeleton.iter("points"))


def _categories(content: _Content, objects: Sequence[_Object]) -> list[Category]:
    """Categories in the order of the task's labels, with the keypoints in theirs."""
    used = dict.fromkeys(one.category for one in objects)
    stated = [label if label in used else _split(label)[0] for label in content.labels]
    names = dict.fromkeys(name for name in (*stated, *used) if name in used)
    return [_category(name, content, objects) for name in names]


def _category(name: str, content: _Content, objects: Sequence[_Object]) -> Category:
    stated = content.labels.get(name, _Label((), ()))
    loose = [label for label in content.labels if _split(label)[0] == name and label not in content.other_labels]
    others = {_split(label)[1] for label in content.other_labels}
    named = [_split(label)[1] for label in loose if _split(label)[1] not in others]
    seen = [point.name for one in objects if one.category == name for point in one.points]
    names = list(dict.fromkeys([*stated.keypoints, *(named if not stated.keypoints else ()), *seen]))
    links = [(names.index(a), names.index(b)) for a, b in stated.links if a in names and b in names]
    return category_of(name, names, links, where=str(content.file))


def _animals(
    content: _Content, objects: Sequence[_Object], categories: Sequence[Category]
) -> Mapping[str, list[Animal]]:
    """The animals by picture or frame."""
    by_key = {category.key: category for category in categories}
    found: dict[str, list[Animal]] = defaultdict(list)
    for one in objects:
        names = [point.name for point in one.points]
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(
                f"{content.file} must have every keypoint of an object once, but picture {one.frame} has "
                f"{shortened(twice, 3)} more than once in {one.group or 'the shapes without a group'}; group objects"
            )
        order = by_key[one.category].keypoints
        xy, flags = np.full((len(order), 2), np.nan), np.zeros(len(order))
        for point in one.points:
            if point.visibility:
                xy[order.index(point.name)] = point.x, point.y
            flags[order.index(point.name)] = point.visibility
        points = points_of(xy, flags)
        if not points[:, 2].any():
            content.ignored["Objects without a point in their picture"] += 1
            continue
        source = f"{content.file.name}: {one.frame} {one.group}".strip()
        found[one.frame].append(Animal(one.category, points, one.track, one.box, source=source))
    return found


def _frames_of_images(top: Element, content: _Content, animals: Mapping[str, list[Animal]]) -> list[Frame]:
    frames: list[Frame] = []
    for image in top.iter("image"):
        name = image.get("name", "")
        place = found_in(content.folders, name)
        picture = place.relative_to(content.root).as_posix() if place else name
        size = _size(image.get("width"), image.get("height"))
        frames.append(Frame(picture, tuple(animals.get(image.get("id", ""), ())), size=size))
    return frames


def _size(width: str | None, height: str | None) -> tuple[int, int] | None:
    sides = _whole(width), _whole(height)
    return (sides[0], sides[1]) if sides[0] and sides[1] else None


def _frames_of_film(top: Element, content: _Content, animals: Mapping[str, list[Animal]]) -> list[Frame]:
    """The frames of a video task. Its numbers count from the task's first frame, in its steps."""
    source = top.findtext(".//source") or ""
    if not animals or not source:
        raise ValueError(f"{content.file} must hold pictures, or a film and tracks of skeletons, but holds neither")
    film = PureWindowsPath(source).name
    place = found_in(content.folders, source)
    if place is None:
        content.missing[film] = ", ".join(map(str, content.folders))
    start, step = _whole(top.findtext(".//start_frame")) or 0, _step(top.findtext(".//frame_filter"))
    path = place.relative_to(content.root).as_posix() if place else film
    size = _size(top.findtext(".//original_size/width"), top.findtext(".//original_size/height"))
    numbers = {start + step * (_whole(frame) or 0): of for frame, of in animals.items()}
    return [Frame(f"{path}/{number}", tuple(of), film, number, size) for number, of in sorted(numbers.items())]


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _step(frame_filter: str | None) -> int:
    match = re.fullmatch(r"\s*step\s*=\s*(\d+)\s*", frame_filter or "")
    return (_whole(match[1]) or 1) if match else 1

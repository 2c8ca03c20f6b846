"""Writes SLEAP's label files through sleap-io, and packages: such files with the pictures in them.

Pictures are put into a package here and not by sleap-io, which looks frames up by seeking and changes the order of
channels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np

from posebed.data.containers import is_container
from posebed.data.film import is_film
from posebed.data.headers import PNG
from posebed.data.images import Images
from posebed.formats.labels import Animal, Frame, Labels, unique_note, xy_of
from posebed.formats.pictures import sizes
from posebed.formats.sleap import open_sleap_io
from posebed.listing import shortened
from posebed.records import Category


def write(labels: Labels, out: Path) -> list[str]:
    """Write a label file that names films and pictures where they lie. Poses that a model predicted become predicted
    instances, which people correct in SLEAP. Returns what is lost, in sentences.

    Raises:
        ValueError: sleap-io is not installed, or a picture lies in a zip file or a package.
    """
    known = sizes(labels)
    groups: dict[tuple[str, object], list[Frame]] = {}
    for frame in labels.frames:
        groups.setdefault(_place(frame, known), []).append(frame)
    videos = [_referenced(labels.root, of, known) for of in groups.values()]
    _save(labels, videos, out)
    return _lost(labels)


def write_package(labels: Labels, out: Path) -> list[str]:
    """As ``write``, with every picture in the file.

    Raises:
        ValueError: sleap-io is not installed, or a picture is not there.
    """
    known, images = sizes(labels), Images(labels.root)
    if absent := [frame.picture for frame in labels.frames if frame.picture not in known]:
        raise ValueError(
            f"a package must hold every picture, but {len(absent)} were not found below {labels.root}: "
            f"{shortened(absent, 3)}"
        )
    groups: dict[tuple[str, object], list[Frame]] = {}
    for frame in labels.frames:
        film = frame.film or str(PurePosixPath(frame.picture).parent)
        groups.setdefault((film, known[frame.picture]), []).append(frame)
    videos = [_embedded(film, of, known) for (film, _), of in groups.items()]
    _save(labels, videos, out)
    _embed(videos, images, out)
    return _lost(labels)


class _Video(NamedTuple):
    """A video to write."""

    name: str
    about: dict[str, Any]
    """sleap-io's description of where its pictures are."""
    frames: Sequence[tuple[int, Frame]]
    """With the number of each."""


def _place(frame: Frame, known: Mapping[str, tuple[int, int]]) -> tuple[str, object]:
    """What the frames of one video share: the film, or the folder and the size of pictures."""
    path = PurePosixPath(frame.picture)
    inside = [part for part in path.parent.parts if is_container(part)]
    if not inside:
        return str(path.parent), known.get(frame.picture)
    if not is_film(inside[0]):
        raise ValueError(f"a .slp file cannot name a picture in {inside[0]}; write a .pkg.slp, which holds pictures")
    return str(path.parent), None


def _referenced(root: Path, frames: Sequence[Frame], known: Mapping[str, tuple[int, int]]) -> _Video:
    folder = PurePosixPath(frames[0].picture).parent
    if is_film(folder.name):
        place = str((root / folder).absolute())
        about = {"type": "MediaVideo", "filename": place, "grayscale": False, "bgr": True, "dataset": ""}
        return _Video(place, about, [(int(PurePosixPath(frame.picture).name), frame) for frame in frames])
    places = [str((root / frame.picture).absolute()) for frame in frames]
    size = known.get(frames[0].picture)
    shape = {"shape": [len(frames), size[1], size[0], 3]} if size else {}
    about = {"type": "ImageVideo", "filename": places[0], "filenames": places, "grayscale": False, **shape}
    return _Video(places[0], about, list(enumerate(frames)))


def _embedded(film: str, frames: Sequence[Frame], known: Mapping[str, tuple[int, int]]) -> _Video:
    stated = [frame.number for frame in frames]
    differ = None not in stated and len(set(stated)) == len(stated)
    numbers = [frame.number if differ and frame.number is not None else i for i, frame in enumerate(frames)]
    width, height = known[frames[0].picture]
    about = {"type": "MediaVideo", "filename": film, "shape": [max(numbers) + 1, height, width, 3], "grayscale": False}
    return _Video(film, about, list(zip(numbers, frames, strict=True)))


def _save(labels: Labels, videos: Sequence[_Video], out: Path) -> None:
    sleap_io = open_sleap_io()
    skeletons = {category.key: _skeleton(sleap_io, category) for category in labels.categories}
    tracks = {name: sleap_io.Track(name) for name in dict.fromkeys(a.track for a in labels.animals()) if name}
    films = [sleap_io.Video(filename=v.name, open_backend=False, backend_metadata=v.about) for v in videos]
    frames = [
        sleap_io.LabeledFrame(
            video=film,
            frame_idx=number,
            instances=[_instance(sleap_io, a, skeletons[a.category], tracks.get(a.track)) for a in frame.animals],
        )
        for film, video in zip(films, videos, strict=True)
        for number, frame in video.frames
    ]
    content = sleap_io.Labels(frames, videos=films, skeletons=[*skeletons.values()], tracks=[*tracks.values()])
    sleap_io.save_slp(content, str(out), embed=False, verbose=False)


def _skeleton(sleap_io: Any, category: Category) -> Any:
    names = category.keypoints
    return sleap_io.Skeleton(
        list(names), list(category.limbs), [(names[a], names[b]) for a, b in category.flip_pairs], name=category.name
    )


def _instance(sleap_io: Any, animal: Animal, skeleton: Any, track: Any) -> Any:
    xy = xy_of(animal.points)
    if animal.predicted:
        scores = animal.point_scores if animal.point_scores is not None else np.ones(len(xy))
        score = 1.0 if animal.score is None else animal.score
        kind = sleap_io.PredictedInstance
        instance = kind.from_numpy(xy, skeleton=skeleton, point_scores=scores, score=score, track=track)
    else:
        instance = sleap_io.Instance.from_numpy(xy, skeleton=skeleton, track=track)
    instance.points["visible"] = animal.points[:, 2] == 2
    return instance


def _embed(videos: Sequence[_Video], images: Images, out: Path) -> None:
    """Put the pictures into a label file, each as the bytes of a picture file in the usual order of channels."""
    import h5py  # as optional as sleap-io, which needs it

    described: list[str] = []
    with h5py.File(out, "a") as file:
        for position, video in enumerate(videos):
            encoded = [_encoded(images.read(frame.picture)) for _, frame in video.frames]
            _, height, width, channels = video.about["shape"]
            group = f"video{position}"
            data = file.create_dataset(f"{group}/video", shape=(len(encoded),), dtype=h5py.vlen_dtype(np.int8))
            for row, picture in enumerate(encoded):
                data[row] = np.frombuffer(picture, np.int8)
            stated = {"height": height, "width": width, "channels": channels, "frames": video.about["shape"][0]}
            data.attrs.update({"format": "png", "channel_order": "RGB", **stated})
            file.create_dataset(f"{group}/frame_numbers", data=[number for number, _ in video.frames])
            source = {"filename": video.name, "backend": video.about}
            file.create_group(f"{group}/source_video").attrs["json"] = json.dumps(source)
            inside = {
                "type": "HDF5Video",
                "shape": [len(encoded), height, width, channels],
                "filename": ".",
                "dataset": f"{group}/video",
                "input_format": "channels_last",
                "convert_range": False,
                "has_embedded_images": True,
                "grayscale": False,
            }
            described.append(json.dumps({"filename": ".", "backend": inside, "source_video": source}))
        del file["videos_json"]
        file.create_dataset("videos_json", data=[text.encode() for text in described])


def _encoded(data: bytes) -> bytes:
    """A picture as PNG."""
    if data.startswith(PNG):
        return data
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise ValueError("a picture must be decodable to be put into a package, but one is not; `posebed check` tells")
    return cv2.imencode(".png", picture)[1].tobytes()


def _lost(labels: Labels) -> list[str]:
    boxes = sum(animal.box is not None for animal in labels.animals())
    cyclic = [category.name for category in labels.categories if _has_cycle(category)]
    return [
        *([f"Boxes, which the format cannot hold: {boxes}."] if boxes else []),
        *(f"Links of {name!r} form a cycle, which SLEAP's bottom-up models refuse." for name in cyclic),
        *unique_note(labels),
    ]


def _has_cycle(category: Category) -> bool:
    """Whether the links, without direction, lead from a keypoint back to itself."""
    group = list(range(len(category.keypoints)))
    for a, b in {(min(link), max(link)) for link in category.limbs}:
        if group[a] == group[b]:
            return True
        group = [group[a] if of == group[b] else of for of in group]
    return False

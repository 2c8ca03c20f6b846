"""Writes a drawn set as one COCO-keypoints folder: ``annotations.json`` and ``images.zip``."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np

from menagerie.config import MenagerieConfig
from menagerie.picture import Picture, draw_picture
from posebed.files import write_text, writing
from posebed.records import Category

JPEG_QUALITY = 92


def draw_one(
    config: MenagerieConfig, index: int
) -> tuple[np.ndarray, int, np.ndarray, tuple[float, float, float, float], float]:
    """Image (H, W, 3) uint8 RGB, position of its category in ``config.kinds()``, keypoints (K, 3), box and area."""
    drawn = draw_picture(config, index)
    return drawn.image, drawn.category, drawn.keypoints, drawn.box, drawn.area


def draw_folder(
    config: MenagerieConfig, folder: Path, workers: int = 1, progress: Callable[[int], None] = lambda done: None
) -> None:
    """Draw a whole set; the same config gives the same bytes, however many processes draw.

    ``area`` of an annotation counts the pixels of the figure's silhouette within the picture, hidden parts too;
    ``progress`` is told how many pictures are done.
    """
    annotations: list[dict[str, Any]] = []
    with (
        writing(folder / "images.zip") as unfinished,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive,
        _mapper(workers) as run,
    ):
        for index, (jpeg, annotation) in enumerate(run(partial(_encoded, config), range(config.images))):
            archive.writestr(_member(index), jpeg)
            annotations.append(annotation)
            progress(index + 1)
    write_text(json.dumps(_document(config, annotations)), folder / "annotations.json")


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """``map``, or the same over processes and still in order."""
    if workers == 1:
        yield map
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare_process) as pool:
            yield partial(pool.map, chunksize=16)


def _prepare_process() -> None:
    """One thread for each process, which ends with the process that started it: killed, that one could not end it."""
    cv2.setNumThreads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _member(index: int) -> zipfile.ZipInfo:
    """An entry that does not tell when or on what system it was written, so that equal pictures make equal bytes."""
    member = zipfile.ZipInfo(_name(index), (1980, 1, 1, 0, 0, 0))
    member.create_system = 3
    return member


def _name(index: int) -> str:
    return f"{index + 1:06d}.jpg"


def _encoded(config: MenagerieConfig, index: int) -> tuple[bytes, dict[str, Any]]:
    picture = draw_picture(config, index)
    _, jpeg = cv2.imencode(".jpg", picture.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes(), _annotation(index, picture)


def _annotation(index: int, picture: Picture) -> dict[str, Any]:
    keypoints = [(round(float(x), 2), round(float(y), 2), int(v)) for x, y, v in picture.keypoints]
    return {
        "id": index + 1,
        "image_id": index + 1,
        "category_id": picture.category + 1,
        "keypoints": [value for triple in keypoints for value in triple],
        "num_keypoints": sum(v > 0 for _, _, v in keypoints),
        "bbox": list(picture.box),
        "area": picture.area,
        "iscrowd": 0,
    }


def _document(config: MenagerieConfig, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    size = config.side
    return {
        "info": {"description": f"menagerie {config.set}, {config.images} drawn pictures, seed {config.seed}"},
        "images": [{"id": i + 1, "file_name": _name(i), "width": size, "height": size} for i in range(config.images)],
        "annotations": annotations,
        "categories": [_coco_category(i + 1, kind.category) for i, kind in enumerate(config.kinds())],
    }


def _coco_category(identity: int, category: Category) -> dict[str, Any]:
    names = category.keypoints
    upper = {"upper_body": [names[i] for i in category.upper_body]} if category.upper_body else {}
    return {
        "id": identity,
        "name": category.key,
        "supercategory": category.family,
        "keypoints": list(names),
        "skeleton": [[one + 1, other + 1] for one, other in category.limbs],
        "flip_pairs": [[names[one], names[other]] for one, other in category.flip_pairs],
        "sigmas": list(category.sigmas),
        **upper,
    }

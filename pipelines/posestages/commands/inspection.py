"""What a trained model computes on its way to a pose, drawn: score maps, body parts, attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from posebed.contracts import Inner
from posebed.data.images import decode_named
from posebed.reporting.maps import map_sheet, matrix_sheet
from posestages.commands.boxes import boxes_of, distinct, whole
from posestages.commands.pictures import open_run, write_picture


def inspect_pictures(
    run: str,
    paths: Sequence[Path],
    boxes: Path | None,
    out: Path,
    support: Path | None = None,
    category: str | None = None,
) -> list[Path]:
    """Draw everything that the model of a run shows for each box of the pictures; returns the files written.

    Args:
        run, boxes, support, category: as in ``pictures.predict_pictures``.

    Raises:
        ValueError: the model shows nothing.
    """
    import torch

    from posebed.inference.pictures import batch_of, crop_of, supports

    trained, shots = open_run(run, support, category)
    paths = distinct(paths)
    wanted = boxes_of(paths, boxes)
    look = getattr(trained.model, "inspect", None)
    if look is None:
        raise ValueError(
            f"a run that is inspected must be of a model with inner maps, but {trained.about['model']} has none"
        )
    shown = supports(trained, shots.pictures()) if shots else None
    written: list[Path] = []
    for place, path in enumerate(paths):
        picture = decode_named(path)
        for number, box in enumerate(wanted.get(path) or [whole(picture)]):
            batch = batch_of(trained, [crop_of(trained, picture, box)], shown)
            with torch.no_grad():
                computed: Mapping[str, Inner] = look(batch)
            crop = batch.image[0].permute(1, 2, 0).cpu().numpy()
            for name, inner in computed.items():
                file = out / f"{place:04} {path.stem} {number} {name}.png".replace(" ", "-")
                write_picture(_sheet(crop, inner), file)
                written.append(file)
    return written


def _sheet(crop: np.ndarray, inner: Inner) -> np.ndarray:
    maps = inner.maps[0].float().cpu().numpy()
    if inner.over_picture:
        return map_sheet(crop, maps, inner.labels)
    return matrix_sheet(maps[0], inner.labels, inner.header_size)

"""Notes on annotations that break no rule but look wrong. Their records are sound and are kept.

Rules, each silent on ordinary data:

- corner: a labelled keypoint lies at exactly 0, 0, where tools leave unlabelled ones. Such keypoints count for no other
  rule.
- shares: all labelled keypoints of a record, or its box, lie within 0..1, the first pixel, as shares of the picture
  do.
- corners: most boxes, read as x1 y1 x2 y2, lie in the picture and fit better than as x y width height. A box fits
  better as corners if it otherwise leaves the picture by more than a twentieth of its side, or if its overlap (IoU)
  with the extent of its labelled keypoints grows by half. Boxes for which both readings are nearly the same abstain;
  three or more must vote.
- outside: more than half of a record's labelled keypoints lie outside its box, widened by a tenth of its longer side.
  Not counted where the keypoints look like shares, or the boxes like corners.
- loose: at least half of the keypoints, and three, are labelled, and all of them lie within a fifth of the longer side
  of the box (clipped to the picture): PCK@0.2 would find any pose among them right. Not counted where the keypoints
  look like shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from posebed.config import Orientation
from posebed.data.images import PictureFacts
from posebed.listing import clipped
from posebed.records import Record

_MARGIN = 0.1
_BEYOND = 0.05
_BETTER = 1.5
_VOTES = 3
_CLOSE = 0.2
"""The threshold of PCK@0.2, the leading metric."""
_LEAST = 3

# N records, M labelled keypoints of all of them


def implausible(records: Sequence[Record]) -> Iterator[str]:
    """One sentence for every rule that is broken, with the number of records and the first one."""
    if not records:
        return
    box = np.array([record.box for record in records], np.float64)
    size = np.array([(record.width, record.height) for record in records], np.float64)
    point = np.concatenate([record.keypoints for record in records]).astype(np.float64)
    owner = np.repeat(np.arange(len(records)), [len(record.keypoints) for record in records])
    labelled = point[:, 2] > 0
    corner = labelled & _each(point[:, :2] == 0)
    if corner.any():
        yield (
            f"Labelled keypoints at exactly 0, 0, where unlabelled ones should have visibility 0: {corner.sum()} in "
            f"{_counted(records, np.bincount(owner[corner], minlength=len(records)) > 0)}."
        )
    xy, of = point[labelled & ~corner, :2], owner[labelled & ~corner]
    point_shares = _all_of(_each((xy >= 0) & (xy <= 1)), of, len(records)) & _each(size > 2)
    box_shares = _each((box >= 0) & (box <= 1)) & _each(size > 2)
    for what, shares in (("Keypoints", point_shares), ("Boxes", box_shares)):
        if shares.any():
            yield f"{what} that look like shares of the picture instead of pixels: {_counted(records, shares)}."
    corners = ~box_shares & _look_like_corners(box, size, xy, of)
    if corners.any():
        yield f"Boxes that look like x1, y1, x2, y2 instead of x, y, width, height: {_counted(records, corners)}."
    loose = _within_a_fifth(box, size, xy, of, np.bincount(owner, minlength=len(records))) & ~point_shares
    if loose.any():
        yield (
            "Records whose keypoints all lie within a fifth of their box's longer side, so that PCK@0.2 finds any pose "
            f"right: {_counted(records, loose)}."
        )
    outside = _mostly(~_inside(box, xy, of), of, len(records)) & ~point_shares
    if outside.any() and not corners.any():
        yield f"Records with most of their labelled keypoints outside their box: {_counted(records, outside)}."


def _counted(records: Sequence[Record], which: np.ndarray) -> str:
    return f"{which.sum()} records, the first is {clipped(records[int(which.argmax())].record)}"


def _each(holds: np.ndarray) -> np.ndarray:
    """(N,) whether it holds in all columns of (N, C)."""
    return np.asarray(holds.all(1))


def _all_of(holds: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """(N,) whether there are keypoints and it holds for all of them."""
    total = np.bincount(of, minlength=count)
    return (total > 0) & (np.bincount(of[holds], minlength=count) == total)


def _mostly(holds: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """(N,) whether it holds for more than half of the keypoints."""
    return 2 * np.bincount(of[holds], minlength=count) > np.bincount(of, minlength=count)


def _inside(box: np.ndarray, xy: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(M,) whether a keypoint lies in its box or near it."""
    margin = _MARGIN * box[of, 2:].max(1, keepdims=True)
    start, end = box[of, :2], box[of, :2] + box[of, 2:]
    return _each((xy >= start - margin) & (xy <= end + margin))


def _look_like_corners(box: np.ndarray, size: np.ndarray, xy: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(N,) the boxes that fit better as corners; none where those are no majority of the votes."""
    start, given = box[:, :2], box[:, 2:]
    possible = _each(start >= 0) & _each(given > start) & _each(given <= size + 1)
    differ = ~possible | ~_each(start <= _MARGIN * given)
    beyond = ~_each(start + given <= (1 + _BEYOND) * size)
    low, high = _extents(len(box), xy, of)
    extent = np.where(_each(high > low)[:, None], np.hstack([low, high]), 0)
    plain, corners = (_overlap(np.hstack([start, end]), extent) for end in (start + given, given))
    better = possible & differ & (beyond | (corners > _BETTER * plain))
    votes = differ.sum()
    return better & bool(votes >= _VOTES and 2 * better.sum() > votes)


def _within_a_fifth(
    box: np.ndarray, size: np.ndarray, xy: np.ndarray, of: np.ndarray, keypoints: np.ndarray
) -> np.ndarray:
    """(N,) whether the labelled keypoints, of as many as ``keypoints`` (N,) says, lie that close to each other."""
    low, high = _extents(len(box), xy, of)
    start, end = np.clip(box[:, :2], 0, size), np.clip(box[:, :2] + box[:, 2:], 0, size)
    labelled = np.bincount(of, minlength=len(box))
    enough = (labelled >= _LEAST) & (2 * labelled >= keypoints)
    return enough & ((high - low).max(1) <= _CLOSE * (end - start).max(1))


def _extents(count: int, xy: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) each, the least and the largest coordinates of the labelled keypoints; infinite where there is none."""
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, of, xy)
    np.maximum.at(high, of, xy)
    return low, high


def _overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) IoU of boxes given as corners, 0 where one has no extent."""
    shared = (np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])).clip(0).prod(1)
    area = sum((box[:, 2:] - box[:, :2]).clip(0).prod(1) for box in (one, other))
    return shared / np.maximum(area - shared, 1e-9)


def bits_of(pictures: Iterable[PictureFacts]) -> int | None:
    """The most bits per channel that a deep picture needs; None where there is no such picture."""
    return max((facts.bits for facts in pictures if facts.bits is not None), default=None)


def picture_notes(pictures: Mapping[str, PictureFacts], orientation: Orientation) -> Iterator[str]:
    """What must be known of how the pictures of a dataset are read."""
    if tagged := [path for path, facts in pictures.items() if facts.orientation != 1]:
        handling = "turned as it says" if orientation == "displayed" else "not turned (option 'orientation: displayed')"
        first = f"{clipped(tagged[0])} with tag {pictures[tagged[0]].orientation}"
        yield f"Pictures with an orientation tag, {handling}: {len(tagged)}, the first is {first}."
    if deep := [path for path, facts in pictures.items() if facts.bits is not None]:
        bits = bits_of(pictures.values())
        yield (
            f"Pictures of more than 8 bits per channel, whose {bits} bits are scaled to 8: {len(deep)}, "
            f"the first is {clipped(deep[0])}."
        )
    if remarked := [path for path, facts in pictures.items() if facts.remark]:
        remark = pictures[remarked[0]].remark
        yield f"Pictures that the decoder remarks on: {len(remarked)}, the first is {clipped(remarked[0])}: {remark}."

"""What the categories promise: sound skeletons, left on the left, and figures that are whole."""

from __future__ import annotations

import numpy as np
import pytest

from menagerie import CATEGORIES, categories
from menagerie.camera import Camera, view_axes
from menagerie.coats import Paint
from menagerie.figure import NORMAL, XYZ, Figure
from menagerie.kinds.face import NAMES as FACE_NAMES
from menagerie.sets import SETS
from menagerie.skeleton import Kind

ALL = {f"{name}-{kind.category.key}": kind for name, kinds in SETS.items() for kind in kinds}
SYMMETRIC = {key: kind for key, kind in ALL.items() if kind.category.flip_pairs}


def test_there_are_enough_species_families_and_skeletons() -> None:
    quadrupeds, mixed = CATEGORIES["quadrupeds"], CATEGORIES["mixed"]
    assert len(quadrupeds) >= 12
    assert len({c.family for c in quadrupeds}) >= 4
    assert len({c.keypoints for c in quadrupeds}) == 1
    assert len({c.keypoints for c in mixed}) >= 20
    assert len({c.family for c in mixed}) >= 6
    sizes = [len(c.keypoints) for c in mixed]
    assert (min(sizes), max(sizes)) == (8, 68)
    assert any(not c.flip_pairs for c in mixed)


def test_quadrupeds_have_the_skeleton_of_ap_10k() -> None:
    """Counted from 1, as its file has it."""
    category = CATEGORIES["quadrupeds"][0]
    links = "1-2 1-3 2-3 3-4 4-5 4-6 6-7 7-8 4-9 9-10 10-11 5-12 12-13 13-14 5-15 15-16 16-17"
    assert [f"{one + 1}-{other + 1}" for one, other in category.limbs] == links.split()
    pairs = "1/2 6/9 7/10 8/11 12/15 13/16 14/17"
    assert [f"{one + 1}/{other + 1}" for one, other in category.flip_pairs] == pairs.split()
    assert category.keypoints[3:5] == ("neck", "root_of_tail")
    assert [category.keypoints[i] for i in category.upper_body][-1] == "right_front_paw"


def test_an_unknown_set_is_refused_with_the_choices() -> None:
    with pytest.raises(LookupError, match=r"quadrupeds, mixed.*'zoo'"):
        categories("zoo")


@pytest.mark.parametrize("name", list(CATEGORIES))
def test_keys_are_unique_in_a_set(name: str) -> None:
    keys = [c.key for c in CATEGORIES[name]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("kind", ALL.values(), ids=ALL.keys())
def test_a_skeleton_is_consistent(kind: Kind) -> None:
    category = kind.category
    count = len(category.keypoints)
    assert len(set(category.keypoints)) == count == len(category.sigmas)
    assert all(0 <= i < count for pair in (*category.limbs, *category.flip_pairs) for i in pair)
    assert all(one != other for one, other in category.limbs)
    assert sorted(category.flip_index()) == list(range(count))
    flipped = category.flip_index()
    assert [flipped[i] for i in flipped] == list(range(count))
    for one, other in category.flip_pairs:
        assert category.keypoints[one].removeprefix("left") == category.keypoints[other].removeprefix("right")


@pytest.mark.parametrize("kind", ALL.values(), ids=ALL.keys())
def test_a_figure_marks_its_skeleton_and_is_finite(kind: Kind) -> None:
    figure = kind.build(np.random.default_rng(3))
    assert np.isfinite(figure.keypoints(kind.category.keypoints)).all()
    for surface in figure.surfaces:
        assert np.isfinite(surface).all()
        assert np.linalg.norm(surface[..., NORMAL], axis=-1).max() < 1.01


@pytest.mark.parametrize("kind", SYMMETRIC.values(), ids=SYMMETRIC.keys())
def test_left_keypoints_lie_to_the_figures_own_left(kind: Kind) -> None:
    """Limbs may cross for a moment, so the median of the pairs counts."""
    category = kind.category
    for seed in range(8):
        at = kind.build(np.random.default_rng(seed)).keypoints(category.keypoints)[:, :3]
        left = own_left(dict(zip(category.keypoints, at, strict=True)))
        distances = [(at[one] - at[other]) @ left for one, other in category.flip_pairs]
        assert np.median(distances) > 0


def own_left(at: dict[str, np.ndarray]) -> np.ndarray:
    """The y axis; for four-legged animals, which also lie on their sides, as it follows from trunk and legs."""
    if "root_of_tail" not in at:
        return np.array([0.0, 1.0, 0.0])
    sides = ("left", "right")
    above = sum(at[f"{side}_{joint}"] for side in sides for joint in ("shoulder", "hip"))
    below = sum(at[f"{side}_{joint}"] for side in sides for joint in ("elbow", "knee"))
    return np.cross(above - below, at["neck"] - at["root_of_tail"])


def test_what_is_left_of_a_figure_that_faces_the_camera_is_right_in_the_picture() -> None:
    facing, behind = (
        Camera(view_axes(azimuth, 0.2, 0.0), np.zeros(3), 5.0, 100.0, np.full(2, 50.0)) for azimuth in (0.0, np.pi)
    )
    left, right, top, bottom = np.array([0, 1, 0]), np.array([0, -1, 0]), np.array([0, 0, 1]), np.array([0, 0, -1])
    assert facing.project(left)[0] > facing.project(right)[0]
    assert behind.project(left)[0] < behind.project(right)[0]
    assert facing.project(top)[1] < facing.project(bottom)[1]
    assert np.linalg.det(view_axes(1.0, 0.5, 0.3)) == pytest.approx(1)


def test_the_faces_68_names_stand_in_the_ibug_order() -> None:
    places = {0: "right_jaw_1", 8: "chin", 16: "left_jaw_1", 17: "right_brow_1", 26: "left_brow_1", 30: "nose_tip"}
    places |= {36: "right_eye_outer", 39: "right_eye_inner", 42: "left_eye_inner", 45: "left_eye_outer"}
    places |= {48: "right_lip_1", 51: "upper_lip", 54: "left_lip_1", 57: "lower_lip", 60: "right_mouth_1"}
    assert {i: FACE_NAMES[i] for i in places} == places


def test_surfaces_face_outwards() -> None:
    figure = Figure()
    figure.tube([(-1, 0, 0), (0, 0, 0), (1, 0, 0)], 0.3, Paint((100, 100, 100)))
    figure.ball((0, 0, 0), (1.0, 0.5, 0.4), Paint((100, 100, 100)))
    for surface in figure.surfaces:
        outwards = (surface[..., XYZ] * surface[..., NORMAL]).sum(-1)
        assert (outwards > 0).mean() > 0.98

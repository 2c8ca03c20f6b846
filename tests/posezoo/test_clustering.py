"""Groups of points: what k-medoids promises, whatever the points are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.blocks import clustering
from posezoo.blocks.clustering import cosine_distance, hops, k_means, k_medoids
from posezoo.blocks.keypoint_groups import KeypointGroups

QUADRUPED = Category(
    "cow",
    "cow",
    ("nose", "neck", "tail", "left knee", "left hoof", "right knee", "right hoof"),
    limbs=((0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (5, 6)),
)
seeds = st.integers(0, 2**32)


def points(seed: int, batch: int = 3, count: int = 9) -> Tensor:
    drawn = torch.randn(batch, count, 4, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=2)


def longest(batch: int = 3) -> Tensor:
    return torch.zeros(batch, dtype=torch.int64)


@settings(deadline=None)
@given(seeds, st.integers(1, 9))
def test_every_medoid_is_the_best_of_its_group_and_no_group_is_empty(seed: int, count: int) -> None:
    distance = cosine_distance(points(seed))
    group, medoids = k_medoids(distance, longest(), count)
    for one in range(3):
        assert group[one].unique().tolist() == list(range(count))
        assert (medoids[one].diff() > 0).all()
        for part, medoid in enumerate(medoids[one].tolist()):
            members = (group[one] == part).nonzero()[:, 0]
            sums = distance[one][members][:, members].sum(1)
            assert medoid in members and sums[members == medoid] <= sums.min() + 1e-5


@settings(deadline=None)
@given(seeds)
def test_a_picture_s_groups_do_not_depend_on_its_batch(seed: int) -> None:
    distance = cosine_distance(points(seed))
    together, _ = k_medoids(distance, longest(), 4)
    for one in range(3):
        assert torch.equal(together[one], k_medoids(distance[one : one + 1], longest(1), 4)[0][0])


def test_points_that_coincide_leave_no_group_empty() -> None:
    group, _ = k_medoids(torch.zeros(1, 5, 5), longest(1), 3)
    assert group.unique().tolist() == [0, 1, 2]


@settings(deadline=None)
@given(seeds)
def test_k_means_puts_every_point_to_the_nearest_mean(seed: int) -> None:
    drawn = points(seed)
    group = k_means(drawn, longest(), 3)
    means = functional.normalize(functional.one_hot(group, 3).float().mT @ drawn, dim=2)
    nearest = (drawn @ means.mT).max(2).values
    own = (drawn * means.take_along_dim(group[..., None], 1)).sum(2)
    torch.testing.assert_close(own, nearest)


@settings(deadline=None)
@given(seeds, st.integers(1, 9))
def test_rounds_that_go_on_after_groups_have_settled_change_nothing(seed: int, count: int) -> None:
    drawn = points(seed)
    distance = cosine_distance(drawn)
    stopped = (*k_medoids(distance, longest(), count), k_means(drawn, longest(), count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "may_follow_data", lambda tensor: False)
        whole = (*k_medoids(distance, longest(), count), k_means(drawn, longest(), count))
    assert all(torch.equal(one, other) for one, other in zip(stopped, whole, strict=True))


def test_hops_count_links_and_stay_large_where_none_leads() -> None:
    links = torch.zeros(4, 4)
    links[0, 1] = links[1, 0] = links[1, 2] = links[2, 1] = 1
    assert hops(links).tolist() == [[0, 1, 2, 4], [1, 0, 1, 4], [2, 1, 0, 4], [4, 4, 4, 0]]


def test_groups_on_the_skeleton_are_connected() -> None:
    groups = KeypointGroups("skeleton", 3, Setting((32, 32), 8, (QUADRUPED,)))
    (actual,) = groups(torch.zeros(1, 8, 4, 4), torch.tensor([0])).tolist()
    names = [{name for name, g in zip(QUADRUPED.keypoints, actual, strict=False) if g == part} for part in range(3)]
    assert {"left knee", "left hoof"} in names and {"right knee", "right hoof"} in names


def test_slices_that_are_alike_become_one_part() -> None:
    slices = torch.rand(2, 7, 8, 8, generator=torch.Generator().manual_seed(0))
    slices[:, 3] = 3 * slices[:, 1]
    groups = KeypointGroups("k-medoids", 6, Setting((32, 32), 7, (QUADRUPED,)))
    actual = groups(slices, torch.tensor([0, 0]))
    assert torch.equal(actual[:, 3], actual[:, 1])


def test_more_parts_than_keypoints_are_refused() -> None:
    with pytest.raises(ValueError, match=r"parts must be at most .* 8 where category 'cow' has 7; choose 0 to 7"):
        KeypointGroups("k-medoids", 8, Setting((32, 32), 9, (QUADRUPED,)))


def test_a_skeleton_without_links_makes_no_groups() -> None:
    with pytest.raises(ValueError, match="links between keypoints, but category 'dot' has none"):
        KeypointGroups("skeleton", 1, Setting((32, 32), 1, (Category("dot", "dot", ("dot",)),)))

"""Mixed keypoints: where they lie, what they are chained to, who is next to whom, and the published code's numbers."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from parity_adapters.case import drawn
from posebed.contracts import Setting
from posebed.pose import Keypoints
from posebed.records import Category
from posezoo.blocks.keypoint_padding import KeypointPadding, Mode, Padding, in_order
from posezoo.blocks.neighbours import nearest_on_graph, picked

TRIANGLE = Category("triangle", "triangle", tuple("abc"), limbs=((0, 1), (1, 2), (2, 0)))
CHAIN = Category("chain", "chain", tuple("abcde"), limbs=((0, 1), (1, 2), (2, 3), (3, 4)))
LOOSE = Category("loose", "loose", tuple("abcd"))
CATEGORIES = (TRIANGLE, CHAIN, LOOSE)
SLOTS = 12
SETTING = Setting((64, 64), 5, CATEGORIES)
MODES: tuple[Mode, ...] = ("mixup", "equal", "zero")
ALL = torch.arange(len(CATEGORIES))


def points(seed: int, pictures: int = 2) -> Keypoints:
    xy = torch.rand(len(CATEGORIES), pictures, 5, 2, generator=torch.Generator().manual_seed(seed))
    real = torch.arange(5) < torch.tensor([len(c.keypoints) for c in CATEGORIES])[:, None]
    return Keypoints(xy, real[:, None].float().expand(-1, pictures, -1).clone())


@pytest.mark.parametrize("mode", MODES)
def test_mixed_points_lie_on_links_at_the_same_share_in_every_picture(mode: Mode) -> None:
    padding = KeypointPadding(SETTING, SLOTS)(ALL, mode)
    real = points(0)
    filled = padding.fill(real)
    assert filled.xy.shape == (3, 2, SLOTS, 2)
    torch.testing.assert_close(filled.xy[:, :, :3], real.xy[:, :, :3], rtol=0, atol=0)
    for b, category in enumerate(CATEGORIES):
        for slot in padding.mixed[b].nonzero()[:, 0].tolist():
            ends = tuple(padding.ends[b, slot].tolist())
            assert ends in category.limbs and slot >= len(category.keypoints)
            share, (near, far) = padding.share[b, slot], (real.xy[b, :, end] for end in ends)
            torch.testing.assert_close(filled.xy[b, :, slot], share * near + (1 - share) * far)


def test_all_slots_are_mixed_equally_many_on_each_link_or_none() -> None:
    padding = KeypointPadding(SETTING, SLOTS)
    assert padding(ALL, "mixup").mixed.sum(1).tolist() == [9, 7, 0]
    assert padding(ALL, "equal").mixed.sum(1).tolist() == [9, 4, 0]
    assert padding(ALL, "zero").mixed.sum(1).tolist() == [0, 0, 0]
    triangle = padding(ALL, "equal").share[0, 3:]
    torch.testing.assert_close(triangle.sort().values, torch.tensor([0.25] * 3 + [0.5] * 3 + [0.75] * 3))


def test_a_mixed_point_is_visible_where_both_its_ends_are() -> None:
    padding, shown = KeypointPadding(SETTING, SLOTS)(ALL, "equal"), points(0)
    shown.weight[0, 1, 2] = 0
    visible = padding.fill(shown).weight[0]
    assert visible[0].all()
    hidden = (padding.ends[0] == 2).any(1)
    assert torch.equal(visible[1] == 0, hidden) and hidden.sum() == 7


def test_a_full_skeleton_is_not_mixed() -> None:
    padding = KeypointPadding(Setting((64, 64), 5, (CHAIN,)), 5)
    one = torch.zeros(1, dtype=torch.int64)
    for mode in MODES:
        assert not padding(one, mode).mixed.any()


def test_training_draws_anew_for_each_sample_and_evaluation_never() -> None:
    padding, twice = KeypointPadding(SETTING, SLOTS), torch.tensor([1, 1])
    torch.manual_seed(0)
    first, second = padding(twice, "mixup"), padding(twice, "mixup")
    torch.manual_seed(0)
    torch.testing.assert_close(padding(twice, "mixup").share, first.share, rtol=0, atol=0)
    assert not torch.equal(first.share[0], first.share[1]) and not torch.equal(first.share, second.share)
    padding.eval()
    before = torch.get_rng_state()
    one, other = padding(twice, "mixup"), padding(ALL, "mixup")
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.share[0], one.share[1]) and torch.equal(one.share[0], other.share[1])


@pytest.mark.parametrize("reverse", [False, True])
def test_a_chain_runs_along_its_link_unless_it_is_reversed(reverse: bool) -> None:
    setting = Setting((64, 64), 2, (Category("bar", "bar", ("a", "b"), limbs=((0, 1),)),))
    padding = KeypointPadding(setting, 6, reverse=reverse)(torch.zeros(1, dtype=torch.int64), "mixup")
    place = padding.fill(Keypoints(torch.tensor([[[[0.0, 0], [1, 0]]]]), torch.ones(1, 1, 2))).xy[0, 0, :, 0]
    chained = padding.links[0].isfinite()
    chained[0, 1] = chained[1, 0] = False
    a, b = chained.triu().nonzero().unbind(1)
    length = (place[a] - place[b]).abs().sum()
    assert len(a) == 5
    assert (length > 1.01) if reverse else torch.isclose(length, torch.tensor(1.0))


def test_no_keypoint_may_be_without_a_slot() -> None:
    with pytest.raises(ValueError, match=r"slots must be 5 or more.*but are 4"):
        KeypointPadding(SETTING, 4)


def searched(links: Sequence[tuple[int, int]], visible: Sequence[bool], start: int, count: int) -> list[int]:
    """Breadth-first search as a textbook has it."""
    adjacent: dict[int, list[int]] = defaultdict(list)
    for a, b in links:
        adjacent[a].append(b)
        adjacent[b].append(a)
    reached, queue = [start], deque([start])
    while queue:
        at = queue.popleft()
        for other in adjacent[at] if visible[at] else ():
            if other not in reached:
                reached.append(other)
                queue.append(other)
    return [*reached, *[start] * count][:count]


def ordered(links: Sequence[tuple[int, int]], slots: int) -> Tensor:
    table = torch.full((slots, slots), torch.inf)
    for order, (a, b) in reversed([*enumerate(links)]):
        table[a, b] = table[b, a] = order
    return table


pairs = st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] != pair[1])


@settings(deadline=None)
@given(st.lists(pairs, max_size=12), st.lists(st.booleans(), min_size=7, max_size=7), st.integers(1, 9))
def test_neighbours_are_those_of_a_textbook_s_search(
    links: list[tuple[int, int]], visible: list[bool], count: int
) -> None:
    lists = nearest_on_graph(ordered(links, 7)[None], torch.tensor([visible]), count)
    assert lists[0].tolist() == [searched(links, visible, start, count) for start in range(7)]


def test_lists_of_neighbours_pick_their_points() -> None:
    some = torch.rand(2, 4, 2)
    lists = torch.randint(4, (2, 4, 3))
    assert torch.equal(picked(some, lists)[1, 2, 0], some[1, lists[1, 2, 0]])


FUNCTIONS = ("f0", "f1", "f2", "f3")


def stated(folder: Path, name: str, mode: str) -> tuple[Padding, Keypoints, np.lib.npyio.NpzFile]:
    """The case's padding from its draws. What it leaves out with some probability is without a link here."""
    case: dict[str, Any] = json.loads((folder / "functions.json").read_text())["cases"][name]
    numbers = np.load(folder / "functions.npz")
    count, slots = case["Kc"], case["K"]
    names, limbs = tuple(map(str, range(count))), tuple(map(tuple, case["skeleton"]))
    setting = Setting((256, 256), count, (Category("c", "c", names, limbs=limbs),))
    padding, one = KeypointPadding(setting, slots, reverse=True), torch.zeros(1, dtype=torch.int64)
    link, share = torch.full((1, slots), -1), torch.from_numpy(numbers[f"{name}/lam"])[None].float()
    if mode == "mixup":
        link[0, count:] = torch.from_numpy(numbers[f"{name}/selected"])[: slots - count]
        link, share = in_order(link, share)
    elif mode == "eqdiv":
        each = (slots - count) // len(limbs)
        link[0, count : count + each * len(limbs)] = torch.arange(each * len(limbs)) // each if each else 0
        share = padding(one, "equal").share
    kept = torch.from_numpy(numbers[f"{name}/nonzero"])
    padded = padding.along(one, torch.where(kept | (mode == "zero"), link, -1), share)
    xy, hide = (drawn(draw) for draw in case["draws"])
    return padded, Keypoints(xy[None, None, :count], (hide >= case["hide"])[None, None].float()), numbers


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("mode", ["mixup", "eqdiv", "zero"])
def test_points_and_neighbours_are_the_published_code_s(name: str, mode: str, parity: Callable[[str], Path]) -> None:
    padding, keypoints, numbers = stated(parity("fmmp"), name, mode)
    filled = padding.fill(keypoints)
    visible = filled.weight > 0
    expected = numbers[f"{name}/{mode}.visible"]
    np.testing.assert_array_equal(visible[0, 0], expected)
    np.testing.assert_allclose(filled.xy[0, 0][expected], numbers[f"{name}/{mode}.points"][expected], atol=1e-6)
    lists = padding.neighbours(visible, 16, hidden_too=True)
    np.testing.assert_array_equal(lists[0, 0], numbers[f"{name}/{mode}.head_ref"][0])

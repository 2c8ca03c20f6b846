"""The one sentence of what is sure."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from posebed.reporting.sure import NAMED, NOTHING, what_is_sure

Signs = list[list[int]]


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[str], set[int], Signs]:
    """Names of runs, which of them are floors, and of each pair which is surely better, if any."""
    count = draw(st.integers(1, 8))
    signs = [[0] * count for _ in range(count)]
    for i in range(count):
        for j in range(i):
            signs[i][j] = draw(st.sampled_from([0, 0, 1, -1]))
            signs[j][i] = -signs[i][j]
    return [f"r{i}" for i in range(count)], draw(st.sets(st.integers(0, count - 1), max_size=2)), signs


def named_pairs(sentence: str) -> set[tuple[int, int]]:
    """Places of the better run and of the worse one."""
    pairs: set[tuple[int, int]] = set()
    places = {"left": 0, "right": 0}
    for clause in sentence.removesuffix(".").split("; "):
        form = re.fullmatch(
            r"(?P<left>.*?) (?:is|are) (?P<no>not )?surely better than (?P<right>.*?)"
            r"(?P<but>, but not than .*)?(?:, and (?P<worse>.*?) (?:is|are) surely worse)?",
            clause,
        )
        if form is None:
            continue
        runs = {name: [int(n) for n in re.findall(r"\br(\d+)", form[name] or "")] for name in (*places, "worse")}
        if not form["no"] and form["left"] != "no run":
            pairs |= {(i, j) for i in runs["left"] for j in runs["right"]}
        pairs |= {(j, i) for i in runs["worse"] for j in runs["right"]}
    return pairs


@given(sides())
def test_no_run_is_called_surely_better_where_that_is_not_sure(of: tuple[list[str], set[int], Signs]):
    names, floors, signs = of
    sentence = what_is_sure(names, floors, lambda i, j: signs[i][j])
    named = named_pairs(sentence)
    assert all(signs[i][j] == 1 for i, j in named), sentence
    assert sentence.endswith(".") and ". " not in sentence
    sure = any(1 in row for row in signs)
    assert bool(named) == sure, "says plainly where nothing is sure, and names a pair where one is"
    assert (sentence == NOTHING) == (len(names) > 1 and not sure)


@given(sides())
def test_what_is_sure_against_the_best_floor_and_of_the_best_run_is_named(of: tuple[list[str], set[int], Signs]):
    names, floors, signs = of
    named = named_pairs(what_is_sure(names, floors, lambda i, j: signs[i][j]))
    seeing = [i for i in range(len(names)) if i not in floors]
    if floors and seeing:
        above = [i for i in seeing if signs[i][min(floors)] == 1]
        assert {(i, min(floors)) for i in above[:NAMED]} <= named
    if seeing:
        beaten = [i for i in seeing if signs[seeing[0]][i] == 1]
        assert {(seeing[0], i) for i in beaten[:NAMED]} <= named


def test_the_sentence_reads_well():
    names, floors = ["kitpose", "fmmp", "hrnet", "floor"], {3}

    def sentence(*sure: tuple[str, str]) -> str:
        pairs = {(names.index(a), names.index(b)) for a, b in sure}
        return what_is_sure(names, floors, lambda i, j: ((i, j) in pairs) - ((j, i) in pairs))

    assert sentence() == "Nothing is sure: no two runs are separated."
    assert sentence(("kitpose", "floor"), ("fmmp", "floor"), ("floor", "hrnet"), ("kitpose", "hrnet")) == (
        "kitpose and fmmp are surely better than the floor floor, and hrnet is surely worse; "
        "kitpose is surely better than hrnet, but not than fmmp."
    )
    assert sentence(("fmmp", "hrnet")) == (
        "no run is surely better than the floor floor; kitpose, the highest, is not surely better than fmmp or hrnet; "
        "fmmp is surely better than hrnet."
    )
    many = [f"run{i}" for i in range(9)]
    assert what_is_sure(many, set(), lambda i, j: (i < j) - (j < i)) == (
        "run0 is surely better than run1, run2, run3, run4 and 4 more."
    )
    assert what_is_sure(many[:6], set(), lambda i, j: (i < j) - (j < i)) == (
        "run0 is surely better than run1, run2, run3, run4 and run5."
    )
    assert what_is_sure(["alone"], set(), lambda i, j: 0).startswith("Nothing is sure: there is one run")

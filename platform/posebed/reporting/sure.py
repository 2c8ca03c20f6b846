"""What is sure of runs side by side, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

NAMED = 4
"""Runs that a list in the sentence names; two or more further ones are counted."""
NOTHING = "Nothing is sure: no two runs are separated."


def what_is_sure(names: Sequence[str], floors: Collection[int], sign: Callable[[int, int], int]) -> str:
    """Return which runs are surely better than the best floor, and which runs the best one is surely better than.

    Args:
        names: of the runs, the highest first.
        floors: places of the runs that ignore the picture.
        sign: from the places of two runs, 1 where the first is surely better, -1 where it is surely worse, else 0.
    """
    if len(names) < 2:
        return "Nothing is sure: there is one run, and none to compare it with."
    places = range(len(names))
    best, *rivals = [i for i in places if i not in floors] or places
    floor = min(floors) if floors and best not in floors else None
    above = [names[i] for i in (best, *rivals) if floor is not None and sign(i, floor) > 0]
    below = [names[i] for i in (best, *rivals) if floor is not None and sign(i, floor) < 0]
    beaten = [names[i] for i in rivals if sign(best, i) > 0]
    level = [names[i] for i in rivals if names[i] not in beaten]
    clauses = [] if floor is None else [against_floor(above, below, names[floor])]
    if rivals:
        clauses.append(_of_best(names[best], beaten, level))
    if not (above or below or beaten):
        pairs = ((i, [names[j] for j in places if sign(i, j) > 0]) for i in places)
        run, worse = next(((i, worse) for i, worse in pairs if worse), (None, []))
        if run is None:
            return NOTHING
        clauses.append(_better(names[run], worse))
    return "; ".join(clauses) + "."


def against_floor(above: Sequence[str], below: Sequence[str], floor: str) -> str:
    """Which runs are above the floor and which below, as a clause."""
    runs = f"{_listed(above)} {_be(above)}" if above else "no run is"
    worse = f", and {_listed(below)} {_be(below)} surely worse" if below else ""
    return f"{runs} surely better than the floor {floor}{worse}"


def _of_best(best: str, beaten: Sequence[str], level: Sequence[str]) -> str:
    if not beaten:
        return f"{best}, the highest, is not surely better than {_listed(level, 'or')}"
    return _better(best, beaten) + (f", but not than {_listed(level, 'or')}" if level else "")


def _better(run: str, worse: Sequence[str]) -> str:
    return f"{run} is surely better than {_listed(worse)}"


def _be(runs: Sequence[str]) -> str:
    return "is" if len(runs) == 1 else "are"


def _listed(runs: Sequence[str], last_by: str = "and") -> str:
    counted = [f"{len(runs) - NAMED} more"] if len(runs) > NAMED + 1 else []
    *first, last = [*runs[:NAMED], *counted] if counted else runs
    return f"{', '.join(first)} {last_by} {last}" if first else last

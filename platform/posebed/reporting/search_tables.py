"""Searches side by side: what each spent, what it gained over the run's own setting, and what went wrong. Which of them
compare is decided here; how they look is left to the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from posebed.reporting.figures import Figure
from posebed.reporting.formats import flat, slug
from posebed.reporting.search_figures import BUDGETS, best_so_far, budgets, search_figures
from posebed.reporting.table_text import Line
from posebed.reporting.trace import Facts
from posebed.scoring.search_result import SearchResult, Trial, spent

TRIALS = 50
"""Trials of a search that the page lists, the best."""
DRAWN = 12
"""Searches that share a figure."""
FAULT_LINES = 8
"""Lines on what went wrong with a search."""
ENDS = {"complete": "finished", "pruned": "stopped early", "failed": "failed"}
"""States of trials in words."""
_NAMED = 6  # trials that a line names, before it counts them


@dataclass(frozen=True)
class SearchEntry:
    """One search, as the page shows it."""

    search: SearchResult
    figures: Sequence[Figure]

    @cached_property
    def own_setting(self) -> Trial:
        """The trial of the run's own setting, which is the first that was made here."""
        return min(self.search.own, key=lambda trial: trial.number)

    @cached_property
    def best(self) -> Trial:
        return self.search.best

    @cached_property
    def spent(self) -> Mapping[str, float]:
        return spent(self.search.own)

    def gain(self) -> float | None:
        """Best validation less that of the run's own setting; None where that was not seen to its end."""
        own = self.own_setting
        if own.state != "complete" or own.validation is None or self.best.validation is None:
            return None
        return self.best.validation - own.validation

    def ends(self) -> dict[str, int]:
        """How many trials ended in which way."""
        states = [trial.state for trial in self.search.own]
        return {word: states.count(state) for state, word in ENDS.items()}

    def changed(self) -> list[tuple[str, str, str]]:
        """Parameters in which the best trial differs from the run's own setting: name, own value and best value."""
        own, best = self.own_setting.params, self.best.params
        names = [name for name in self.search.space if own.get(name) != best.get(name)]
        return [(name, written(own.get(name)), written(best.get(name))) for name in names]

    def faults(self) -> list[str]:
        """A line for each thing that went wrong, with the trials that it befell."""
        befell: dict[str, list[int]] = {}
        for trial in self.search.own:
            failed = [f" failed: {trial.failed}"] if trial.state == "failed" else []
            for line in [*failed, *(f": {note}" for note in trial.notes)]:
                befell.setdefault(line, []).append(trial.number)
        return [f"{_trials(numbers)}{line}" for line, numbers in befell.items()]

    def ranked(self) -> list[Trial]:
        """Trials for a table: finished ones first, then those that were stopped, each the best first."""
        order = list(ENDS)
        return sorted(self.search.own, key=lambda t: (order.index(t.state), -(t.validation or 0), t.number))

    @cached_property
    def in_words(self) -> frozenset[str]:
        """Parameters whose values are no numbers, and so are sorted as text."""
        tried = [item for trial in self.search.own for item in trial.params.items()]
        return frozenset(name for name, v in tried if isinstance(v, bool) or not isinstance(v, int | float))


@dataclass(frozen=True)
class SearchGroup:
    """Searches of one split, whose validations compare; the best first."""

    entries: Sequence[SearchEntry]
    figures: Sequence[Figure]

    def title(self) -> str:
        search = self.entries[0].search
        return f"Searches on {search.data}, split {search.split}"

    def families(self) -> list[str]:
        return sorted({entry.search.task.replace("_", "-") for entry in self.entries})

    def budget(self) -> str:
        """Whether all could spend the same, in words."""
        given = [(entry.search.key, budget_in_words(entry.search)) for entry in self.entries]
        if len(given) == 1:
            return f"The budget: {given[0][1]}."
        if len({words for _, words in given}) == 1:
            return f"Equal budgets: {given[0][1]} each."
        return (
            f"Unequal budgets: {'; '.join(f'{key} {words}' for key, words in given)}. "
            "Compare them where they had spent the same."
        )

    def level(self) -> dict[str, list[float | None]]:
        """What each search had reached when all had spent the same, by what that was, in words."""
        rows: dict[str, list[float | None]] = {}
        for budget in BUDGETS if len(self.entries) > 1 else ():
            least = min(entry.spent[budget] for entry in self.entries)
            rows[f"{least:,.0f} {budget.replace('_', '-')}"] = [
                max((v for at, v in best_so_far(e.search.own, budget) if at <= least * (1 + 1e-9)), default=None)
                for e in self.entries
            ]
        return rows


def search_groups(searches: Sequence[SearchResult]) -> list[SearchGroup]:
    """Searches by the part that they were judged on, and by what.

    Raises:
        LookupError: a search has no finished trial.
    """

    def place(search: SearchResult) -> tuple[str, str, str]:
        return search.data, search.split, search.judged_by

    groups = [list(of) for _, of in groupby(sorted(searches, key=lambda s: (place(s), s.key)), place)]
    return [_group(sorted(of, key=lambda s: -(s.best.validation or 0))) for of in groups]


def _group(searches: Sequence[SearchResult]) -> SearchGroup:
    together = [budgets(searches[:DRAWN], budget) for budget in BUDGETS]
    return SearchGroup(
        [SearchEntry(search, search_figures(search)) for search in searches], [figure for figure in together if figure]
    )


def search_figure_files(groups: Sequence[SearchGroup]) -> dict[str, tuple[str, Sequence[Figure]]]:
    """By the start of their files' names, what figures are of, and the figures."""
    return {
        **{f"searches-{i}": (group.title(), group.figures) for i, group in enumerate(groups, 1)},
        **{slug(e.search.key): (e.search.key, e.figures) for group in groups for e in group.entries},
    }


def budget_in_words(search: SearchResult) -> str:
    """What the search could spend: ``64 trials``, or ``64 trials or 800 device-seconds``."""
    limits: Mapping[str, float | None] = search.settings["budget"]
    return " or ".join(f"{limit:,g} {name.replace('_', '-')}" for name, limit in limits.items() if limit)


def written(value: object) -> str:
    """A parameter's value, short."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _trials(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    if len(numbers) > _NAMED:
        return f"{len(numbers)} trials from {min(numbers)} to {max(numbers)}"
    *others, last = map(str, sorted(numbers))
    return f"trials {', '.join(others)} and {last}"


def search_trace(search: SearchResult) -> dict[str, Facts]:
    """Everything that the numbers of a search depend on, by heading."""
    settings = {
        name: value for name, value in search.settings.items() if name not in ("budget", "epochs", "warm_start")
    }
    used = spent(search.own)
    learnt = [trial for trial in search.trials if trial.source]
    return {
        "Search": [
            ("study", search.study),
            ("model", search.model),
            ("task", search.task.replace("_", "-")),
            ("data", search.data),
            ("split", search.split),
            ("pack", search.pack),
            ("seed", str(search.seed)),
            ("second objective", search.cost or "none"),
            *flat(settings),
            ("epochs of a trial", str(search.settings["epochs"])),
            ("workers of a trial", str(search.workers)),
            (
                "learnt from",
                f"{len(learnt)} trials of {', '.join({t.source: 0 for t in learnt})}" if learnt else "none",
            ),
            ("budget", budget_in_words(search)),
            *((f"{name.replace('_', '-')} spent", f"{value:,.6g}") for name, value in used.items()),
        ],
        "Space": list(search.space.items()),
        "Best trial": [
            ("trial", str(search.best.number)),
            (f"validation {search.judged_by}", f"{search.best.validation:.4f}"),
            *((name, str(value)) for name, value in search.best.params.items()),
        ],
        "Origin": list(search.origin.items()),
    }


def search_lines(groups: Sequence[SearchGroup]) -> list[Line]:
    """One line for each search."""
    return [_line(entry) for group in groups for entry in group.entries]


def _line(entry: SearchEntry) -> Line:
    search, own, best = entry.search, entry.own_setting, entry.best
    return {
        **{name: getattr(search, name) for name in ("data", "split", "pack", "task")},
        **{"search": search.key, "model": search.model, "study": search.study},
        "budget": budget_in_words(search),
        **entry.spent,
        **entry.ends(),
        "own validation": own.validation,
        "best validation": best.validation,
        "gain": entry.gain(),
        "best trial": best.number,
        **({search.cost: best.cost} if search.cost else {}),
        "changed": "; ".join(f"{name}: {old} to {new}" for name, old, new in entry.changed()),
        "faults": "; ".join(entry.faults()),
        "seed": search.seed,
        **{name: search.origin.get(name) for name in ("commit", "fingerprint")},
    }


def trial_lines(groups: Sequence[SearchGroup]) -> list[Line]:
    """One line for each trial that a search made, in the order in which they ended."""
    searches = [entry.search for group in groups for entry in group.entries]
    return [_trial_line(search, trial) for search in searches for trial in search.own]


def _trial_line(search: SearchResult, trial: Trial) -> Line:
    whole = {name: str(v) if isinstance(v, list | tuple) else v for name, v in trial.params.items()}
    return {
        **{"search": search.key, "model": search.model, "trial": trial.number, "state": trial.state},
        **{"validation": trial.validation, "epochs": trial.epochs, "device_seconds": trial.device_seconds},
        **({search.cost: trial.cost} if search.cost else {}),
        **{"started": trial.started, "ended": trial.ended, "failed": trial.failed, "notes": " ".join(trial.notes)},
        **whole,
    }

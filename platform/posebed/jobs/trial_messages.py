"""What a search gives a trial, and what the trial reports: Ray Tune carries both as dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from posebed.experiment import Experiment
from posebed.jobs.room import Share
from posebed.jobs.workplace import Workplace


def trial_name(number: int) -> str:
    return f"trial-{number}"


@dataclass(frozen=True)
class Assignment:
    """What a trial is given."""

    experiment: Experiment
    number: int
    workplace: Workplace
    study: str
    """Its name."""
    share: Share
    """Of each worker."""
    cost: str | None
    """Name of the second objective."""
    variables: Mapping[str, str]
    """Of the environment."""

    @property
    def name(self) -> str:
        """Of the trial, among those of its study."""
        return trial_name(self.number)

    def for_tune(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_tune(cls, config: Mapping[str, Any]) -> Assignment:
        return cls(**{field.name: config[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Report:
    """What a trial tells after a validation, of its cost, or when it fails."""

    epoch: int | None = None
    validation: float | None = None
    seconds: float | None = None
    """Since its last report; None where the search takes the time."""
    cost: float | None = None
    notes: tuple[str, ...] = ()
    """What went wrong and did not stop it."""
    failed: str = ""
    """Why, in one line."""
    done: bool = False
    """Whether it is at its end."""

    def for_tune(self) -> dict[str, Any]:
        """What differs from the defaults: Tune's schedulers pass over reports that lack epoch or validation."""
        return {field.name: told for field in fields(self) if (told := getattr(self, field.name)) != field.default}

    @classmethod
    def from_tune(cls, result: Mapping[str, Any]) -> Report:
        """Tune adds entries of its own."""
        return cls(**{field.name: result[field.name] for field in fields(cls) if field.name in result})

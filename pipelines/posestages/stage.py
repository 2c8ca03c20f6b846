"""What the stages share: their argument, their entry of the parameters, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from posebed.catalog import Catalog, installed
from posebed.contracts import MetricSpec
from posebed.listing import shortened
from posebed.params import Params, read_params
from posebed.places import PARAMS
from posestages.ending import run

PACKAGES = ("posebed", "posestages")
"""What workers of a cluster are sent, beside the packages of models and presets."""

Entry = TypeVar("Entry")


def run_stage(name: str, main: Callable[[list[str]], None]) -> NoReturn:
    """Run a stage of ``dvc.yaml``, and note how long it took."""

    from posestages import stage_times

    def timed(arguments: list[str]) -> None:
        main(arguments)
        stage_times.add(name)

    run(timed)


def catalog_here(params: Params | None = None) -> Catalog:
    """What installed packages have, and the modules that the project in the working directory names.

    Args:
        params: of the project; by default those of its file, where it has one.
    """
    if params is None:
        params = read_params(PARAMS) if PARAMS.is_file() else Params()
    sources = [data.source for data in params.data.values()]
    samplers = [search.sampler for search in params.searches.values()]
    return installed().with_project(params.models, sources, params.scoring.metrics, samplers)


def usable_metrics(catalog: Catalog) -> tuple[dict[str, MetricSpec], list[str]]:
    """What measures tables of predictions, by the import paths of its modules, and in sentences what is left out."""
    from posebed.scoring.scores import usable  # needs numpy, which most commands do not

    known, gone = catalog.measured()
    specs, wrong = usable(known)
    return specs, gone + wrong


def only_key(arguments: list[str]) -> str:
    """The one argument of a stage.

    Raises:
        ValueError: there is not exactly one.
    """
    if len(arguments) != 1:
        raise ValueError(f"a stage must be given one KEY of {PARAMS}, but got {' '.join(arguments) or 'nothing'}")
    return arguments[0]


def entry(section: str, entries: Mapping[str, Entry], key: str) -> Entry:
    """The entry of a section of the parameters.

    Raises:
        LookupError: there is none of that key.
    """
    if key not in entries:
        raise LookupError(f"{section} must have an entry {key!r}, but has {shortened(entries)}")
    return entries[key]

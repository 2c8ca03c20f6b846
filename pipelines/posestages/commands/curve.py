"""Learning curves as runs: the entries that ask the weights of a run with other numbers of supports, or train it on
other numbers of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from posebed.catalog import Catalog
from posebed.config import RunConfig, SplitConfig, merged
from posebed.contracts import Task
from posebed.experiment import Experiment, decide
from posebed.params import Params
from posebed.places import pack_folder, split_folder
from posestages.commands.presets import Entries
from posestages.stage import entry
from posestages.whole_numbers import whole_number


def numbers(text: str, option: str) -> list[int]:
    """Whole numbers from a text such as ``1,3,5``, each once, in ascending order.

    Raises:
        ValueError: it is none.
    """
    try:
        return sorted({whole_number(part.strip(), 0) for part in text.split(",")})
    except ValueError as error:
        raise ValueError(
            f"{option} must be whole numbers with commas between them, such as 1,3,5; each {error}"
        ) from None


def curve_entries(params: Params, catalog: Catalog, key: str, shots: Sequence[int], images: Sequence[int]) -> Entries:
    """What ``params.yaml`` must say for a curve of the run ``key``, which is a point of it itself.

    Args:
        shots: supports to ask the run's weights with.
        images: training pictures per category to train with.

    Raises:
        LookupError: there is no such run.
        ValueError: the run cannot be asked with so many supports, or trained on no picture; or no number is another one
            than its own.
    """
    run = entry("runs", params.runs, key)
    split = params.splits[run.split]
    if images and not min(images):
        raise ValueError("--train-images must be 1 or more, but is 0")
    points = [_with_images(key, run, split, number) for number in images if number != split.few_shot]
    if shots:
        experiment = decide(params, key, run.seeds[0], catalog, split_folder(run.split), pack_folder(run.pack))
        _must_answer(experiment, shots)
        points += [_with_shots(key, run, split, number, experiment) for number in shots if number != experiment.shots]
    points = [point for point in points if point]
    if not points:
        raise ValueError(f"a curve must have another number than that of {key} itself, but was given no other")
    return merged(*(_reusing(params, point) for point in points))


def _must_answer(experiment: Experiment, shots: Sequence[int]) -> None:
    key, model = experiment.key, experiment.model
    if experiment.task is not Task.CATEGORY_AGNOSTIC:
        raise ValueError(f"--shots must be asked of a category-agnostic run, but {key} is shown no supports")
    without = experiment.spec.protocol(experiment.config).get("shots") == "0"
    if without and any(shots):
        raise ValueError(
            f"--shots must be 0 for {key}, since {model} is shown no support pictures, but is {max(shots)}"
        )
    if not without and 0 in shots:
        raise ValueError(
            f"--shots must be 1 or more for {key}, since {model} finds keypoints by its supports and has no way "
            "without them, but holds 0"
        )


def _with_shots(key: str, run: RunConfig, split: SplitConfig, shots: int, experiment: Experiment) -> dict[str, Any]:
    """The same weights, shown more or fewer supports; nothing for 0, which is the run itself."""
    if not shots:
        return {}
    episodes = merged(split.model_dump(mode="json", exclude_unset=True)["episodes"] or {}, {"shots": shots})
    other = {**split.model_dump(mode="json", exclude_unset=True), "episodes": episodes}
    settings = run.model_dump(mode="json", exclude_unset=True)
    if experiment.spec.compute is None:  # else there are no weights
        settings |= {"init_from": key, "train": {**run.train, "epochs": 0}}
    return _entries(key, run, settings, other, f"{experiment.shots}shot", f"{shots}shot")


def _with_images(key: str, run: RunConfig, split: SplitConfig, images: int) -> dict[str, Any]:
    """Trained anew on so many pictures per category."""
    other = {**split.model_dump(mode="json", exclude_unset=True), "few_shot": images}
    settings = run.model_dump(mode="json", exclude_unset=True)
    return _entries(key, run, settings, other, f"{split.few_shot}images", f"{images}images")


def _entries(
    key: str, run: RunConfig, settings: Mapping[str, Any], split: Mapping[str, Any], word: str, new: str
) -> dict[str, Any]:
    name = _renamed(run.split, word, new)
    settings = {**settings, "split": name, "method": run.method or key}
    return {"splits": {name: dict(split)}, "runs": {_renamed(key, word, new): settings}}


def _renamed(key: str, word: str, new: str) -> str:
    """The key with another number where it has that of the run, as in ``fmmp-1shot``, and else at its end."""
    renamed = re.sub(rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])", new, key)
    return renamed if renamed != key else f"{key}-{new}"


def _reusing(params: Params, point: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a point, with a split of the parameters in place of an equal one of another name."""
    (name, wanted), (key, run) = next(iter(point["splits"].items())), next(iter(point["runs"].items()))
    same = SplitConfig.model_validate(wanted)
    known = next((other for other, split in params.splits.items() if split == same), None)
    if known is None:
        return {"splits": {name: wanted}, "runs": {key: run}}
    return {"splits": {}, "runs": {key: {**run, "split": known}}}

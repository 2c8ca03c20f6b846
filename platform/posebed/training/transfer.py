"""Where training starts: a model as its seed makes it, or with the weights of another run, its keypoints matched by
name.

Which axes of a tensor count keypoints is not declared anywhere: two models that differ in nothing but the number of
keypoints differ in those axes alone. On such an axis the last K entries are the keypoints, whatever stands before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posebed.contracts import Setting
from posebed.experiment import Experiment
from posebed.listing import shortened
from posebed.records import Category
from posebed.training.pose_module import PoseModule, build
from posebed.training.run_folder import best_weights, read_about, setting_of, without_download
from posebed.training.state_dict import State

Build = Callable[[Setting], nn.Module]


def initial_model(experiment: Experiment, setting: Setting) -> tuple[PoseModule, str]:
    """The model before its first step, on the CPU, and one line on what it took from another run, if it did.

    Raises:
        LookupError: weights, or the run to start from, are not there.
        ValueError: the model refuses its setting, or the other run has another architecture.
    """
    spec, folder = experiment.spec, experiment.init_folder
    # What another run brings need not be fetched before.
    config = without_download(experiment.config) if folder else experiment.config
    with torch.random.fork_rng():  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(experiment.seed)  # pyright: ignore[reportUnknownMemberType]
        model = build(spec, config, setting)
    if folder is None:
        return model, ""
    about = read_about(folder)
    if about["model"] != experiment.model:
        raise ValueError(
            f"{experiment.key} must start from a run of its own model, {experiment.model}, but {experiment.init_from} "
            f"is one of {about['model']}"
        )
    given, source = setting_of(about), best_weights(folder, about)
    try:
        after = transferred(
            model.state_dict(), source, build=lambda s: build(spec, config, s), setting=setting, given=given
        )
    except ValueError as error:
        raise ValueError(f"{experiment.key} cannot start from {experiment.init_from}: {error}") from error
    if after.new and not experiment.train.epochs:
        raise ValueError(
            f"{experiment.key} without epochs must have no keypoint that {experiment.init_from} has not learnt, but "
            f"new are {shortened(after.new)}"
        )
    model.load_state_dict(after.state)
    return model, f"{experiment.key} starts from {experiment.init_from}: {after.line}"


@dataclass(frozen=True)
class Transferred:
    """What a model has after it took another's weights."""

    state: dict[str, Tensor]
    new: list[str]
    """Names of keypoints whose weights are its own still."""
    line: str
    """What was taken, in words."""


def transferred(own: State, source: State, *, build: Build, setting: Setting, given: Setting) -> Transferred:
    """Give a model the weights of another of the same architecture.

    Tensors without a keypoint axis are copied whole; on keypoint axes the entries of keypoints that both have by name.

    Args:
        own: weights of the new model, kept where the source has none.
        build: makes the new model for any setting.
        setting: of the new model.
        given: of the source.

    Raises:
        ValueError: names, or shapes beyond the number of keypoints, differ.
    """
    axes = keypoint_axes(own, build, setting)
    more = given.keypoints - setting.keypoints
    shapes = {n: tuple(size + more * (a in axes[n]) for a, size in enumerate(t.shape)) for n, t in own.items()}
    unlike = [name for name in sorted({*own, *source}) if name not in own or name not in source]
    unlike += [name for name in own if name in source and shapes[name] != tuple(source[name].shape)]
    if unlike:
        raise ValueError(
            f"both must have the same architecture and size of crops, but of {len(own)} tensors {len(unlike)} differ, "
            f"among them {', '.join(unlike[:3])}"
        )
    matched = same_keypoints(setting, given)
    state = {name: _placed(t, source[name], axes[name], matched, setting.keypoints) for name, t in own.items()}
    by_keypoint = sum(map(bool, axes.values()))
    if not by_keypoint:
        return Transferred(state, [], f"{len(own)} tensors copied")
    names = _names(setting) or tuple(map(str, range(setting.keypoints)))
    new = [name for i, name in enumerate(names) if i not in matched]
    line = (
        f"{len(own) - by_keypoint} tensors copied; in {by_keypoint} more {len(matched)} of {setting.keypoints} "
        f"keypoints by name, new are {shortened(new)}"
    )
    return Transferred(state, new, line)


def keypoint_axes(own: State, build: Build, setting: Setting) -> dict[str, tuple[int, ...]]:
    """The axes of each tensor that count keypoints: those that are one longer where there is one keypoint more."""
    names = tuple(f"keypoint {i}" for i in range(setting.keypoints + 1))
    with torch.device("meta"):
        longer = build(Setting(setting.size, len(names), (Category("any", "any", names),))).state_dict()
    return {name: tuple(a for a, size in enumerate(t.shape) if longer[name].shape[a] > size) for name, t in own.items()}


def same_keypoints(setting: Setting, given: Setting) -> dict[int, int]:
    """From positions in one skeleton to those of the same keypoints in the other: names of the same words, in any
    order, case and spelling of the gaps (``left_eye``, ``Eye_Left`` and ``L_Eye``). Several skeletons have the same
    keypoints when they are the same skeletons."""
    if setting.categories == given.categories:
        return {i: i for i in range(setting.keypoints)}
    there = {_words(name): i for i, name in reversed(list(enumerate(_names(given))))}
    return {i: there[_words(name)] for i, name in enumerate(_names(setting)) if _words(name) in there}


def _names(setting: Setting) -> tuple[str, ...]:
    """The keypoints of the one skeleton; none where there are several."""
    skeletons = {category.keypoints for category in setting.categories}
    return next(iter(skeletons)) if len(skeletons) == 1 else ()


_LETTERS = {"l": "left", "r": "right", "f": "front", "b": "back"}
"""Words that some datasets shorten, as Animal-Pose in ``L_F_Paw``."""


def _words(name: str) -> tuple[str, ...]:
    words: list[str] = re.findall(r"[^\W_]+", name.lower())
    return tuple(sorted(_LETTERS.get(word, word) for word in words))


def _placed(own: Tensor, source: Tensor, axes: Sequence[int], matched: Mapping[int, int], keypoints: int) -> Tensor:
    """The tensor with the source's entries; on keypoint axes those of the matched keypoints and of what is before."""
    if not axes:
        return source.to(own.dtype)
    to, of = list[list[int]](), list[list[int]]()
    for axis, size in enumerate(own.shape):
        before, pairs = (size - keypoints, matched) if axis in axes else (size, dict[int, int]())
        to.append([*range(before), *(before + i for i in pairs)])
        of.append([*range(before), *(before + i for i in pairs.values())])
    result = own.clone()
    result[_grid(to)] = source[_grid(of)].to(own.dtype)
    return result


def _grid(indices: Sequence[Sequence[int]]) -> tuple[Tensor, ...]:
    """Lists of indices, one per axis, such that they choose every combination."""
    return tuple(
        torch.tensor(index, dtype=torch.int64).view([-1 if axis == other else 1 for other in range(len(indices))])
        for axis, index in enumerate(indices)
    )

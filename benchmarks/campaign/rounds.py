"""One round: the project from its first task to its last, disturbed, and the promises at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from campaign import promises
from campaign.kills import Drawn, Kill, Round
from campaign.project import enqueue_trials
from campaign.stage import Stage
from campaign.world import World, short_folder, world


def play(
    folder: Path,
    template: Path,
    empty_tracker: Path,
    coming: Sequence[Drawn],
    kinds: Mapping[str, bool],
    undisturbed: Mapping[str, Any] | None,
    on_kill: Callable[[Kill], object],
) -> Round:
    """Play one round with as many of the coming kills as fit into it.

    Args:
        undisturbed: that round, as JSON; None where this is it.
    """
    played, expected = Round(), undisturbed["outcomes"] if undisturbed else None
    length = undisturbed["seconds"] if undisturbed else 0.0
    coming = [replace(drawn, gap=drawn.gap * length) for drawn in coming]
    short = short_folder(str(folder))
    try:
        with world(folder, short, template, empty_tracker, kinds) as made:
            enqueue_trials(made.project)
            stage = Stage(made, played, coming, on_kill)
            try:
                stage.run()
            except RuntimeError as error:
                played.violations.append(str(error))
            else:
                played.violations += [*stage.watch.violations, *_broken(made, played, expected, stage.ended)]
            played.commands = made.commands
        played.violations += promises.no_strays(made)
        if played.violations and (logs := short / "ray/session_latest/logs").is_dir():
            shutil.copytree(logs, folder / "ray-logs")
    finally:
        shutil.rmtree(short, ignore_errors=True)
    return played


def _broken(made: World, played: Round, expected: Mapping[str, Any] | None, ended: Mapping[int, str]) -> list[str]:
    sentences = [*promises.all_done(made.project)]
    if sentences:
        return sentences
    played.outcomes = promises.outcomes(made.project)
    places = [made.project, made.short / "cache", made.short / "tmp"]
    if not made.settings["POSEBED_STORAGE"].startswith("s3:"):
        places.append(Path(made.settings["POSEBED_STORAGE"]))
    return [
        *(promises.same_results(dict(played.outcomes), dict(expected)) if expected else ()),
        *promises.trials_once(made.project, ended),
        *promises.nothing_left(made),
        *promises.sound_checkpoints(made),
        *promises.whole_files(places),
        *promises.tracked_once(made),
    ]

"""Stage ``draw``: a built-in set of pictures, written as a COCO folder.

Usage: python -m posestages.draw KEY
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from menagerie import MenagerieConfig, draw_folder
from posebed.files import writing_folder
from posebed.forms import sentence
from posebed.params import Params, read_params
from posebed.places import PARAMS, menagerie_folder
from posestages.stage import entry, only_key, run_stage


def draw(params: Params, key: str, out: Path) -> None:
    """Draw the set that ``menagerie.KEY`` describes, on all processors."""
    chosen = entry("menagerie", params.menagerie, key)
    try:
        config = MenagerieConfig.model_validate(chosen)
    except ValidationError as error:
        raise ValueError(sentence(error, f"menagerie.{key}")) from error
    with writing_folder(out) as folder, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(f"drawing {key}", total=config.images)
        draw_folder(config, folder, os.cpu_count() or 1, lambda done: progress.update(task, completed=done))


def main(arguments: list[str]) -> None:
    key = only_key(arguments)
    draw(read_params(PARAMS), key, menagerie_folder(key))


if __name__ == "__main__":
    run_stage("draw", main)

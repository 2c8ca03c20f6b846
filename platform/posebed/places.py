"""Where things lie in a project's folder."""

from __future__ import annotations

import os
from pathlib import Path

from posebed.listing import shown

PARAMS = Path("params.yaml")
RUNS = Path("runs")
SUBMISSIONS = Path("submissions")
"""Answers that were made elsewhere, as they were handed in."""
LOCK_FILE = Path("requirements.lock.txt")
PROCESS_JOBS, RAY_JOBS, LOCAL_JOBS = Path(".posebed/jobs"), Path(".posebed/ray"), Path(".posebed/local")
"""Checkpoints of what is not done yet: of trainings in one process, of trials and of trainings by Ray's workers, and of
trainings without Ray."""

PUBLISHED_ABOUT, PUBLISHED_WEIGHTS = "config.json", "model.safetensors"
"""Names of ``run.json`` and ``best.safetensors`` in a published run, as Hugging Face's layout has them."""


def menagerie_folder(key: str) -> Path:
    return Path("data/menagerie") / key


def prepared_folder(key: str) -> Path:
    return Path("data/prepared") / key


def split_folder(key: str) -> Path:
    return Path("data/splits") / key


def pack_folder(key: str) -> Path:
    return Path("data/packs") / key


def run_folder(key: str) -> Path:
    """Of a run, or of the search ``search@KEY``."""
    return RUNS / key


def member_folder(key: str, seed: int) -> Path:
    """Of a run's member with this seed."""
    return run_folder(key) / f"seed-{seed}"


def is_run(folder: Path) -> bool:
    """Whether a folder holds a trained run, published or not."""
    weighted = about_file(folder).name == "run.json" or os.path.lexists(weights_file(folder))
    return weighted and os.path.lexists(about_file(folder))


def about_file(folder: Path) -> Path:
    """What a trained run, published or not, says of itself."""
    own = folder / "run.json"
    return own if os.path.lexists(own) else folder / PUBLISHED_ABOUT


def weights_file(folder: Path) -> Path:
    """The best weights of a trained run, published or not."""
    return folder / ("best.safetensors" if about_file(folder).name == "run.json" else PUBLISHED_WEIGHTS)


def must_be_in_text() -> None:
    """For the libraries that take the working folder as text: Ray and MLflow end with words on encodings.

    Raises:
        ValueError: its path has bytes that are no UTF-8.
    """
    here = str(Path.cwd())
    if here != here.encode(errors="replace").decode():
        raise ValueError(f"the working folder must have a path in UTF-8, but is {shown(here)}; rename it")

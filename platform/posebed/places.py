"""Where things lie in a project's folder."""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
RUNS = Path("runs")
LOCK_FILE = Path("requirements.lock.txt")
PROCESS_JOBS, RAY_JOBS, LOCAL_JOBS = Path(".posebed/jobs"), Path(".posebed/ray"), Path(".posebed/local")
"""Checkpoints of what is not done yet: of trainings in one process, of trials and of trainings by Ray's workers, and of
trainings without Ray."""


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

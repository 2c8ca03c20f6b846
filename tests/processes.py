"""Processes that tests look for and kill. Any of them may end while it is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import psutil


def family(process: int) -> list[psutil.Process]:
    """All that a process has started, and they in turn."""
    return psutil.Process(process).children(recursive=True)


def without_agents(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """All but the agents that Ray gives a node. Once a cluster was killed, these try for a minute to tell it that their
    raylet is gone, and do nothing else until they end."""
    agents = titled(processes, "DashboardAgent", "RuntimeEnvAgent")
    return [process for process in processes if process not in agents]


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether all have ended."""
    return not any(_runs(process) for process in processes)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def titled(processes: Sequence[psutil.Process], *titles: str) -> list[psutil.Process]:
    """Those that Ray gave one of these names."""
    return [process for process in processes if any(f"ray::{title}" in _command(process) for title in titles)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

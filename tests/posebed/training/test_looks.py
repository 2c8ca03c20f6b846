"""Looks between two steps: every worker asks its log at each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from posebed.training.log import FolderLog
from posebed.training.looks import Looks, Wanted
from posebed.training.process_group import ProcessGroup


class Asked(FolderLog):
    """Counts how often it is asked, and says that the machine leaves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "asked")
        self.times = 0

    def leaving(self) -> bool:
        self.times += 1
        return True


@pytest.mark.parametrize("rank", [0, 1])
def test_every_worker_asks_since_ray_answers_none_before_all_have_asked(tmp_path: Path, rank: int):
    log = Asked(tmp_path)
    looks = Looks(log, ProcessGroup(rank, 1, torch.device("cpu")), every=None)
    wanted = looks.after_step()
    assert log.times == 1
    assert wanted is Wanted.LEAVE

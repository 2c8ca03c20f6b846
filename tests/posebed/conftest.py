"""Drawn tables of predictions for the tests of metrics and scoring."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posebed.predictions import Predictions
from posebed.scoring.drawn import drawn_predictions


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Predictions]:
    return drawn_predictions

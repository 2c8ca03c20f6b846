"""Inner maps, drawn."""

from __future__ import annotations

import numpy as np

from posebed.reporting.draw import PAPER, WHITE
from posebed.reporting.maps import heat, map_sheet, matrix_sheet, over_picture

GREY = np.full((40, 60, 3), 128, np.uint8)


def lightness(picture: np.ndarray) -> np.ndarray:
    return picture.astype(int).sum(-1)


def test_a_map_is_brightest_over_the_part_of_the_picture_that_its_peak_covers() -> None:
    values = np.zeros((10, 15))
    values[2, 12] = 1
    drawn = lightness(over_picture(GREY, values))
    assert drawn.shape == (40, 60)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert (row // 4, column // 4) == (2, 12)


def test_a_map_without_differences_is_drawn_evenly() -> None:
    drawn = over_picture(GREY, np.full((4, 4), 7.0))
    assert np.ptp(lightness(drawn)) == 0


def test_the_range_of_a_map_does_not_matter() -> None:
    values = np.random.default_rng(0).random((6, 6))
    np.testing.assert_array_equal(heat(values), heat(100 * values - 3))


def test_every_map_has_its_place_on_the_sheet() -> None:
    maps = np.random.default_rng(0).random((7, 8, 8))
    sheet = map_sheet(GREY, maps, [f"part {i}" for i in range(7)])
    two_rows = map_sheet(GREY, maps[:5], [f"part {i}" for i in range(5)])
    assert len(sheet) > 1.9 * len(two_rows) - 40


def test_a_matrix_shows_rows_downwards_and_columns_to_the_right() -> None:
    matrix = np.zeros((4, 4))
    matrix[1, 3] = 1
    sheet = matrix_sheet(matrix, ["a", "b", "c", "d"])
    coloured = np.argwhere((sheet == heat(matrix)[1, 3]).all(-1))
    dark = np.argwhere((sheet == heat(matrix)[0, 0]).all(-1))
    top, left = dark.min(0)
    cell = (dark.max(0)[0] + 1 - top) // 4
    assert ((coloured - (top, left)) // cell == (1, 3)).all()


def test_a_line_separates_the_first_rows_and_columns() -> None:
    matrix = np.random.default_rng(0).random((6, 6))
    whole, parted = (matrix_sheet(matrix, list("abcdef"), header_size) for header_size in (0, 2))
    changed = np.argwhere((whole != parted).any(-1))
    assert len(changed)
    assert (parted[tuple(changed.T)] == WHITE).all()
    assert (parted[0, 0] == PAPER).all()

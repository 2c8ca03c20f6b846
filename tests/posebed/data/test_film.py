"""Frames of films: each with its own number, whichever are asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from films import SIDE, number_in, write_film
from posebed.data.film import Film, ahead

FRAMES = 70


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return Film.open(write_film(tmp_path_factory.mktemp("film") / "a.mp4", FRAMES, 20.0))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every=st.integers(1, 90), first=st.integers(0, 90))
def test_every_frame_that_is_asked_for_comes_with_its_number_and_time(film: Film, every: int, first: int):
    frames = [*film.frames(every, first)]
    assert [frame.number for frame in frames] == [n for n in range(first, FRAMES) if n % every == 0]
    assert [number_in(frame.picture) for frame in frames] == [frame.number for frame in frames]
    assert [frame.seconds for frame in frames] == pytest.approx([frame.number / 20 for frame in frames], abs=0.002)


def test_a_film_says_what_its_header_does(film: Film):
    assert (film.size, film.stated, film.rate) == ((SIDE, SIDE), FRAMES, pytest.approx(20))


@pytest.mark.parametrize("content", [b"", b"not a film", None])
def test_what_is_no_film_is_refused_without_a_word_of_the_decoder(
    content: bytes | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a f"):
        Film.open(path)
    assert capfd.readouterr().err == ""


def test_real_films_are_read_to_their_last_frame(real_data: Path):
    film = Film.open(real_data / "native_samples/clip/openfield_m3v1.mp4")
    assert (film.size, film.stated) == ((640, 480), 603)
    frames = [*film.frames(100)]
    assert [frame.number for frame in frames] == [0, 100, 200, 300, 400, 500, 600]
    assert frames[-1].seconds == pytest.approx(20.0, abs=0.01) and frames[0].picture.shape == (480, 640, 3)


def test_items_are_made_one_ahead_by_a_thread_of_their_own():
    made: list[int] = []

    def items():
        for number in range(4):
            made.append(number)
            yield number, threading.get_ident()

    got = ahead(items())
    assert next(got)[1] != threading.get_ident()
    assert [number for number, _ in got] == [1, 2, 3] and made == [0, 1, 2, 3]


def test_what_fails_while_an_item_is_made_is_raised_where_it_is_taken():
    def items():
        yield 1
        raise ValueError("broken")

    got = ahead(items())
    assert next(got) == 1
    with pytest.raises(ValueError, match="broken"):
        next(got)
    np.testing.assert_equal([*ahead(iter(()))], [])

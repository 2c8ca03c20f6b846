"""Frames of films: each with its own number, whichever are asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from films import SIDE, encode, number_in, write_film
from posebed.data.film import Film, ahead

FRAMES = 70
FILM = ("-frames:v", "250", "-c:v", "libx264", "-g", "25")


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


def test_a_varying_rate_changes_the_times_and_no_number(film: Film, tmp_path: Path):
    slower = "setpts=if(lt(N\\,10)\\,N/20\\,10/20+(N-10)/5)/TB"
    varying = Film.open(encode(film.path, tmp_path / "b.mp4", "-vf", slower, "-fps_mode", "vfr", "-c:v", "libx264"))
    frames = [*varying.frames()]
    assert [number_in(frame.picture) for frame in frames] == [frame.number for frame in frames] == [*range(FRAMES)]
    times = [n / 20 if n < 10 else 0.5 + (n - 10) / 5 for n in range(FRAMES)]
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=0.03)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_frames_are_turned_as_players_turn_them(film: Film, turns: int, tmp_path: Path):
    wide = encode(film.path, tmp_path / "wide.mp4", "-vf", f"scale={SIDE * 2}:{SIDE}", "-c:v", "libx264")
    flagged = encode(wide, tmp_path / "turned.mp4", "-c", "copy", before=("-display_rotation", str(90 * turns)))
    (upright, *_), turned = Film.open(wide).frames(), Film.open(flagged)
    (first, *_) = turned.frames()
    assert turned.size == first.picture.shape[1::-1] == ((SIDE * 2, SIDE) if turns == 2 else (SIDE, SIDE * 2))
    np.testing.assert_array_equal(first.picture, np.rot90(upright.picture, turns))


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts"])
def test_frames_behind_damage_are_found(ending: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    noise = ("-f", "lavfi")
    sound = encode("nullsrc=size=128x96,noise=alls=60:allf=t", tmp_path / f"sound{ending}", *FILM, before=noise)
    data = bytearray(sound.read_bytes())
    middle = slice(len(data) // 2, len(data) // 2 + len(data) // 20)
    data[middle] = bytes(byte ^ 0x55 for byte in data[middle])
    damaged = tmp_path / f"damaged{ending}"
    damaged.write_bytes(data)
    frames = [*Film.open(damaged).frames()]
    assert 200 <= len(frames) <= 250 and [frame.number for frame in frames] == [*range(len(frames))]
    assert frames[-1].seconds == pytest.approx(249 / 25, abs=2.0), "they are those of the end"
    assert capfd.readouterr().err == ""


def test_a_film_that_is_still_being_written_states_no_end(film: Film, tmp_path: Path):
    """Its header has no length; what is there is read."""
    growing = tmp_path / "growing.mkv"
    encode(film.path, growing, "-c:v", "libx264", "-live", "1")
    opened = Film.open(growing)
    assert opened.stated == 0
    assert [number_in(frame.picture) for frame in opened.frames()] == [*range(FRAMES)]


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

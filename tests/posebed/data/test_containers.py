from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from posebed.annotations.checks import Fault, inspect_pictures
from posebed.data.containers import NoSuchFrame
from posebed.data.images import Images

FRAMES = 40


def shade(number: int) -> int:
    return 10 + 5 * number


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 64 x 48 pixels whose frames differ in their grey level."""
    path = tmp_path_factory.mktemp("film") / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), shade(number), np.uint8))
    writer.release()
    return path


class TestFilm:
    def test_frames_are_counted_forwards_and_backwards(self, film: Path):
        images = Images(film.parent)
        for number in (0, 1, 30, 7, 7, 39, 0):
            picture = images.decode(f"walk.avi/{number}")
            assert picture.shape == (48, 64, 3)
            assert abs(picture.mean() - shade(number)) < 2

    def test_threads_read_the_same(self, film: Path):
        images, numbers = Images(film.parent), list(range(FRAMES))
        random.Random(1).shuffle(numbers)
        with ThreadPoolExecutor(4) as pool:
            means = list(pool.map(lambda n: images.decode(f"walk.avi/{n}").mean(), numbers))
        assert all(abs(mean - shade(number)) < 2 for mean, number in zip(means, numbers, strict=True))

    def test_a_frame_beyond_the_end(self, film: Path):
        images = Images(film.parent)
        for _ in range(2):
            with pytest.raises(NoSuchFrame, match="the film ends after 40 frames"):
                images.decode("walk.avi/40")
        assert images.decode("walk.avi/39").shape == (48, 64, 3)

    def test_it_is_told_as_one_problem(self, film: Path):
        fault = inspect_pictures(Images(film.parent), ["walk.avi/77"])["walk.avi/77"]
        assert isinstance(fault, Fault) and "ends after 40 frames" in fault.found

    @pytest.mark.parametrize("name", ["walk.avi", "walk.avi/x", "walk.avi/-1", "other.avi/1"])
    def test_what_is_no_frame_is_no_picture(self, film: Path, name: str):
        assert not Images(film.parent).exists(name)

    def test_a_file_that_is_no_film(self, tmp_path: Path):
        (tmp_path / "walk.mp4").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="must be a film"):
            Images(tmp_path).decode("walk.mp4/0")

    def test_a_folder_that_is_called_as_a_film(self, tmp_path: Path):
        (tmp_path / "walk.mp4").mkdir()
        cv2.imwrite(str(tmp_path / "walk.mp4/1.png"), np.full((4, 5, 3), 7, np.uint8))
        assert Images(tmp_path).size("walk.mp4/1.png") == (5, 4)

    def test_many_films_at_a_time(self, film: Path, tmp_path: Path):
        for i in range(12):
            (tmp_path / f"{i}.avi").write_bytes(film.read_bytes())
        images = Images(tmp_path)
        for number in (3, 2):
            assert all(abs(images.decode(f"{i}.avi/{number}").mean() - shade(number)) < 2 for i in range(12))

    @pytest.mark.parametrize(
        ("name", "frames", "size"),
        [("videos/dance.mp4", 450, (406, 720)), ("json_format_v1/centered_pair_low_quality.mp4", 1100, (384, 384))],
    )
    def test_real_films(self, real_data: Path, name: str, frames: int, size: tuple[int, int]):
        images = Images(real_data / "native_samples/sleap")
        assert images.facts(f"{name}/{frames - 1}").size == size
        with pytest.raises(NoSuchFrame, match=f"after {frames} frames"):
            images.decode(f"{name}/{frames}")


class TestPackage:
    @pytest.mark.parametrize(
        ("name", "size"),
        [("flies.pkg.slp/video0/700", (1024, 1024)), ("minimal_instance.pkg.slp/video0/0", (384, 384))],
    )
    def test_embedded_pictures_go_by_the_frame_numbers_of_the_film(self, real_data: Path, name: str, size: tuple):
        images = Images(real_data / "native_samples/sleap_pkg")
        assert images.size(name) == images.facts(name).size == size

    def test_they_are_the_frames_that_deeplabcut_has(self, real_data: Path):
        images = Images(real_data / "native_samples")
        for number in (30, 700, 715):
            embedded = images.decode(f"sleap_pkg/flies.pkg.slp/video0/{number}")
            beside = images.decode(f"dlc_multi/flies/labeled-data/clip/img{number:04d}.png")
            np.testing.assert_array_equal(embedded, beside)

    def test_a_frame_that_is_not_embedded(self, real_data: Path):
        with pytest.raises(NoSuchFrame, match="video0 holds 3 others"):
            Images(real_data / "native_samples/sleap_pkg").decode("flies.pkg.slp/video0/31")

    @pytest.mark.parametrize("name", ["flies.pkg.slp", "flies.pkg.slp/video1/30", "flies.pkg.slp/video0/x"])
    def test_what_is_no_embedded_picture(self, real_data: Path, name: str):
        assert not Images(real_data / "native_samples/sleap_pkg").exists(name)

    @pytest.mark.parametrize(("order", "version"), [("BGR", 1.4), ("RGB", 1.4), (None, 1.2)])
    def test_red_stays_red(self, tmp_path: Path, order: str | None, version: float):
        red = np.zeros((4, 5, 3), np.uint8)
        red[..., 0] = 255
        swapped = order != "RGB"
        encoded = cv2.imencode(".png", red if swapped else red[..., ::-1])[1]
        with h5py.File(tmp_path / "red.pkg.slp", "w") as file:
            file.create_group("metadata").attrs["format_id"] = version
            data = file.create_dataset("video0/video", data=np.asarray(encoded).astype(np.int8)[None])
            file["video0/frame_numbers"] = [9]
            data.attrs["channels"] = 3
            if order:
                data.attrs["channel_order"] = order
        np.testing.assert_array_equal(Images(tmp_path).decode("red.pkg.slp/video0/9"), red)

    def test_pictures_in_another_file_are_refused(self, tmp_path: Path):
        picture = np.asarray(cv2.imencode(".png", np.zeros((4, 5), np.uint8))[1]).astype(np.int8)[None]
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file.create_dataset("video0/video", data=picture)
        with h5py.File(tmp_path / "a.slp", "w") as file:
            file["video0"] = h5py.ExternalLink("other.h5", "video0")
            outside = [(str(tmp_path / "other.h5"), 0, 8)]
            file.create_dataset("video1/video", (1, 8), np.int8, external=outside)
        for video in ("video0", "video1"):
            with pytest.raises(ValueError, match=f"{video} lies in another file"):
                Images(tmp_path).decode(f"a.slp/{video}/0")

    def test_a_file_that_is_no_package(self, tmp_path: Path):
        (tmp_path / "a.slp").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="must be a sound HDF5 file"):
            Images(tmp_path).decode("a.slp/video0/0")

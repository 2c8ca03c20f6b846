"""Pictures: decoded whole or not at all, and never from outside their root."""

from __future__ import annotations

import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.data.images import Images, OutsideRoot, TruncatedImage

WIDTH, HEIGHT = 40, 24


def encoded(suffix: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


JPEG, PNG = encoded(".jpg"), encoded(".png")


def with_segment(jpeg: bytes, payload: bytes) -> bytes:
    """The JPEG with one more APP1 segment at its head."""
    return jpeg[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2) + payload + jpeg[2:]


def decode(data: bytes, folder: Path) -> np.ndarray:
    (folder / "picture").write_bytes(data)
    return Images(folder).decode("picture")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_the_size_agrees_with_the_decoded_picture(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "picture").write_bytes(encoded(suffix))
    assert Images(tmp_path).size("picture") == (WIDTH, HEIGHT)
    assert Images(tmp_path).decode("picture").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_a_picture_that_ends_early_anywhere_is_refused(folder: Path, data: bytes) -> None:
    for length in (*range(0, len(data), 37), len(data) - 2, len(data) - 1):
        with pytest.raises(ValueError):
            decode(data[:length], folder)


def test_a_truncated_picture_is_told_from_an_unreadable_one(folder: Path) -> None:
    with pytest.raises(TruncatedImage):
        decode(JPEG[:-40], folder)
    with pytest.raises(ValueError, match="must be a picture") as unreadable:
        decode(b"no picture at all", folder)
    assert not isinstance(unreadable.value, TruncatedImage)


def test_a_whole_thumbnail_does_not_hide_that_the_picture_ends_early(folder: Path) -> None:
    with_thumbnail = with_segment(JPEG, b"Exif\0\0" + encoded(".jpg", 8, 8))
    assert decode(with_thumbnail, folder).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(TruncatedImage):
        decode(with_thumbnail[:-20], folder)


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
@given(rest=st.binary(max_size=20))
def test_bytes_after_the_end_of_a_picture_do_no_harm(folder: Path, data: bytes, rest: bytes) -> None:
    assert decode(data + rest, folder).shape == (HEIGHT, WIDTH, 3)


@given(data=st.binary(max_size=60), head=st.sampled_from([b"", JPEG[:30], PNG[:30]]))
def test_arbitrary_bytes_are_decoded_or_refused(folder: Path, data: bytes, head: bytes) -> None:
    try:
        assert decode(head + data, folder).ndim == 3
    except ValueError as error:
        assert "picture" in str(error)


def test_the_orientation_that_a_camera_noted_is_not_applied(folder: Path) -> None:
    quarter_turn = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    assert decode(with_segment(JPEG, quarter_turn), folder).shape == (HEIGHT, WIDTH, 3)


def test_the_channels_are_red_green_blue(folder: Path) -> None:
    red_in_opencv = np.zeros((4, 4, 3), np.uint8) + np.array([0, 0, 255], np.uint8)
    assert decode(cv2.imencode(".png", red_in_opencv)[1].tobytes(), folder)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("path", ["../secret.jpg", "a/../../secret.jpg", "/etc/passwd", "", "a\0b"])
def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / "root").mkdir()
    images = Images(tmp_path / "root")
    for use in (images.read, images.decode, images.size, images.exists):
        with pytest.raises(OutsideRoot):
            use(path)


def test_a_link_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(OutsideRoot):
        Images(tmp_path / "root").read("link.jpg")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_file_reads_as_the_folder_it_was_made_of(tmp_path: Path, compression: int) -> None:
    (tmp_path / "set").mkdir()
    with zipfile.ZipFile(tmp_path / "set" / "images.zip", "w", compression) as file:
        file.writestr("a/picture.jpg", JPEG)
    inside, itself = Images(tmp_path), Images(tmp_path / "set" / "images.zip")
    assert inside.read("set/images.zip/a/picture.jpg") == itself.read("a/picture.jpg") == JPEG
    assert not inside.exists("set/images.zip/picture.jpg")
    assert not inside.exists("set/images.zip")
    with pytest.raises(FileNotFoundError):
        itself.read("picture.jpg")


def test_a_damaged_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="must be a zip file"):
        Images(tmp_path).decode("images.zip/picture.jpg")


def test_threads_and_copies_read_the_same_from_one_zip_file(tmp_path: Path) -> None:
    content = {f"{i}.bin": bytes([i]) * 5000 for i in range(40)}
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    images = Images(tmp_path / "images.zip")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(images.read, content)) == list(content.values())
    assert pickle.loads(pickle.dumps(images)).read("3.bin") == content["3.bin"]  # noqa: S301

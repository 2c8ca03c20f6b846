"""Pictures: decoded whole or not at all, and never from outside their root."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.data.headers import orientation_of
from posebed.data.images import Images, OutsideRoot, TruncatedImage
from posebed.records import Reading

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


def test_a_truncated_picture_is_distinguished_from_an_unreadable_one(folder: Path) -> None:
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


def tagged(form: str, tag: int, stored: np.ndarray) -> bytes:
    """A file of RGB pixels (H, W, 3) with an orientation tag."""
    block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([tag]) + b"\0\0\0\0\0\0"
    if form.startswith("tiff"):
        return tiff(stored, tag, order=">" if form.endswith("MM") else "<", big=form.startswith("tiff64"))
    data = cv2.imencode(f".{form}", stored[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    if form == "jpg":
        return with_segment(data, b"Exif\0\0" + block)
    if form == "png":
        chunk = b"eXIf" + block
        return data[:33] + len(block).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + data[33:]
    # An extended WebP: a header that announces EXIF, the pixels, the block.
    height, width = stored.shape[:2]
    header = b"VP8X\x0a\0\0\0\x08\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + header + data[12:] + b"EXIF" + len(block).to_bytes(4, "little") + block
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def tiff(stored: np.ndarray, tag: int = 1, bits: int = 8, order: str = "<", big: bool = False) -> bytes:
    """Pixels (H, W, 3) without compression, in either byte order, as TIFF or BigTIFF."""
    height, width = stored.shape[:2]
    pixels = stored.astype(f"{order}u{(bits + 7) // 8}").tobytes()
    word, start = ("Q", 16) if big else ("I", 8)
    depths = start + len(pixels)
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, depths if not big else None), (259, 3, 1, 1)),
        *((262, 3, 1, 2), (273, 4, 1, start), (274, 3, 1, tag), (277, 3, 1, 3), (278, 4, 1, height)),
        (279, 4, 1, len(pixels)),
    ]
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for number, kind, count, value in entries:
        if value is None:
            content = struct.pack(f"{order}4H", bits, bits, bits, 0)
        elif kind == 3 and count == 1:
            content = struct.pack(f"{order}H", value).ljust(8 if big else 4, b"\0")
        else:
            content = struct.pack(f"{order}I", value).ljust(8 if big else 4, b"\0")
        directory += struct.pack(f"{order}HH{word}", number, kind, count) + content
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, depths + 6) if big else struct.pack(f"{order}HI", 42, depths + 6)
    return mark + head + pixels + struct.pack(f"{order}3H", bits, bits, bits) + directory + bytes(8)


FORMS = ["jpg", "png", "webp", "tiffII", "tiffMM", "tiff64II", "tiff64MM"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", range(1, 9))
def test_a_noted_orientation_is_applied_where_the_pictures_are_to_be_as_displayed(
    folder: Path, form: str, tag: int
) -> None:
    """The decoder's own turning, which is on without its flag, is the reference."""
    stored = np.random.default_rng(tag).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    data = tagged(form, tag, stored)
    (folder / "picture").write_bytes(data)
    plain, turned = Images(folder), Images(folder, Reading("displayed"))
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(turned.decode("picture"), shown)
    assert turned.size("picture") == turned.facts("picture").size == shown.shape[1::-1]
    assert plain.size("picture") == plain.facts("picture").size == (WIDTH, HEIGHT)
    assert plain.facts("picture").orientation == tag
    expected = tagged(form, 1, stored)
    assert np.array_equal(plain.decode("picture"), decode(expected, folder))
    if form != "jpg":
        assert np.array_equal(plain.decode("picture"), stored)


def test_the_orientation_of_a_huge_picture_is_read_without_its_pixels() -> None:
    data = tagged("jpg", 6, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    frame = data.index(b"\xff\xc0")
    assert orientation_of(data[: frame + 5] + b"\xff\xdc\xff\xdc" + data[frame + 9 :]) == 6


@given(data=st.binary(max_size=80), head=st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0+\0\x08\0\0", PNG[:20], JPEG[:9]]))
def test_headers_of_arbitrary_bytes_state_an_orientation_at_most(data: bytes, head: bytes) -> None:
    assert 1 <= orientation_of(head + data) <= 8


def deep_file(form: str, values: np.ndarray, declared: int | None = None) -> bytes:
    """RGB values (H, W, 3) of 16 bits; a PNG may declare how many of them count."""
    if form == "tiff":
        return tiff(values, bits=16)
    data = cv2.imencode(f".{form}", np.ascontiguousarray(values[..., ::-1]))[1].tobytes()
    chunk = b"sBIT" + bytes([declared or 0] * 3)
    return data[:33] + (3).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + data[33:] if declared else data


@given(largest=st.integers(0, 2**16 - 1), form=st.sampled_from(["png", "tiff", "ppm"]), seed=st.integers(0, 99))
def test_deep_pictures_are_scaled_by_the_bits_that_hold_their_largest_value(
    folder: Path, largest: int, form: str, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, largest + 1, (6, 5, 3)).astype(np.uint16)
    values[2, 3, 1] = largest
    (folder / "picture").write_bytes(deep_file(form, values))
    bits = next(b for b in (8, 10, 12, 14, 16) if largest < 2**b)
    assert Images(folder).facts("picture").bits == bits
    # The decoder of TIFF divides a full 16 bits by 257 and rounds, which differs from v / 256 by v / 65792 + 1/2.
    bound = 1.5 if form == "tiff" else 1
    error = Images(folder).decode("picture") - values / 2 ** (bits - 8)
    assert abs(error).max() < bound
    # A brighter picture of the dataset decides, so that relative brightness stays.
    of_dataset = Images(folder, Reading(bits=16)).decode("picture")
    assert abs(of_dataset - values / 256).max() < bound


def test_a_full_16_bits_and_8_bits_decode_as_ever(folder: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    eight = (encoded(suffix) for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"))
    for data in (*(deep_file(form, values) for form in ("png", "tiff", "ppm")), *eight):
        (folder / "picture").write_bytes(data)
        ever = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        for bits in (None, 16):
            assert np.array_equal(Images(folder, Reading(bits=bits)).decode("picture"), ever)


@pytest.mark.parametrize(("declared", "bits"), [(None, 10), (8, 10), (12, 12), (14, 14), (16, 16)])
def test_a_png_that_declares_its_bits_needs_no_fewer(folder: Path, declared: int | None, bits: int) -> None:
    values = np.full((3, 4, 3), 1000, np.uint16)
    (folder / "picture").write_bytes(deep_file("png", values, declared))
    assert Images(folder).facts("picture").bits == bits


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_samples_are_read_at_their_full_range(folder: Path, bits: int) -> None:
    values = np.array([[0, 1, 2**bits // 2, 2**bits - 1]] * 2)
    packed = int("".join(f"{v:0{bits}b}" for v in values.ravel()), 2).to_bytes(bits)
    entries = [(256, 4), (257, 2), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2), (279, bits)]
    directory = struct.pack("<H", 9) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    data = b"II*\0" + struct.pack("<I", 8 + bits) + packed + directory + bytes(4)
    for reading in (Reading(), Reading(bits=16)):
        (folder / "picture").write_bytes(data)
        assert Images(folder, reading).decode("picture")[0, :, 0].tolist() == [0, 0, 128, 255]


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

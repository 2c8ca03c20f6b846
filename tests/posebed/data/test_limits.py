"""Pictures that would fill the memory, or take for ever, are refused by what they state."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.annotations.checks import Fault, inspect_pictures
from posebed.data.containers import TooLarge, TooManyScans
from posebed.data.images import Images, TruncatedImage
from posebed.limits import MOST_PICTURE_BYTES, MOST_PIXELS, MOST_SCANS
from posebed.records import Reason

JPEG = cv2.imencode(".jpg", np.zeros((24, 40, 3), np.uint8))[1].tobytes()


def jpeg(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, height), (279, 99))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)).ljust(300, b"\0")


@pytest.mark.parametrize("make", [jpeg, png, tiff])
@given(width=st.integers(1, 65_500), height=st.integers(1, 65_500))
@settings(max_examples=20, deadline=None)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(
    make: Callable[[int, int], bytes], width: int, height: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    height = max(height, MOST_PIXELS // width + 1)
    if make is jpeg and height > 65_500:
        return
    folder = tmp_path_factory.getbasetemp()
    (folder / "picture").write_bytes(make(width, height))
    with pytest.raises(TooLarge, match="at most"):
        Images(folder).decode("picture")
    (fault,) = inspect_pictures(Images(folder), ["picture"]).values()
    assert isinstance(fault, Fault) and fault.reason == Reason.IMAGE_TOO_LARGE


def _with_scans(count: int, between: bytes = b"") -> bytes:
    """A progressive picture with its last scan again and again."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    data = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + (between + data[last:-2]) * (count - data.count(b"\xff\xda")) + b"\xff\xd9"


@pytest.mark.parametrize("between", [b"", b"\xff\xfe\0\6\xff\xd9ab"], ids=["bare", "an end in a comment"])
def test_a_jpeg_of_too_many_scans_is_refused_undecoded(tmp_path: Path, between: bytes) -> None:
    for name, scans in (("few", MOST_SCANS), ("many", MOST_SCANS + 1)):
        (tmp_path / name).write_bytes(_with_scans(scans, between))
    assert Images(tmp_path).decode("few").shape == (24, 40, 3)
    with pytest.raises(TooManyScans, match="many must be a picture of at most 100 scans"):
        Images(tmp_path).decode("many")
    (fault,) = inspect_pictures(Images(tmp_path), ["many"]).values()
    assert isinstance(fault, Fault) and fault.reason == Reason.MANY_SCANS


def test_what_follows_a_jpeg_is_not_counted_as_scans(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(JPEG + JPEG[JPEG.index(b"\xff\xda") :] * (2 * MOST_SCANS))
    assert Images(tmp_path).decode("picture").shape == (24, 40, 3)


FORMATS = {
    "bmp": lambda: _patched(".bmp", 18, struct.pack("<ii", 40_000, 40_000)),
    "webp": lambda: (
        b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + struct.pack("<I", 15_999)[:3] * 2 + _encoded(".webp")[12:]
    ),
    "gif": lambda: b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;",
    "ppm": lambda: b"P6\n40000 40000\n255\n" + bytes(99),
    "hdr": lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 40000 +X 40000\n" + bytes(99),
    "sun": lambda: struct.pack(">8I", 0x59A66A95, 40_000, 40_000, 24, 99, 1, 0, 0) + bytes(99),
}


def _encoded(ending: str) -> bytes:
    return cv2.imencode(ending, np.zeros((24, 40, 3), np.uint8))[1].tobytes()


def _patched(ending: str, at: int, value: bytes) -> bytes:
    data = _encoded(ending)
    return data[:at] + value + data[at + len(value) :]


def test_decoders_of_all_formats_refuse_them_without_taking_the_memory(tmp_path: Path) -> None:
    for name, make in FORMATS.items():
        (tmp_path / name).write_bytes(make())
    lines = [
        "import re, sys, posebed",
        "from pathlib import Path",
        "from posebed.data.images import Images, TooLarge",
        "for name in sys.argv[2:]:",
        "    try:",
        "        print(name, Images(Path(sys.argv[1])).decode(name).shape)",
        "    except TooLarge:",
        "        pass",
        # Of this program alone: what getrusage tells began before it, in the process that started it.
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) < 1e6)",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(tmp_path), *FORMATS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n", "each is refused as too large, and the process stays below a gigabyte"


@pytest.mark.parametrize("rest", [b"\xff" * 5_000_000, b"\xff\xda\x00\x02" * 300_000, b"\xff\xc4\x00\x02" * 300_000])
def test_the_end_of_a_jpeg_is_looked_for_in_one_pass(tmp_path: Path, rest: bytes) -> None:
    """In more than one pass these would take hours: the test ends, or is killed by the limit of its time."""
    (tmp_path / "picture").write_bytes(JPEG[:-2] + rest)
    with pytest.raises(TruncatedImage):
        Images(tmp_path).decode("picture")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "picture").open("wb") as file:
        file.truncate(MOST_PICTURE_BYTES + 1)
    with pytest.raises(TooLarge):
        Images(tmp_path).read("picture")


def zipped(method: int, content: bytes = JPEG) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        file.writestr("a.jpg", content)
    return data.getvalue()


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)


@pytest.mark.parametrize("method", METHODS)
def test_members_of_zip_files_are_read(tmp_path: Path, method: int) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(method))
    assert Images(tmp_path).decode("a.zip/a.jpg").shape == (24, 40, 3)


def test_a_member_is_refused_by_the_size_that_it_states(tmp_path: Path) -> None:
    data = bytearray(zipped(zipfile.ZIP_DEFLATED))
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", MOST_PICTURE_BYTES + 1)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(TooLarge, match=r"must unpack to a picture of at most .*, but to"):
        Images(tmp_path).read("a.zip/a.jpg")


def test_a_member_that_states_less_than_it_holds_is_not_unpacked_beyond(tmp_path: Path) -> None:
    data = bytearray(zipped(zipfile.ZIP_DEFLATED, bytes(1 << 26)))
    for at in (data.index(b"PK\3\4") + 22, data.index(b"PK\1\2") + 24):
        data[at : at + 4] = struct.pack("<I", 100)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match="sound member"):
        Images(tmp_path).read("a.zip/a.jpg")


def test_bzip2_is_refused_as_it_unpacks_a_thousandfold_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(zipfile.ZIP_BZIP2))
    with pytest.raises(ValueError, match="packed by bzip2"):
        Images(tmp_path).read("a.zip/a.jpg")


@settings(deadline=None, max_examples=150)
@given(method=st.sampled_from(METHODS), seed=st.integers(0, 2**32), count=st.integers(1, 6))
def test_a_damaged_zip_file_is_read_or_refused_and_nothing_else(
    method: int, seed: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data, random = bytearray(zipped(method)), np.random.default_rng(seed)
    for _ in range(count):
        data[random.integers(len(data))] = random.integers(256)
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(data)
    try:
        Images(path.parent).read("damaged.zip/a.jpg")
    except (ValueError, FileNotFoundError) as error:
        assert str(error)


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000 + "b", "x" * 300 + ".zip/a", "loop", "loop/a.jpg"])
def test_a_path_that_no_file_system_takes_is_a_missing_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (fault,) = inspect_pictures(Images(tmp_path), [name]).values()
    assert isinstance(fault, Fault) and fault.reason in (Reason.MISSING_IMAGE, Reason.LINK_LEAVES_FOLDER)

"""Every command and stage ends with 0, with a sentence and 2, or, where the program is wrong, with a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from posestages.ending import printable, refusal

ENDED = """
import sys
from posestages.ending import run
def main(arguments):
    {code}
run(main)
"""


def ended(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", ENDED.format(code=code)]
    return subprocess.run(words, text=True, stderr=subprocess.PIPE, **{"stdout": subprocess.PIPE, **options})  # type: ignore[call-overload]


@given(st.sampled_from(sorted(errno.errorcode)), st.text(max_size=5000).filter(lambda name: "\0" not in name))
def test_whatever_the_system_says_is_one_sentence_of_the_file_and_what_to_do(code: int, name: str):
    answer = refusal(OSError(code, os.strerror(code), name))
    assert answer and "must be one that can be read or written, but: " in answer.replace("\n", " ")
    assert all(len(line) <= 1000 for line in answer.splitlines()) and len(answer.splitlines()) <= 41
    assert answer.replace("\n", "").isprintable() or any(c.isspace() or not c.isascii() for c in answer)


@given(st.text(max_size=50_000))
def test_a_message_is_short_and_gives_no_orders(text: str):
    shown = printable(text)
    assert len(shown) <= 41 * 1001
    assert not any(ord(c) < 32 or ord(c) == 127 for c in shown.replace("\n", ""))


def raised_by_libraries(folder: Path) -> list[Exception]:
    """One of each kind that a damaged file makes a library raise."""

    class Model(BaseModel):
        seed: int

    (folder / "text").write_text("no such file")
    acts = [
        lambda: yaml.safe_load("["),
        lambda: zipfile.ZipFile(folder / "text"),
        lambda: load_file(folder / "text"),
        lambda: Model(seed="x"),  # pyright: ignore[reportArgumentType]
    ]
    caught = list[Exception]()
    for act in acts:
        with pytest.raises((yaml.YAMLError, zipfile.BadZipFile, SafetensorError, ValidationError)) as error:
            act()
        caught.append(error.value)
    return caught


def test_errors_of_libraries_about_files_are_sentences_without_their_addresses(tmp_path: Path):
    of_the_machine = [
        MemoryError(),
        RecursionError(),
        RuntimeError("CUDA out of memory"),
        BrokenProcessPool("one ended"),
    ]
    for error in [*raised_by_libraries(tmp_path), *of_the_machine]:
        answer = refusal(error)
        assert (answer and " must " in answer) or "seed" in str(answer)
        assert "http" not in str(answer)


def test_a_disk_that_takes_nothing_of_torch_is_told_as_such():
    with pytest.raises(RuntimeError) as caught:
        torch.save(torch.zeros(10**6), "/dev/full")
    assert str(refusal(caught.value)).startswith("a file must be written, but its disk does not take it; free space")


@pytest.mark.parametrize("error", [KeyError("a"), IndexError(0), TypeError(), AttributeError(), RuntimeError("a")])
def test_a_mistake_in_the_program_is_no_refusal(error: Exception):
    assert refusal(error) is None


def test_a_temporary_name_is_never_shown():
    hidden = "/runs/.result.json.0123456789abcdef.part/x"
    assert refusal(OSError(errno.ENOSPC, "No space", hidden)) == (
        "/runs/result.json/x must be one that can be read or written, but: No space; "
        "free space on that disk and run the command again"
    )


def test_a_file_that_is_moved_to_its_own_name_is_named_once():
    hidden = "/runs/.x.png.0123456789abcdef.part"
    answer = refusal(OSError(errno.EISDIR, "Is a directory", hidden, None, "/runs/x.png"))
    assert answer and answer.startswith("/runs/x.png must be one that can be read or written, but: Is a directory;")
    answer = refusal(OSError(errno.EXDEV, "Other disk", hidden, None, "/other/x.png"))
    assert answer and answer.startswith("/runs/x.png and /other/x.png must be")


def test_processes_end_with_the_code_that_says_why():
    assert ended("pass").returncode == 0
    done = ended("open('/proc/none/x')")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "/proc/none/x must" in done.stderr
    done = ended("{}['key']")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_a_full_disk_or_a_closed_pipe_behind_the_output_ends_in_a_sentence_or_quietly():
    with Path("/dev/full").open("w") as full:
        done = ended("print('x' * 100)", stdout=full)
    assert done.returncode == 2 and "No space left" in done.stderr and done.stderr.count("\n") == 1
    read, write = os.pipe()
    os.close(read)
    done = ended("print('x' * 100)", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_names_that_the_locale_does_not_know_are_printed_all_the_same():
    done = ended("print('\\u72ac')", env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout) == (0, "\\u72ac\n")

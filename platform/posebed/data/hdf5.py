"""HDF5 files of others, opened with h5py, which unpickles nothing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posebed.foreign_files import must_be_regular
from posebed.listing import clipped

if TYPE_CHECKING:
    import h5py

_HDF5_ERRORS = (
    *(OSError, KeyError, TypeError, IndexError, AttributeError, RuntimeError),
    *(UnicodeError, OverflowError, MemoryError),
)
_MOST_COMPRESSED = 1000
"""How many times larger than its file a table may be. Compressed tables of one value again and again reach some
hundred."""


def open_hdf5(path: Path) -> h5py.File:
    """Open a file to read it.

    Raises:
        ValueError: h5py is not installed, the file is damaged, or it states tables far larger than itself, which would
            fill the memory.
    """
    try:
        import h5py  # few datasets need it
    except ImportError as error:
        raise ValueError(
            f"{path} must be read by h5py, which is not installed: pip install posebed[formats]"
        ) from error
    must_be_regular(path, "an HDF5 file")
    with hdf5_errors_told(path):
        file = h5py.File(path)
        file.visititems(partial(_must_fit, _MOST_COMPRESSED * path.stat().st_size + 2**26))
        return file


@contextmanager
def hdf5_errors_told(path: Path) -> Generator[None]:
    """Whatever h5py raises for a damaged file, as a ValueError."""
    try:
        yield
    except _HDF5_ERRORS as error:
        raise ValueError(f"{path} must be a sound HDF5 file, but: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """The words of an error, which HDF5 spreads over several lines."""
    return clipped(" ".join(str(error).split()), 200)


def _must_fit(most: int, name: str, entry: Any) -> None:
    size = getattr(entry, "nbytes", 0)
    if size > most:
        raise ValueError(f"{name} must fit into its HDF5 file, but states {size / 1e9:.1f} GB")

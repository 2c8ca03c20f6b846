"""Room that the installed packages take: of the base, of NVIDIA's libraries in it, and of each extra beside the base.

Counted are the files of every package in this environment that posebed's own metadata asks for on this machine, with
the packages that those ask for in turn. Downloads are smaller.

Usage: python benchmarks/install.py [--quick | --record]
"""

from __future__ import annotations

import argparse
from importlib.metadata import Distribution, distribution
from pathlib import Path

from figures import arguments, recording
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("cluster", "formats", "export", "offline", "dashboard")


def needed(extra: str = "") -> set[str]:
    """Names of the packages that posebed needs with an extra.

    Raises:
        PackageNotFoundError: one is not installed.
    """
    found, left = set[tuple[str, str]](), [("posebed", extra)]
    while left:
        name, of = left.pop()
        if (name, of) not in found:
            found.add((name, of))
            for text in distribution(name).requires or ():
                wanted = Requirement(text)
                if wanted.marker is None or wanted.marker.evaluate({"extra": of}):
                    own = canonicalize_name(wanted.name)
                    left += [(own, ""), *((own, more) for more in wanted.extras)]
    return {name for name, _ in found}


def megabytes(names: set[str]) -> float:
    return sum(size(distribution(name)) for name in names) / 1e6


def size(package: Distribution) -> int:
    places = (package.locate_file(file) for file in package.files or ())
    return sum(place.stat().st_size for place in map(Path, map(str, places)) if place.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options = arguments(parser)
    with recording(options.record) as figure:
        base = needed()
        cuda = {name for name in base if name.startswith(("nvidia", "cuda", "triton"))}
        figure("install/base", f"{megabytes(base - cuda):,.0f} MB")
        figure("install/cuda", f"{megabytes(cuda):,.0f} MB")
        for extra in EXTRAS:
            figure(f"install/{extra}", f"{megabytes(needed(extra) - base):,.0f} MB")


if __name__ == "__main__":
    main()

"""Ask for the known weaknesses of every locked package: python release/audit.py [LOCK_FILE ...]

Ends with 0 where every package was looked up and has none, 1 where some have one, and 3 where some could not be looked
up and none of the others has one: no data is no good news. pip-audit itself ends with 0 there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

LOCKS = ("requirements.lock.txt", "build.lock.txt", "cluster/image.lock.txt", "release/tools.lock.txt")
NONE, FOUND, NO_DATA = 0, 1, 3
SHOWN = 5
"""Packages of the same reason that are listed."""


def main(locks: Sequence[str]) -> int:
    found, unknown, every = [], [], []
    for lock in locks:
        packages, reason = looked_up(lock)
        every += packages
        found += [line for package in packages for line in weaknesses(package)]
        unknown += [package["name"] for package in packages if "skip_reason" in package]
        if reason:
            unknown.append(f"all of {lock} ({reason})")
    known = sum("skip_reason" not in package for package in every)
    for line in sorted(set(found)):
        print(line)
    print(f"{len(set(found))} weaknesses are known; {known} of {len(every)} packages were looked up")
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        print(f"no data of {', '.join(unknown[:SHOWN])}{more}", file=sys.stderr)
    return FOUND if found else NO_DATA if unknown or not every else NONE


def looked_up(lock: str) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's packages of a lock file, and why there are none."""
    words = [
        "--requirement",
        lock,
        "--disable-pip",
        "--require-hashes",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *words], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return [], f"pip-audit: {last[0]}"


def weaknesses(package: dict[str, Any]) -> list[str]:
    """A line for each that is known."""
    return [
        f"{package['name']} {package['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'none yet'}"
        for one in package.get("vulns", ())
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or LOCKS))

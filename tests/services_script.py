"""What ``cluster/services/services.sh`` reads."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

SERVICES = Path(__file__).parents[1] / "cluster/services"
SCRIPT = (SERVICES / "services.sh").read_text()


@cache
def settings() -> dict[str, str]:
    """What `services.sh secrets` prints."""
    words = ["sh", str(SERVICES / "services.sh"), "secrets"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines() if not line.startswith("#"))


def settings_of(word: str) -> set[str]:
    """Those that it reads with this word."""
    parts = dict(re.findall(r"^(\w+)\(\) \{\n(.*?)^\}", SCRIPT, re.MULTILINE | re.DOTALL))
    called = {
        "postgres": ["run_postgres", "make_databases"],
        "storage": ["run_storage", "print_keys"],
        "mlflow": ["run_mlflow"],
        "buckets": ["make_buckets"],
    }
    # What its parts hand to Postgres and to Python by other names.
    beside = {
        "postgres": (SERVICES / "databases.sql").read_text(),
        "buckets": "MLFLOW_STORAGE_SECRET POSEBED_STORAGE_SECRET",
    }
    text = "".join(parts[part] for part in called[word]) + beside.get(word, "")
    return {setting for setting in settings() if re.search(rf"\b{setting}\b", text)}


def is_secret(name: str) -> bool:
    return bool(re.search("SECRET|PASSWORD", name))

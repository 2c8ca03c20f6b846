"""What posebed uses of DVC, which has no types of its own."""

from collections.abc import Mapping

class Config:
    def __init__(self, dvc_dir: str) -> None: ...
    def __getitem__(self, section: str) -> Mapping[str, str]: ...

"""Crops every record of one dataset at one size into a few large files.

Usage: python -m posestages.pack KEY
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from posebed.data.images import prepared_pictures
from posebed.data.pack import write_pack
from posebed.files import writing_folder
from posebed.params import Params, read_params
from posebed.places import PARAMS, pack_folder, prepared_folder
from posebed.records import prepared_records, read_categories
from posestages import stage


def pack(params: Params, key: str, source: Path, out: Path) -> None:
    """Write the crops that ``packs.KEY`` describes, of the prepared data in ``source``, to the folder ``out``.

    Raises:
        LookupError: there is no such entry.
    """
    config = stage.entry("packs", params.packs, key)
    records = prepared_records(source)
    categories = read_categories(source / "categories.json")
    images = prepared_pictures(source)
    bar = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True))
    with writing_folder(out) as folder, bar:
        task = bar.add_task(f"packing {key}", total=len(records))
        write_pack(
            records, categories, images.root, config, folder, lambda crops: bar.advance(task, crops), images.reading
        )


def main(arguments: list[str]) -> None:
    key = stage.only_key(arguments)
    params = read_params(PARAMS)
    pack(params, key, prepared_folder(stage.entry("packs", params.packs, key).data), pack_folder(key))


if __name__ == "__main__":
    stage.run_stage("pack", main)

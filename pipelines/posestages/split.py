"""Divides prepared records into train, val and test, and draws the test episodes."""

from __future__ import annotations

from pathlib import Path

from posebed.config import Params, read_params
from posebed.data.plan import draw_episodes
from posebed.data.splits import Split, divide, write_split
from posebed.records import categories_from_json, read_records
from posestages import stage


def split(params: Params, key: str, data: Path, out: Path) -> None:
    """Write the split ``splits.KEY`` of the prepared folder ``data`` to the folder ``out``.

    Raises:
        ValueError: the split cannot be made of this data.
        LookupError: there is no such entry, or it holds out what the data does not have.
    """
    config = stage.entry("splits", params.splits, key)
    if not (data / "records.parquet").is_file():
        raise ValueError(
            f"splits.{key} must find prepared records in {data}, but there are none; prepare {config.data}"
        )
    records = read_records(data / "records.parquet")
    categories = categories_from_json((data / "categories.json").read_text(encoding="utf-8"))
    part = divide(records, categories, config)
    plan = {
        held: draw_episodes([r for r in records if part[r.record] == held], held, config.episodes, config.seed)
        for held in ("val", "test")
        if config.episodes
    }
    with stage.finished_folder(out) as folder:
        write_split(folder, Split(part, plan), records, config)


def main(arguments: list[str]) -> None:
    key = stage.only_key(arguments)
    params = read_params(stage.PARAMS)
    data = stage.prepared(stage.entry("splits", params.splits, key).data)
    split(params, key, data, stage.split_folder(key))


if __name__ == "__main__":
    stage.run(main)

"""Divides prepared records into train, val and test, and draws the test episodes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from posebed.config import EpisodesConfig, SplitConfig
from posebed.data.splits import Split, divide, shared_pictures, write_split
from posebed.data.test_episodes import Episode, draw_test_episodes, missed_officially, official_episodes
from posebed.files import writing_folder
from posebed.listing import shortened
from posebed.params import Params, read_params
from posebed.places import PARAMS, prepared_folder, split_folder
from posebed.records import Category, Record, prepared_records, read_categories, read_hashes, read_problems
from posestages import stage


def split(params: Params, key: str, data: Path, out: Path) -> None:
    """Write the split ``splits.KEY`` of the prepared folder ``data`` to the folder ``out``.

    Raises:
        ValueError: the split cannot be made of this data, or has episodes of categories that are trained on.
        LookupError: there is no such entry, or it holds out what the data does not have.
    """
    config = stage.entry("splits", params.splits, key)
    if not os.path.lexists(data / "records.parquet"):
        raise ValueError(
            f"splits.{key} must find prepared records in {data}, but there are none; prepare {config.data}"
        )
    records = prepared_records(data)
    hashes = _hashes(data, key, config.data)
    categories = read_categories(data / "categories.json")
    part = divide(records, categories, config, hashes)
    annotated = [r for r in records if r.detection is None]
    members = {p: [r for r in annotated if part[r.record] == p] for p in ("train", "val", "test")}
    plan, draw = dict[str, list[Episode]](), None
    if config.episodes:
        _must_be_unseen(key, members)
        plan = {p: _episodes(members[p], categories, p, config, config.episodes) for p in ("val", "test")}
        draw = _how(config, config.episodes, data, members)
        print(f"splits.{key}: {draw}")
    with writing_folder(out) as folder:
        write_split(folder, Split(part, plan), records, config, draw, hashes)
    if shared := shared_pictures(part, records, hashes):
        parts = ", ".join(f"{count} in {' and '.join(of)}" for of, count in shared.most_common())
        advice = "" if config.by == "official" else "; 'equal_pictures: keep_together' prevents it"
        print(f"splits.{key}: pictures whose bytes stand in several parts: {parts}{advice}")


def _hashes(data: Path, key: str, name: str) -> dict[str, str]:
    file = data / "pictures.parquet"
    if not os.path.lexists(file):
        raise ValueError(f"splits.{key} must find {file}, which an earlier version did not write; prepare {name} again")
    return read_hashes(file)


def _must_be_unseen(key: str, members: Mapping[str, Sequence[Record]]) -> None:
    shown = {part: {r.category for r in of} for part, of in members.items()}
    for part in ("val", "test"):
        if seen := sorted(shown[part] & shown["train"]):
            raise ValueError(
                f"splits.{key} must have episodes of categories that are not trained on, but {part} shares "
                f"{shortened(seen, 5)} with train; split by category or family, or leave the episodes out"
            )


def _episodes(
    records: Sequence[Record], categories: Sequence[Category], part: str, config: SplitConfig, episodes: EpisodesConfig
) -> list[Episode]:
    if episodes.draw == "official":
        return official_episodes(records, categories, part, episodes)
    return draw_test_episodes(records, part, episodes, config.seed)


def _how(config: SplitConfig, episodes: EpisodesConfig, data: Path, members: Mapping[str, Sequence[Record]]) -> str:
    """How the test episodes were drawn; whoever compares with published numbers must know it."""
    number = f"{episodes.episodes} episodes of {episodes.queries} queries per category"
    if episodes.draw == "seeded":
        return f"{number}, drawn with seed {config.seed}"
    missed = missed_officially(read_problems(data / "problems.csv"))
    for category in {r.category for r in members["train"]}:
        del missed[category]
    if not missed:
        return f"{number}, official draw"
    lost = ", ".join(f"{category} {number}" for category, number in missed.most_common())
    return f"{number}, official draw, but with another outcome for want of records that were dropped: {lost}"


def main(arguments: list[str]) -> None:
    key = stage.only_key(arguments)
    params = read_params(PARAMS)
    data = prepared_folder(stage.entry("splits", params.splits, key).data)
    split(params, key, data, split_folder(key))


if __name__ == "__main__":
    stage.run_stage("split", main)

"""A trained run as files that run without posebed, checked on crops of the run or on given pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posebed.contracts import Task
from posebed.data.images import decode_named
from posebed.places import pack_folder, split_folder
from posestages.commands.boxes import distinct, whole
from posestages.commands.members import member_of
from posestages.commands.support import read_shots
from posestages.stage import catalog_here

if TYPE_CHECKING:
    from posebed.data.queries import Query
    from posebed.export.files import Crops, Kind
    from posebed.pose import Batch

CROPS = 24
"""Of the run, that a file is checked on."""
SIZES = (1, 2, 5)
"""Of the first batches of those crops; all further ones are as large as the last."""


@dataclass(frozen=True)
class Given:
    """Pictures to check on instead of crops of the run."""

    pictures: Sequence[Path] = ()
    support: Path | None = None
    category: str | None = None


def export(run: str, kind: Kind, out: Path | None, given: Given) -> list[str]:
    """Write the files, and return what was written and how well it agrees, a line each.

    Raises:
        LookupError: there is no such run.
        ValueError: it cannot be exported, no crops are there to check on, or a file does not agree.
    """
    from posebed.export.files import ENDINGS, export, must_be_possible
    from posebed.training.run_folder import read_about

    folder = member_of(run)
    about = read_about(folder)
    must_be_possible(about, catalog_here(), kind)
    out = out or Path(f"{about['key']}{ENDINGS[kind]}")
    if out.suffix != ENDINGS[kind]:
        raise ValueError(f"--out must end in {ENDINGS[kind]} for --to {kind}, but is {out}")
    crops, told = _crops(folder, about, given)
    written, found = export(folder, catalog_here(), kind, out, crops)
    return [*(f"Written: {path}" for path in written), f"Checked on {told}: {found}"]


def check(run: str, files: Sequence[Path], given: Given) -> list[str]:
    """Compare ONNX files that are there with the run.

    Raises:
        ValueError: as ``posebed.export.files.check``.
    """
    from posebed.export.files import check
    from posebed.training.run_folder import read_about

    folder = member_of(run)
    crops, told = _crops(folder, read_about(folder), given)
    return [f"Checked on {told}: {check(files, run, folder, crops)}"]


def _crops(folder: Path, about: dict[str, Any], given: Given) -> tuple[Crops, str]:
    """Crops to check on, and whose they are."""
    if given.pictures:
        return _of_pictures(folder, about, given)
    if given.support or given.category:
        raise ValueError("--support and --category must be given with --picture, but there is none")
    pack, split = pack_folder(about["pack"]), split_folder(about["split"])
    if not ((pack / "about.json").is_file() and (split / "about.json").is_file()):
        raise ValueError(
            f"an export must be checked on crops of {about['key']}, but its pack {pack} or split {split} is not here; "
            "choose pictures with --picture"
        )
    return _of_run(folder, about, pack, split)


def _of_run(folder: Path, about: dict[str, Any], pack_at: Path, split_at: Path) -> tuple[Crops, str]:
    from posebed.data.pack import Pack
    from posebed.data.queries import queries_of
    from posebed.data.splits import read_split
    from posebed.export.files import Crops
    from posebed.inference.trained_model import open_trained

    pack, split = Pack.open(pack_at), read_split(split_at)
    for part in ("val", "test"):
        try:
            queries = queries_of(Task(about["task"]), pack, split, part, about["boxes"])
        except ValueError:  # the part is empty
            continue
        trained = open_trained(folder, catalog_here(), "cpu", pack.setting())
        return Crops(trained, _batches(pack, queries)), f"crops of the part {part!r}"
    raise ValueError(f"an export must be checked on crops of {about['key']}, but its split has no val or test part")


def _batches(pack: Any, queries: Sequence[Query]) -> Iterator[Batch]:
    """Queries spread over the part, each batch of one episode."""
    import torch

    from posebed.data.queries import query_batches

    step = max(1, len(queries) // CROPS)
    chosen, groups = queries[::step][:CROPS], list[list["Query"]]()
    for query in chosen:
        full = len(groups[-1]) == SIZES[min(len(groups), len(SIZES)) - 1] if groups else True
        if full or groups[-1][0].episode != query.episode:
            groups.append([])
        groups[-1].append(query)
    yield from query_batches(pack, groups, torch.device("cpu"))


def _of_pictures(folder: Path, about: dict[str, Any], given: Given) -> tuple[Crops, str]:
    from posebed.export.files import Crops
    from posebed.inference.pictures import batch_of, crop_of, supports
    from posebed.inference.trained_model import of_category, open_trained
    from posebed.training.run_folder import setting_of

    setting, shown = setting_of(about), None
    if about["task"] == Task.CATEGORY_AGNOSTIC:
        if given.support is None:
            raise ValueError(f"{about['key']} is category-agnostic and must be checked with --support, but got none")
        shots = read_shots(given.support, given.category)
        trained = open_trained(folder, catalog_here(), "cpu", of_category(setting, shots.category))
        shown = supports(trained, shots.pictures())
    elif given.support or given.category:
        raise ValueError(f"--support must be given for a category-agnostic run, but {about['key']} is none")
    else:
        trained = open_trained(folder, catalog_here(), "cpu")
    paths = distinct(given.pictures)
    pictures = [decode_named(path) for path in paths]
    crops = [crop_of(trained, picture, whole(picture)) for picture in pictures]
    batches = [batch_of(trained, crops[:1], shown), *([batch_of(trained, crops, shown)] if len(crops) > 1 else [])]
    return Crops(trained, batches), f"{len(paths)} pictures"

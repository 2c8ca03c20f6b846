"""Which runs of the parameters repeat a published one, and in what they depart from it."""

from __future__ import annotations

from collections.abc import Iterator

from posebed import catalog
from posebed.config import FinetuneConfig, Params, RunConfig
from posebed.contracts import Preset
from posebed.reporting.formats import flat
from posebed.reporting.literature import Literature
from posebed.reporting.paper_tables import Repeat
from posestages.presets import ZOO, all_presets, same
from posezoo.presets.ablations import ABLATIONS
from posezoo.presets.papers import PAPERS, SAME_NETWORK, UNMEASURED


def literature() -> Literature:
    """What is published of the zoo."""
    return Literature(all_presets(), ABLATIONS, PAPERS, UNMEASURED, SAME_NETWORK)


def repeats(params: Params) -> dict[str, Repeat]:
    """Every run that names a preset, by key."""
    return {key: _repeat(params, run) for key, run in params.all_runs.items() if run.preset}


def _repeat(params: Params, run: RunConfig) -> Repeat:
    preset: Preset = catalog.preset(ZOO, run.preset or "")
    changed = flat(run.model_dump(include={"config", "train", "params_from"}, exclude_unset=True))
    words = ", ".join(f"{name.removeprefix('config.')} {value}" for name, value in changed)
    return Repeat(run.preset or "", words, tuple(_apart(params, run, preset)))


def _apart(params: Params, run: RunConfig, preset: Preset) -> Iterator[str]:
    """What is other than the preset says before a model sees anything."""
    split, pack = params.splits[run.split], params.packs[run.pack]
    if not same("data", params.data[split.data], preset.data):
        yield "other data"
    if not same("splits", split, {"data": split.data, "seed": split.seed, **preset.split}):
        yield "another split"
    if not same("packs", pack, {"data": pack.data, **preset.pack}):
        yield "other crops"
    start = params.all_runs[run.init_from].preset if isinstance(run, FinetuneConfig) else None
    if start != preset.init_from or isinstance(run, FinetuneConfig) != bool(preset.init_from):
        yield "another start"

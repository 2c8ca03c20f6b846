"""What runs of the parameters repeat of what is published, and in what they depart from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from posebed.catalog import Catalog, installed
from posebed.config import RunConfig
from posebed.contracts import Claim, Preset
from posebed.params import Params
from posebed.reporting.formats import flat
from posebed.reporting.published_claims import Literature
from posebed.scoring.result import Repeat, Result
from posebed.spec_text import Stated
from posestages.commands.presets import all_presets, same


def literature() -> Literature:
    """What is published of the models of installed packages; those whose module cannot be read state nothing of it."""
    catalog = installed()
    models: dict[str, Stated] = {}
    for name in catalog.models:
        with suppress(LookupError, ValueError):
            models[name] = catalog.stated(name)
    return Literature(catalog.published(), models)


def claims(results: Iterable[Result]) -> dict[str, Sequence[Claim]]:
    """Run to the numbers that are published for what it repeats, as far as the preset is known here."""
    known = all_presets()
    named = {result.key: result.repeats.preset for result in results if result.repeats}
    return {key: known[preset].claims for key, preset in named.items() if preset in known}


def repeat_of(params: Params, key: str, catalog: Catalog) -> Repeat | None:
    """What the run repeats; None where the parameters name no preset for it."""
    run = params.runs.get(key)
    if run is None or run.preset is None:
        return None
    preset = catalog.preset(run.preset)
    changed = flat(run.model_dump(include={"config", "train", "params_from"}, exclude_unset=True))
    words = ", ".join(f"{name.removeprefix('config.')} {value}" for name, value in changed)
    return Repeat(preset=run.preset, changed=words, apart=tuple(_deviations(params, run, preset)))


def _deviations(params: Params, run: RunConfig, preset: Preset) -> Iterator[str]:
    """Yield the ways in which data, split, pack or start differ from the preset's."""
    split, pack = params.splits[run.split], params.packs[run.pack]
    if not same("data", params.data[split.data], preset.data):
        yield "other data"
    if not same("splits", split, {"data": split.data, "seed": split.seed, **preset.split}):
        yield "another split"
    if not same("packs", pack, {"data": pack.data, **preset.pack}):
        yield "other crops"
    start = params.runs[run.init_from].preset if run.init_from else None
    if start != preset.init_from or bool(run.init_from) != bool(preset.init_from):
        yield "another start"

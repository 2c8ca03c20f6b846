"""What is published, row by row of every table, and the protocol that a row was or would be measured by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from posebed.contracts import Claim, Paper, Preset, PresetSpec
from posebed.metrics import animal_kingdom, average_precision, by_index, distances
from posebed.scoring.result import Result
from posebed.spec_text import Stated

_SPECS = (distances.SPEC, by_index.SPEC, animal_kingdom.SPEC, average_precision.SPEC)
DEFINITIONS = {metric.name: metric.definition for spec in _SPECS for metric in spec.metrics}

Facts = tuple[tuple[str, str], ...]
"""Names and values of a protocol."""


@dataclass(frozen=True)
class Literature:
    published: PresetSpec
    models: Mapping[str, Stated] = field(default_factory=dict[str, Stated])
    """By name, what their ``SPEC`` states."""

    @cached_property
    def papers(self) -> Mapping[str, Paper]:
        """By the word by which sources of claims name them.

        Raises:
            ValueError: two models state different papers of one name.
        """
        papers: dict[str, Paper] = {}
        for model, stated in self.models.items():
            paper = stated.paper
            if paper and paper.name and papers.setdefault(paper.name, paper) != paper:
                raise ValueError(
                    f"models of the paper {paper.name!r} must state it alike, but {model} states {paper.title!r} and "
                    f"another one {papers[paper.name].title!r}"
                )
        return papers

    def paper_of(self, source: str) -> str:
        """The paper that a source names, or else the source itself."""
        return next((name for name in self.papers if name in source.split(",")[0].split()), source)

    def width_of(self, model: str, backbone: str, config: Mapping[str, Any]) -> int | None:
        """Of a backbone that comes in several widths."""
        stated = self.models.get(model)
        return config.get(stated.widths.get(backbone, "")) if stated else None


@dataclass(frozen=True)
class Table:
    """Where rows are published."""

    source: str
    dataset: str
    split: str
    ablation: str = ""
    """Model and short name of the table; empty where methods are compared."""


@dataclass(frozen=True)
class Line:
    """A published row."""

    table: Table
    setting: str
    presets: tuple[str, ...]
    """Several where the mean over their runs is published."""
    claims: Mapping[str, float]
    """Metric to percent; empty where no number is known."""


def published_lines(literature: Literature) -> list[Line]:
    """Those of ablations first, then those of tables of methods, in which ablations may stand again."""
    published = literature.published
    ablations = [
        line
        for model, tables in published.ablations.items()
        for name, rows in tables.items()
        for line in _ablation(f"{model} {name}", rows, published.presets)
    ]
    return ablations + _joined((_table(c), n, c) for n, preset in published.presets.items() for c in preset.claims)


def _table(claim: Claim, ablation: str = "") -> Table:
    return Table(claim.source, claim.dataset, claim.split, ablation)


def _joined(claims: Iterable[tuple[Table, str, Claim]]) -> list[Line]:
    """One line for all claims of one setting, which several presets share where it is the mean of theirs."""
    presets: dict[tuple[Table, str], dict[str, None]] = {}
    values: dict[tuple[Table, str], dict[str, float]] = {}
    for table, name, claim in claims:
        presets.setdefault((table, claim.setting), {})[name] = None
        values.setdefault((table, claim.setting), {})[claim.metric] = claim.value
    return [Line(*place, tuple(names), values[place]) for place, names in presets.items()]


def _ablation(title: str, rows: Sequence[str], presets: Mapping[str, Preset]) -> list[Line]:
    """The rows in order, with the claims that are theirs alone, in the table that all of those share."""
    held = Counter(claim for preset in presets.values() for claim in preset.claims)
    claims = {name: [claim for claim in presets[name].claims if held[claim] == 1] for name in rows}
    tables = [{_table(claim, title): None for claim in of} for of in claims.values() if of]
    shared = [table for table in next(iter(tables), ()) if all(table in of for of in tables)]
    if not shared:
        raise ValueError(f"the presets of ablation {title} must have claims of one table, but have none in common")
    return [
        line
        for name, of in claims.items()
        for line in _joined((shared[0], name, c) for c in of if _table(c, title) == shared[0])
        or [Line(shared[0], name, (name,), {})]
    ]


def facts_of_line(line: Line, literature: Literature) -> Facts:
    """The protocol that its presets say."""
    every = [_facts(literature.published.presets[name], literature) for name in line.presets]
    joined = {name: "; ".join(dict.fromkeys(facts[name] for facts in every)) for name in every[0]}
    return ("dataset", line.table.dataset), ("split", line.table.split), *joined.items()


def _facts(preset: Preset, literature: Literature) -> dict[str, str]:
    few, episodes = preset.split.get("few_shot"), preset.split.get("episodes")
    options = preset.data.get("options", {})
    return {
        "data": ", ".join([preset.data["source"], *(f"{name} {value}" for name, value in options.items())]),
        **({"training pictures": f"{few} per category"} if few else {}),
        **({"shots": str(episodes["shots"])} if episodes else {}),
        **preset.protocol,
        **_answering(preset, preset.config, " x ".join(map(str, preset.pack["crop_size"])), preset.boxes, literature),
    }


def _answering(
    preset: Preset, config: Mapping[str, Any], size: str, boxes: str, literature: Literature
) -> dict[str, str]:
    """Input, network and boxes, with the config of the preset or that of a run."""
    network = config.get("backbone", preset.model), config.get("weights", "")
    backbone, weights = literature.published.same_network.get(network, network)
    width = literature.width_of(preset.model, backbone, config)
    return {
        "input": size,
        "backbone": f"{backbone}, width {width}" if width else backbone,
        "initial weights": f"{weights}, then {preset.init_from}" if preset.init_from else weights,
        "boxes": boxes,
        "flip test": config.get("flip_test", "none"),
    }


def other_facts(result: Result, preset: Preset, literature: Literature) -> tuple[str, ...]:
    """In words, how the protocol of a result departs from what the preset says."""
    size, boxes = result.answered.get("input", "unknown"), result.protocol.get("boxes", "unknown")
    told = {name: result.protocol.get(name, _NOTHING) for name in (*preset.protocol, "told")}
    ran = _answering(preset, {**preset.config, **result.config}, size, boxes, literature) | told
    expected = {"told": _NOTHING, **_facts(preset, literature)}
    imported = result.answered.get("weights imported from")
    return (
        *(f"{name} {value} instead of {expected[name]}" for name, value in ran.items() if value != expected[name]),
        *([f"weights imported from {imported}"] if imported else []),
    )


_NOTHING = "nothing"
"""Beyond the supports."""


def measured_facts(result: Result, line: Line, facts: Facts) -> Facts:
    """How a result was measured beyond ``facts``, which the presets say; with definitions of metrics that are not
    today's."""
    # A mean over several splits is over as many annotation files, which the facts of the presets tell apart.
    stated = {"part", *(name for name, _ in facts)} | ({"annotations"} if len(line.presets) > 1 else set())
    other = [(s.metric, s.definition) for s in result.scores if s.metric in line.claims]
    return (
        *sorted((name, value) for name, value in result.protocol.items() if name not in stated),
        *sorted((name, definition) for name, definition in other if definition != DEFINITIONS.get(name)),
    )

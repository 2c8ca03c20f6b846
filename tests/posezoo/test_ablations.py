"""What the presets of ablations and the facts beside the claims must hold."""

from __future__ import annotations

from collections import Counter

import pytest

from posebed.catalog import installed
from posebed.reporting.published_claims import Literature
from posezoo.presets import ap10k, mp100_ablations, tables

CATALOG = installed()
PUBLISHED = CATALOG.published()
PRESETS, ABLATIONS = PUBLISHED.presets, PUBLISHED.ablations
TABLES = [(model, table) for model, of in ABLATIONS.items() for table in of]


def test_every_preset_of_an_ablation_is_in_one_table_and_the_full_method_in_each():
    named = {
        *tables.PRESETS,
        *mp100_ablations.PRESETS,
        *(f"prompt-pose-r50-ap10k-{parts}" for parts in ap10k.ABLATION),
    }
    for of in ABLATIONS.values():
        full = set.intersection(*map(set, of.values())) if len(of) > 1 else set()
        times = Counter(name for rows in of.values() for name in rows)
        assert len(full) == (len(of) > 1)
        assert all(count == 1 for name, count in times.items() if name not in full)
    assert named <= {name for of in ABLATIONS.values() for rows in of.values() for name in rows}


@pytest.mark.parametrize(("model", "table"), TABLES)
def test_rows_of_a_table_differ_in_the_settings_of_the_model_alone(model: str, table: str):
    rows = [PRESETS[name] for name in ABLATIONS[model][table]]
    for what in ("data", "split", "pack", "boxes"):
        assert all(getattr(row, what) == getattr(rows[0], what) for row in rows)
    assert len({(row.model, repr(sorted(row.config.items()))) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", tables.PRESETS)
def test_a_row_without_a_number_is_one_that_its_model_takes(name: str):
    preset = PRESETS[name]
    CATALOG.model(preset.model).config.model_validate(preset.config)
    assert preset.claims == ()


def test_tables_of_a_model_are_of_its_own_paper():
    papers = Literature(PUBLISHED, {model: CATALOG.stated(model) for model in CATALOG.models})
    for model, of in ABLATIONS.items():
        sources = {claim.source for rows in of.values() for name in rows for claim in PRESETS[name].claims}
        paper = papers.models[model].paper
        assert paper and {papers.paper_of(source) for source in sources} == {paper.name}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_all_that_a_protocol_asks_of_its_model_even_where_it_is_the_default(name: str):
    preset = PRESETS[name]
    spec = CATALOG.model(preset.model)
    width = spec.widths.get(preset.config.get("backbone", preset.model))
    required = {"backbone", "weights", "flip_test", width} & spec.config.model_fields.keys()
    assert required <= preset.config.keys()


def test_statements_on_claims_are_of_claims_that_exist():
    assert set(PUBLISHED.unmeasured) <= {claim.dataset for preset in PRESETS.values() for claim in preset.claims}
    networks = {(preset.config.get("backbone"), preset.config.get("weights")) for preset in PRESETS.values()}
    assert {*PUBLISHED.same_network, *PUBLISHED.same_network.values()} <= networks

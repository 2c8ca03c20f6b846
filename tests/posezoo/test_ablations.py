"""What the presets of ablations and the facts beside the claims must hold."""

from __future__ import annotations

from collections import Counter

import pytest

from posebed.catalog import installed
from posezoo.presets import PRESETS, ablations, mp100_ablations, prompt_pose
from posezoo.presets.ablations import ABLATIONS
from posezoo.presets.papers import PAPERS, SAME_NETWORK, UNMEASURED
from posezoo.presets.sources import ANSWERING

CATALOG = installed()
MODELS = {"KITPose": "kitpose", "PromptPose": "prompt_pose", "FMMP": "fmmp", "SDPNet": "sdpnet",
          "CapeFormer": "cape_former", "GraphCape": "graph_cape"}  # fmt: skip
TABLES = [(model, table) for model, tables in ABLATIONS.items() for table in tables]


def test_every_preset_of_an_ablation_is_in_one_table_and_the_full_method_in_each():
    named = {
        *ablations.PRESETS,
        *mp100_ablations.PRESETS,
        *(f"prompt-pose-r50-ap10k-{parts}" for parts in prompt_pose.ABLATION),
    }
    for tables in ABLATIONS.values():
        full = set.intersection(*map(set, tables.values())) if len(tables) > 1 else set()
        times = Counter(name for rows in tables.values() for name in rows)
        assert len(full) == (len(tables) > 1)
        assert all(count == 1 for name, count in times.items() if name not in full)
    assert named <= {name for tables in ABLATIONS.values() for rows in tables.values() for name in rows}


@pytest.mark.parametrize(("model", "table"), TABLES)
def test_rows_of_a_table_differ_in_the_settings_of_the_model_alone(model: str, table: str):
    rows = [PRESETS[name] for name in ABLATIONS[model][table]]
    for what in ("data", "split", "pack", "boxes"):
        assert all(getattr(row, what) == getattr(rows[0], what) for row in rows)
    assert len({(row.model, repr(sorted(row.config.items()))) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ablations.PRESETS)
def test_a_row_without_a_number_is_one_that_its_model_takes(name: str):
    preset = PRESETS[name]
    CATALOG.model(preset.model).config.model_validate(preset.config)
    assert preset.claims == ()


@pytest.mark.parametrize("word", MODELS)
def test_a_paper_is_that_of_its_model(word: str):
    assert set(PAPERS) == set(MODELS)
    assert PAPERS[word] == CATALOG.model(MODELS[word]).paper


@pytest.mark.parametrize("model", ANSWERING)
def test_what_presets_say_of_a_model_are_its_own_defaults_and_all_that_a_protocol_asks(model: str):
    fields = CATALOG.model(model).config.model_fields
    required = {"backbone", "weights", "flip_test", "hrnet_width"} & set(fields)
    assert required <= set(ANSWERING[model])
    assert ANSWERING[model] == {name: fields[name].default for name in ANSWERING[model]}


def test_statements_on_claims_are_of_claims_that_exist():
    assert set(UNMEASURED) <= {claim.dataset for preset in PRESETS.values() for claim in preset.claims}
    networks = {(preset.config.get("backbone"), preset.config.get("weights")) for preset in PRESETS.values()}
    assert {*SAME_NETWORK, *SAME_NETWORK.values()} <= networks

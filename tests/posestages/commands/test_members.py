"""Which member of a run a command takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posestages.commands.members import member_of


def trained(*members: str) -> None:
    for member in members:
        folder = Path("runs") / member / "train"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")


@given(seeds=st.lists(st.integers(0, 200), min_size=1, max_size=5, unique=True))
def test_a_run_is_its_first_member_and_every_member_has_a_name(
    seeds: list[int], tmp_path_factory: pytest.TempPathFactory
):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        trained(*(f"wide/seed-{seed}" for seed in seeds))
        Path("runs/wide/seed-201").mkdir()
        assert member_of("wide") == Path(f"runs/wide/seed-{min(seeds)}/train")
        for seed in seeds:
            folder = Path(f"runs/wide/seed-{seed}/train")
            assert member_of(f"wide/seed-{seed}") == member_of(str(folder)) == folder


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("wide/seed-2", "wide/seed-2 must name a trained member of wide, but there is seed-0, seed-1"),
        ("wide/seed-0/other", "must name a trained member of wide"),
        ("wide/../narrow", "must name a trained member of wide"),
        ("lost", "runs/lost must hold a trained run, but does not; there is narrow, wide"),
        ("begun", "runs/begun must hold a trained run"),
        ("../runs/wide", "RUN must name a run, or a member as RUN/seed-0, but is '../runs/wide'"),
        ("/wide", "RUN must name a run"),
        ("", "RUN must name a run"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    run: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    trained("wide/seed-1", "wide/seed-0", "narrow/seed-3")
    Path("runs/begun/seed-0").mkdir(parents=True)
    with pytest.raises(LookupError) as refused:
        member_of(run)
    assert message in str(refused.value)

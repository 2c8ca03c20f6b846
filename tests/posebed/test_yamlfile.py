"""YAML means here what it means to DVC, which reads the same file of parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import parse_yaml as parsed_by_dvc
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posebed.yamlfile import parse_yaml, read_yaml, yaml_text

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

NUMBERLIKE = st.text("0123456789eEfFxXob_+-.:", min_size=1, max_size=8)
WORDS = st.sampled_from(
    [
        *(
            "yes",
            "no",
            "on",
            "off",
            "Yes",
            "NO",
            "y",
            "n",
            "true",
            "True",
            "FALSE",
            "null",
            "Null",
            "~",
            ".inf",
            ".nan",
        ),
        *("1e-4", "1E5", "010", "0o10", "0x1F", "0b11", "1_000", "1:30", "1:30.5", "08", "1e400", "2001-01-01", "1."),
    ]
)


def same(one: Any, other: Any) -> bool:
    """Equal in type and value; NaN equals itself."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


REFUSED = "refused"


def value_or_refused(parse: Callable[[str, str], Any], text: str) -> Any:
    try:
        return parse(text, "params.yaml")["a"]
    except Exception:
        return REFUSED


@given(scalar=NUMBERLIKE | WORDS, form=st.sampled_from(["a: {}", "a: [{}]", "{{a: {}}}", "a:\n  - {}"]))
@example("-.5e3", "a: {}")
@example("0_7", "a: {}")
def test_a_scalar_is_what_dvc_takes_it_for(scalar: str, form: str) -> None:
    text = form.format(scalar)
    wanted, actual = value_or_refused(parsed_by_dvc, text), value_or_refused(parse_yaml, text)
    if REFUSED in (wanted, actual):
        assert wanted == actual or ":" in scalar  # colons in flow collections: libyaml is stricter
        return
    wanted, actual = (value[0] if isinstance(value, list) else value for value in (wanted, actual))
    assert same(actual, wanted), (actual, wanted)


def test_numbers_in_lists_are_numbers() -> None:
    assert parse_yaml("[1e-4, 1e-3, 1.0e-3]", "text") == [0.0001, 0.001, 0.001]
    assert parse_yaml("{low: 1e-5, flip_test: off, warm: yes}", "text") == {
        "low": 1e-5,
        "flip_test": "off",
        "warm": "yes",
    }


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | NUMBERLIKE | WORDS
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | NUMBERLIKE, inner, max_size=4),
    max_leaves=8,
)


@given(value=values, flow=st.booleans())
@example(["\n"], True)
def test_what_is_written_reads_back_here_and_by_dvc(value: Any, flow: bool) -> None:
    text = yaml_text({"a": value}, flow)
    assert parse_yaml(text, "text") == {"a": value}
    assert parsed_by_dvc(text, "text") == {"a": value}
    assert "\n" not in text or not flow


@given(text=st.text(max_size=60) | st.text("{}[]:,-?&*!|>'\"#% \n\tab1<", max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_yaml(text, "params.yaml")
    except ValueError as error:
        assert str(error).startswith("params.yaml must ")
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000


@given(keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), flow=st.booleans())
def test_a_key_that_stands_twice_is_refused_with_its_lines(keys: list[str], flow: bool) -> None:
    lines = [f"{key}: {number}" for number, key in enumerate(keys)]
    text = "runs: {" + ",\n".join(lines) + "}" if flow else "runs:\n" + "\n".join(f"  {line}" for line in lines)
    first = 1 if flow else 2
    if len({*keys}) == len(keys):
        assert list(parse_yaml(text, "params.yaml")["runs"]) == keys
        return
    with pytest.raises(ValueError, match="must have every key once") as refused:
        parse_yaml(text, "params.yaml")
    for key in {key for key in keys if keys.count(key) > 1}:
        numbers = [str(first + i) for i, other in enumerate(keys) if other == key]
        assert f"runs.{key} stands in lines {', '.join(numbers[:-1])} and {numbers[-1]}" in str(refused.value)


def test_keys_that_are_merged_or_shared_are_not_twice() -> None:
    text = "base: &base {x: 1, y: 2}\nsecond: &second {<<: *base, x: 3}\nthird: {<<: *second, x: 4}\nagain: *second"
    content = parse_yaml(text, "text")
    assert content["third"] == {"x": 4, "y": 2} and content["again"] == {"x": 3, "y": 2}
    with pytest.raises(ValueError, match="<< stands in line 2 2 times"):
        parse_yaml("base: &base {x: 1}\nother: {<<: *base, <<: *base}", "text")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(ValueError, match="nested at most 100 levels deep"):
        parse_yaml(opening * 100_000, "text")


@given(content=values)
def test_a_byte_order_mark_changes_nothing(content: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "marked.yaml"
    path.write_text(yaml_text(content), encoding="utf-8-sig")
    assert read_yaml(path) == content
    assert parse_yaml(path.read_text(encoding="utf-8"), "text") == content


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfea\x00", "must be YAML in UTF-8"),
        (b"a: [1,", "must be YAML, but does not parse"),
        (b"a: !!python/object:os.system {}", "must be YAML, but does not parse"),
        (b"%YAML 1.1\n---\na: yes", "must be YAML 1.2"),
        (b"a: 2001-99-99", "must be YAML, but does not parse"),
    ],
)
def test_what_is_no_yaml_is_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "file.yaml").write_bytes(data)
    with pytest.raises(ValueError, match=message) as refused:
        read_yaml(tmp_path / "file.yaml")
    assert "file.yaml" in str(refused.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.yaml must be a YAML file"):
        read_yaml(tmp_path / "none.yaml")


def test_two_thousand_runs_are_read_in_about_a_second() -> None:
    run = "{{model: mean_pose, split: species, pack: quadrupeds, seeds: [{}], train: {{lr: 0.001, epochs: 3}}}}"
    text = "runs:\n" + "\n".join(f"  run-{number}: {run.format(number)}" for number in range(2000))
    started = time.process_time()
    assert len(parse_yaml(text, "text")["runs"]) == 2000
    assert time.process_time() - started < 3


@given(wide=st.integers(2, 50), levels=st.integers(1, 99))
def test_aliases_count_as_what_they_stand_for(wide: int, levels: int) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * wide)}]" for i in range(1, levels)]
    values = [sum(wide**k for k in range(level)) + wide ** (level - 1) for level in range(1, levels + 1)]
    if 1 + levels + sum(values) <= 1_000_000:
        assert parse_yaml("\n".join(lines), "text")["a0"] == ["x"]
        return
    with pytest.raises(ValueError, match="text must hold at most 1000000 values on 100 levels"):
        parse_yaml("\n".join(lines), "text")


def test_aliases_lead_no_deeper_than_brackets_and_never_in_a_circle() -> None:
    chain = "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 5000))
    for text in (chain, "a: &a [*a]", "a: &a {b: {c: *a}}"):
        with pytest.raises(ValueError, match="on 100 levels"):
            parse_yaml(text, "text")


def test_a_file_of_more_bytes_than_parameters_take_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("a: " + "x" * 10_000_000)
    with pytest.raises(ValueError, match=r"large\.yaml must be YAML of at most 10000000 bytes, but has 10000003"):
        read_yaml(tmp_path / "large.yaml")

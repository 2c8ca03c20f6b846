"""Structural damage to files of five formats, drawn from a generator: what a reader must answer with a sentence, or not
at all. Files that are no more than their bytes are cut, flipped, repeated and mixed; JSON and YAML are also changed in
what they say."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

Mutate = Callable[[np.random.Generator, bytes], bytes]

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "a", "../../x", "/etc/passwd", "\0", "\x1b[31m", "\ud800", "x" * 10_000, "NaN", "1", "posebed.files"),
    *([], {}, [[]], [None], {"a": {}}, [0] * 1000, {"": 0}),
)


def mutated(rng: np.random.Generator, data: bytes, form: str) -> bytes:
    """One to three mutations of a file of that form: ``json``, ``yaml``, ``parquet``, ``safetensors`` or ``npy``."""
    choices = [*OF_BYTES, *OF_FORM.get(form, ())] * 1 + [*OF_FORM.get(form, ())] * 2
    for _ in range(rng.integers(1, 4)):
        data = choices[rng.integers(len(choices))](rng, data)
    return data


def _at(rng: np.random.Generator, data: bytes) -> int:
    return int(rng.integers(len(data) + 1))


def cut(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: _at(rng, data)]


def without_head(rng: np.random.Generator, data: bytes) -> bytes:
    return data[_at(rng, data) :]


def without_middle(rng: np.random.Generator, data: bytes) -> bytes:
    first, last = sorted((_at(rng, data), _at(rng, data)))
    return data[:first] + data[last:]


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """Up to 64 bits are turned, half of the time near an end, where formats keep their descriptions."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 65)) if data else 0):
        near = int(rng.integers(min(len(data), 400)))
        place = (near, len(data) - 1 - near, *rng.integers(len(data), size=2))[rng.integers(4)]
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def repeated(rng: np.random.Generator, data: bytes) -> bytes:
    first, last = sorted((_at(rng, data), _at(rng, data)))
    return data[:last] + data[first:]


def swapped(rng: np.random.Generator, data: bytes) -> bytes:
    a, b, c = sorted(_at(rng, data) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def inserted(rng: np.random.Generator, data: bytes) -> bytes:
    place = _at(rng, data)
    return data[:place] + rng.bytes(int(rng.integers(1, 200))) + data[place:]


def huge_numbers(rng: np.random.Generator, data: bytes) -> bytes:
    """Eight bytes become a large number, as lengths and offsets are written."""
    place = _at(rng, data)
    number = (2**63 - 1, 2**40, 2**32 - 1, 0, 2**64 - 1)[rng.integers(5)]
    return data[:place] + struct.pack("<Q", number) + data[place + 8 :]


def zeros(rng: np.random.Generator, data: bytes) -> bytes:
    first, last = sorted((_at(rng, data), _at(rng, data)))
    return data[:first] + bytes(last - first) + data[last:]


OF_BYTES: tuple[Mutate, ...] = (
    *(cut, without_head, without_middle, flipped, repeated, swapped, inserted, huge_numbers, zeros),
)


def _places(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place, *(below for key, value in inner for below in _places(value, (*place, key)))]


def _changed(rng: np.random.Generator, data: bytes, change: Callable[[Any, Any], None], dump: Any, load: Any) -> bytes:
    """What a text says with a change at one of its places; as it is where it says nothing any more."""
    try:
        content = load(data)
        places = [place for place in _places(content) if place]
    except Exception:  # a former mutation has left nothing to parse
        return data
    if not places:
        return data
    *way, last = places[rng.integers(len(places))]
    holder = content
    for key in way:
        holder = holder[key]
    change(holder, last)
    try:
        return dump(content)
    except RecursionError:  # it lies too deep for who writes it
        return data


def _load_json(data: bytes) -> Any:
    return json.loads(data)


def _dump_json(content: Any) -> bytes:
    return json.dumps(content).encode("utf-8", "surrogatepass")


def _load_yaml(data: bytes) -> Any:
    from posebed.yamlfile import parse_yaml

    return parse_yaml(data.decode(), "x")


def _dump_yaml(content: Any) -> bytes:
    import yaml

    return yaml.safe_dump(content).encode()


def _of_content(load: Any, dump: Any) -> tuple[Mutate, ...]:
    def other_value(rng: np.random.Generator, data: bytes) -> bytes:
        value = _VALUES[rng.integers(len(_VALUES))]
        return _changed(rng, data, lambda holder, key: holder.__setitem__(key, value), dump, load)

    def deleted(rng: np.random.Generator, data: bytes) -> bytes:
        return _changed(rng, data, lambda holder, key: holder.__delitem__(key), dump, load)

    def wrapped(rng: np.random.Generator, data: bytes) -> bytes:
        def change(holder: Any, key: Any) -> None:
            for _ in range(int(rng.integers(1, 300))):
                holder[key] = [holder[key]] if rng.integers(2) else {"a": holder[key]}

        return _changed(rng, data, change, dump, load)

    def doubled(rng: np.random.Generator, data: bytes) -> bytes:
        def change(holder: Any, key: Any) -> None:
            if isinstance(holder, list):
                holder.insert(key, holder[key])
            else:
                holder[f"{key}_"] = holder[key]

        return _changed(rng, data, change, dump, load)

    def text_for_number(rng: np.random.Generator, data: bytes) -> bytes:
        return _changed(rng, data, lambda holder, key: holder.__setitem__(key, str(holder[key])), dump, load)

    return other_value, deleted, wrapped, doubled, text_for_number


def key_twice(rng: np.random.Generator, data: bytes) -> bytes:
    place = data.find(b"{", _at(rng, data))
    return data if place < 0 else data[: place + 1] + b'"schema": 1, "key": 1, "key": 2, ' + data[place + 1 :]


def nested(rng: np.random.Generator, data: bytes) -> bytes:
    """A value that lies thousands of levels deep."""
    place, depth = _at(rng, data), int(rng.integers(90, 5000))
    opening, closing = ((b"[", b"]"), (b'{"a":', b"}"))[rng.integers(2)]
    return data[:place] + opening * depth + b"1" + closing * depth + data[place:]


def aliases(rng: np.random.Generator, data: bytes) -> bytes:
    """Aliases that unfold to a hundred million values."""
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))]
    return data + b"\n" + "\n".join(lines).encode()


def header(rng: np.random.Generator, data: bytes) -> bytes:
    """A JSON header that says something else, with the length that it then has."""
    size = int.from_bytes(data[:8], "little")
    if not 0 < size < len(data):
        return data
    changes = _of_content(_load_json, _dump_json)
    new = changes[rng.integers(len(changes))](rng, data[8 : 8 + size])
    return struct.pack("<Q", len(new)) + new + data[8 + size :]


def array_header(rng: np.random.Generator, data: bytes) -> bytes:
    """Another description of an array."""
    kinds = ("|u1", "<f4", "|O", "<U1000000", "<M8[ns]", "x", "|V9")
    shapes = (f"({2**60}, 64, 64, 3)", "(0,)", "()", "(1e9,)", "(-1, 3)", "(48, 64, 64, 3)", "(" * 900)
    text = f"{{'descr': '{kinds[rng.integers(7)]}', 'fortran_order': {rng.integers(2) > 0}, 'shape': "
    text += f"{shapes[rng.integers(7)]}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + data[128:]


_OF_JSON = (*_of_content(_load_json, _dump_json), key_twice, nested)
OF_FORM: dict[str, tuple[Mutate, ...]] = {
    "json": _OF_JSON,
    "yaml": (*_of_content(_load_yaml, _dump_yaml), nested, aliases),
    "safetensors": (header,),
    "npy": (array_header,),
}

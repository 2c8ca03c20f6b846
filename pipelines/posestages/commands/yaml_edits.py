"""Entries of a YAML file renamed, merged, moved and changed, with the rest of its text as it is, comments included.

The text is edited at the places that PyYAML's marks give. What then reads back as something else, as where entries
inherit from one another, is written anew from its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from posebed.yamlfile import parse_yaml, yaml_text

_ALIAS = "alias"
"""Tag of a node that stands for an alias."""
Place = tuple[str, str]
"""Section and key."""


@dataclass(frozen=True)
class Entry:
    """What one or several entries become."""

    former: Sequence[Place]
    section: str
    key: str
    settings: Mapping[str, Any]


def rewritten(text: str, content: Mapping[str, Any], gathered: Sequence[str], entries: Sequence[Entry]) -> str:
    """The text in which the ``gathered`` sections are one, named like their first, and entries are what they become.

    Args:
        text: with ``\\n`` as line end.
        content: what the text reads as, a mapping of sections.
        entries: every entry of the gathered sections, and of each other one that changes.
    """
    wanted = _wanted(content, gathered, entries)
    for whole in (lambda node: False, _inherits, lambda node: True):
        try:
            after = _Editor(text, content, gathered, entries, whole).edited()
            if parse_yaml(after, "the result") == wanted:
                return after
        except (ValueError, LookupError, _Unfit):
            pass
    return _anew(text, wanted)


def _wanted(content: Mapping[str, Any], gathered: Sequence[str], entries: Sequence[Entry]) -> dict[str, Any]:
    wanted = {name: value for name, value in content.items() if name not in gathered[1:]}
    changed: dict[str, dict[str, Any]] = {gathered[0]: {}} if {*gathered} & {*content} else {}
    for entry in entries:
        changed.setdefault(entry.section, {})[entry.key] = dict(entry.settings)
    return wanted | changed


def _anew(text: str, wanted: Mapping[str, Any]) -> str:
    """Everything from its values, below the comments that the text has."""
    lines = [comment + "\n" for _, comment in _comments(text)]
    for section, value in wanted.items():
        lines.append("\n" if lines else "")
        if isinstance(value, dict) and value and all(isinstance(inner, dict) for inner in value.values()):
            lines += [_pair(section, None), *(f"  {_pair(key, inner)}" for key, inner in value.items())]
        else:
            lines.append(_pair(section, value))
    return "".join(lines)


def _pair(key: str, value: Any) -> str:
    return f"{_flow(key)}:\n" if value is None else f"{_flow(key)}: {_flow(value)}\n"


def _flow(value: Any) -> str:
    # PyYAML ends a document of one plain scalar with a line of dots.
    return yaml_text(value, flow=True).removesuffix("\n...")


class _Unfit(Exception):
    """The text has a form that is not edited in place."""


class _Loader(yaml.SafeLoader):
    """Composes nodes in which an alias is a node of its own place, and notes the names of anchors."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.names: dict[int, str] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)
        node = super().compose_node(parent, index)
        if node is not None and event.anchor:
            self.names[id(node)] = event.anchor
        return node


def _inherits(node: yaml.Node) -> bool:
    """Whether an entry takes settings of its own from another one."""
    return not isinstance(node, yaml.MappingNode) or any(key.value == "<<" for key, _ in node.value)


def _comments(text: str) -> list[tuple[int, str]]:
    """Place and words of every comment: what stands between tokens and is no space."""
    found: list[tuple[int, str]] = []
    end = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        gap = text[end : token.start_mark.index]
        found += [(end + match.start(), match[0].rstrip()) for match in re.finditer(r"#[^\n]*", gap)]
        end = max(end, token.end_mark.index)
    return found


@dataclass
class _Chunk:
    """The text of one entry, in whole lines."""

    lead: str
    """Lines of comments, and empty ones, above."""
    start: int
    end: int
    indent: int
    key: yaml.Node
    value: yaml.Node


@dataclass
class _Section:
    name: str
    lead: str
    header: str
    """The line of its name; of a section that is not written entry below entry, its whole text."""
    start: int
    end: int
    chunks: list[_Chunk] = field(default_factory=list[_Chunk])
    tail: str = ""
    """Comments below the last entry."""


class _Editor:
    """
    Args:
        whole: of an entry's node, whether it is written anew from its values.
    """

    def __init__(
        self,
        text: str,
        content: Mapping[str, Any],
        gathered: Sequence[str],
        entries: Sequence[Entry],
        whole: Callable[[yaml.Node], bool],
    ) -> None:
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode) or root.flow_style:
            raise _Unfit
        self._text, self._content, self._gathered, self._whole = text, content, gathered, whole
        self._entries, self._comments = entries, _comments(text)
        self._values = dict(_anchored(root, content, loader.names))
        self._sections = {section.name: section for section in self._cut(root)}
        self._chunks = {(s.name, c.key.value): c for s in self._sections.values() for c in s.chunks}

    def edited(self) -> str:
        home = next((name for name in self._gathered if name in self._sections), None)
        parts: list[str] = [self._text[: next(iter(self._sections.values())).start]]
        gap = False
        for name, section in self._sections.items():
            if name == home:
                piece = section.lead + self._gathered_section(section)
            elif name in self._gathered:
                gap |= section.lead.startswith("\n")
                continue
            elif any(entry.section == name for entry in self._entries):
                piece = section.lead + self._section(section, self._of([name]))
            else:
                piece = section.lead + self._text[section.start + len(section.lead) : section.end]
            parts.append("\n" + piece if gap and not piece.startswith("\n") else piece)
            gap = False
        last = max(section.end for section in self._sections.values())
        return self._with_known_anchors("".join(parts) + self._text[last:])

    def _cut(self, root: yaml.MappingNode) -> Iterator[_Section]:
        """The sections, whose texts follow one another without a gap."""
        starts = [self._line(key) for key, _ in root.value]
        ends = [*(self._above(start, margin=True) for start in starts[1:]), self._above(len(self._text), margin=True)]
        # Of a comment at the head of the file, what stands above an empty line is of the whole file.
        begin = self._text.rfind("\n\n", 0, starts[0]) + 2
        begin = max(begin, self._above(starts[0], margin=True)) if begin > 1 else starts[0]
        for (key, value), start, end in zip(root.value, starts, ends, strict=True):
            section = _Section(key.value, self._text[begin:start], "", begin, end)
            begin = end
            line_end = self._text.find("\n", start, end) + 1 or end
            block = isinstance(value, yaml.MappingNode) and not value.flow_style and value.value
            if block and value.value[0][0].start_mark.index >= line_end:
                section.header = self._text[start:line_end]
                section.chunks, section.tail = self._entries_of(value, line_end, end)
            else:
                section.header = self._text[start:end]
            yield section

    def _entries_of(self, node: yaml.MappingNode, begin: int, end: int) -> tuple[list[_Chunk], str]:
        starts = [self._line(key) for key, _ in node.value]
        ends = [self._above(start) for start in [*starts[1:], end]]
        chunks: list[_Chunk] = []
        for (key, value), start, stop in zip(node.value, starts, ends, strict=True):
            chunks.append(_Chunk(self._text[begin:start], start, stop, key.start_mark.column, key, value))
            begin = stop
        return chunks, self._text[begin:end]

    def _line(self, node: yaml.Node) -> int:
        """Where the line of a key begins."""
        start = self._text.rfind("\n", 0, node.start_mark.index) + 1
        if self._text[start : node.start_mark.index].strip():
            raise _Unfit
        return start

    def _above(self, start: int, margin: bool = False) -> int:
        """Where the comments and empty lines above a line begin; ``margin``: those that are not indented."""
        while start:
            line_start = self._text.rfind("\n", 0, start - 1) + 1
            line = self._text[line_start:start]
            if line.strip() and not (line if margin else line.lstrip()).startswith("#"):
                break
            start = line_start
        return start

    def _of(self, sections: Sequence[str]) -> list[Entry]:
        return [entry for entry in self._entries if entry.former[0][0] in sections]

    def _gathered_section(self, home: _Section) -> str:
        entries = self._of(self._gathered)
        moved = [self._sections[n] for n in self._gathered if n in self._sections and n != home.name]
        indent = home.chunks[0].indent if home.chunks else 2
        body = "".join(self._entry(entry, indent) for entry in self._of([home.name]))
        body += _shifted(home.tail, indent)
        for section in moved:
            heading = "\n".join([section.lead.strip("\n"), *self._words(section.header, section)]).strip("\n")
            lines = [line.strip() for line in heading.split("\n")] if heading else []
            gap = "\n" if heading and body and section.chunks else ""
            body += gap + "".join(" " * indent * bool(line) + line + "\n" for line in lines)
            body += "".join(self._entry(entry, indent) for entry in self._of([section.name]))
            body += _shifted(section.tail, indent)
        name = self._gathered[0]
        if not entries:
            lines = [*self._words(home.header, home), *(line.strip() for line in body.splitlines() if line.strip())]
            return "".join(f"{line}\n" for line in [*lines, f"{name}: {{}}"])
        return self._header(home, name) + body

    def _section(self, section: _Section, entries: Sequence[Entry]) -> str:
        if not section.chunks and all(self._content[section.name][e.key] == e.settings for e in entries):
            return self._text[section.start + len(section.lead) : section.end]
        indent = section.chunks[0].indent if section.chunks else 2
        body = "".join(self._entry(entry, indent) for entry in entries)
        return self._header(section, section.name) + body + section.tail

    def _header(self, section: _Section, name: str) -> str:
        """The line above entries, with what the section's own line had."""
        if section.chunks:
            return name + section.header[len(section.name) :] if section.name != name else section.header
        words = "  ".join(self._words(section.header, section))
        return f"{name}:{'  ' if words else ''}{words}\n" if words.count("#") < 2 else f"{words}\n{name}:\n"

    def _words(self, header: str, section: _Section) -> list[str]:
        begin = section.start + len(section.lead)
        return [words for at, words in self._comments if begin <= at < begin + len(header)]

    def _entry(self, entry: Entry, indent: int) -> str:
        """An entry with its comments, and those of all others that it stands for."""
        places = [self._chunks[place] for place in entry.former if place in self._chunks]
        first = self._chunks.get((entry.former[0][0], entry.former[0][1]))
        if first is None:
            new, lead = " " * indent + _pair(entry.key, dict(entry.settings)), ""
        else:
            new, lead = _shifted(self._changed(first, entry), indent - first.indent), first.lead
            new = new if new.endswith("\n") else new + "\n"
        notes = [
            words
            for chunk in places
            for at, words in self._comments
            if chunk.start - (0 if chunk is first else len(chunk.lead)) <= at < chunk.end and words not in lead + new
        ]
        lead = _shifted(lead, indent - first.indent if first else 0)
        return lead + "".join(f"{' ' * indent}{words}\n" for words in dict.fromkeys(notes)) + new

    def _changed(self, chunk: _Chunk, entry: Entry) -> str:
        section, key = entry.former[0]
        before, after = self._content[section][key], entry.settings
        if before == after and key == entry.key and not self._whole(chunk.value):
            return self._text[chunk.start : chunk.end]
        node = chunk.value
        if not isinstance(node, yaml.MappingNode) or not node.value or self._whole(node):
            return " " * chunk.indent + _pair(entry.key, dict(after))
        edits = [*_edits(self._text, node, before, after)]
        if key != entry.key:
            edits.append((chunk.key.start_mark.index, chunk.key.end_mark.index, _flow(entry.key)))
        text, end = "", chunk.start
        for start, stop, new in sorted(edits):
            text += self._text[end:start] + new
            end = stop
        return text + self._text[end : chunk.end]

    def _with_known_anchors(self, text: str) -> str:
        """Aliases whose anchor does not stand above them any more, replaced by what they stand for."""
        tokens = [*yaml.scan(text, yaml.SafeLoader)]
        later = {token.value for token in tokens if isinstance(token, yaml.AnchorToken)}
        known = set[str]()
        parts, end = [], 0
        for token in tokens:
            if isinstance(token, yaml.AnchorToken):
                known.add(token.value)
            elif isinstance(token, yaml.AliasToken) and token.value not in known:
                anchor = "" if token.value in later else f"&{token.value} "
                parts += [text[end : token.start_mark.index], anchor, _flow(self._values[token.value])]
                end = token.end_mark.index
                known |= {token.value} - later
        return "".join([*parts, text[end:]])


def _anchored(node: yaml.Node, value: Any, names: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    """Anchors and what they stand for."""
    if id(node) in names:
        yield names[id(node)], value
    if isinstance(node, yaml.MappingNode):
        own = {str(key): inner for key, inner in value.items()}
        for key, inner in node.value:
            if key.value in own:
                yield from _anchored(inner, own[key.value], names)
    elif isinstance(node, yaml.SequenceNode):
        for inner, of in zip(node.value, value, strict=True):
            yield from _anchored(inner, of, names)


def _edits(
    text: str, node: yaml.MappingNode, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[int, int, str]]:
    """Start, end and new text of every place to change, such that the mapping says ``after``. What is new stands in
    the place of what is gone."""
    pairs = {key.value: (key, value) for key, value in node.value}
    gone, new = [n for n in before if n not in after], [n for n in after if n not in before]
    if not {*gone} <= {*pairs}:
        raise _Unfit
    for name, value in after.items():
        if name in before and before[name] != value:
            if name not in pairs:
                raise _Unfit
            yield _mark(pairs[name][1], _flow(value))
    written = [f"{name}: {_flow(after[name])}" for name in new]
    join = ", " if node.flow_style else "\n" + " " * node.value[0][0].start_mark.column
    for place, name in enumerate(gone):
        key, value = pairs[name]
        if place == 0 and written:
            yield key.start_mark.index, value.end_mark.index, join.join(written)
        else:
            yield _removal(text, node, [*pairs].index(name))
    if written and not gone:
        pack = pairs.get("pack")
        if pack and isinstance(pack[1], yaml.ScalarNode) and (node.flow_style or pack[1].start_mark.line):
            end = pack[1].end_mark.index
            end = end if node.flow_style else text.find("\n", end) if "\n" in text[end:] else len(text)
            yield end, end, join + join.join(written)
        else:
            start = node.value[0][0].start_mark.index
            yield start, start, join.join(written) + join


def _mark(node: yaml.Node, new: str) -> tuple[int, int, str]:
    return node.start_mark.index, node.end_mark.index, new


def _removal(text: str, node: yaml.MappingNode, place: int) -> tuple[int, int, str]:
    """The edit that takes out a pair: of a block its line; else with what divides it from the next, or from the one
    before."""
    key, value = node.value[place]
    if not node.flow_style:
        start = text.rfind("\n", 0, key.start_mark.index) + 1
        return start, text.find("\n", value.end_mark.index) + 1 or len(text), ""
    if place + 1 < len(node.value):
        return key.start_mark.index, node.value[place + 1][0].start_mark.index, ""
    if place == 0:
        raise _Unfit
    return node.value[place - 1][1].end_mark.index, value.end_mark.index, ""


def _shifted(text: str, by: int) -> str:
    """Lines that begin so many columns further right, or left."""
    lines = text.splitlines(keepends=True)
    if by >= 0:
        return "".join(" " * by + line if line.strip() else line for line in lines)
    return "".join(line[min(-by, len(line) - len(line.lstrip(" "))) :] for line in lines)
